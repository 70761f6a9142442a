# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all pictures in docs/images are made of: their colours, light and dark, and a few shapes."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

STYLE = """\
  text { font: 14px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink) }
  .small { font-size: 12px; fill: var(--pale) } .title { font-size: 16px; font-weight: 600 }
  .middle { text-anchor: middle } .end { text-anchor: end }
  .card { fill: var(--card) } .grid { stroke: var(--grid); fill: none } .axis { stroke: var(--pale); fill: none }
  .free { fill: var(--free) } .wait { fill: var(--wait) } .live { fill: var(--live) } .skip { fill: var(--skip) }
  .cell { stroke: var(--cell) }
  .line { fill: none; stroke-width: 2.5; stroke-linejoin: round } .thin { stroke-width: 1.2; stroke-dasharray: 3 3 }
  .one { stroke: var(--wait) } .two { stroke: var(--live) } .three { stroke: var(--good) }
  .one-text { fill: var(--wait-ink) } .two-text { fill: var(--live-ink) } .three-text { fill: var(--good-ink) }
  .arrow { stroke: var(--ink) } .fill { opacity: 0.12 } .large { font-size: 30px; font-weight: 600 }
  .panel { fill: var(--free); stroke: var(--grid) } .bold { font-weight: 600 }
  .green { color: var(--good) } .yellow { color: var(--yellow) } .orange { color: var(--wait) }
  .red { color: var(--red) } .blue { color: var(--live) } .violet { color: var(--violet) } .grey { color: var(--skip) }
  .drawn { stroke: currentColor } .filled { fill: currentColor }
  svg {
    --card: #fbfbf9; --ink: #1f2328; --pale: #59636e; --grid: #dcdfe3; --free: #ffffff; --cell: #c3c9cf;
    --skip: #aab1b9; --wait: #d9742b; --live: #3b78c4; --good: #2f8f5b;
    --yellow: #b58900; --red: #c8322b; --violet: #8250a8;
    --wait-ink: #a84f10; --live-ink: #235d9f; --good-ink: #1f6f44
  }
  @media (prefers-color-scheme: dark) { svg {
    --card: #1b1f24; --ink: #e6e9ec; --pale: #a3acb6; --grid: #363d45; --free: #2a3037; --cell: #57616b;
    --skip: #606973; --wait: #e08a48; --live: #6aa5ea; --good: #58b883;
    --yellow: #d9b33c; --red: #f0716a; --violet: #b98ad9;
    --wait-ink: #f0a86f; --live-ink: #8bbcf3; --good-ink: #7ccfa0
  } }
"""


def picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<!--",
        # REUSE-IgnoreStart
        "SPDX-FileCopyrightText: netops.ephemeral_ports contributors",
        "SPDX-License-Identifier: GPL-3.0-or-later",
        # REUSE-IgnoreEnd
        "Drawn by scripts/draw_images.py.",
        "-->",
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}</style>",
        f'<rect class="card" width="{width}" height="{height}" rx="10"/>',
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{kind}"/>'


def line(points: Sequence[tuple[float, float]], kind: str) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>'
