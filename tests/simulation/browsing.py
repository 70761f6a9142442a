# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Chromium, headless, and what axe-core and a ruler say of a page in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# From the smallest phone on, and on both sides of where a layout changes.
WIDTHS = (320, 360, 390, 480, 639, 641, 768, 900, 1024, 1119, 1121, 1247, 1249, 1280, 1366, 1440, 1536, 1680, 1920)
# Marks one text of each look, which is all that makes its contrast: its colour and size, and what it lies on.
MARK_LOOKS = """seen => {
  document.querySelectorAll("[data-look]").forEach(one => one.removeAttribute("data-look"));
  const known = new Set(seen), ground = new Map([[null, ""]]), looks = [];
  for (const one of document.documentElement.querySelectorAll("*")) {
    const style = getComputedStyle(one), { color, fontSize, fontWeight, textShadow } = style;
    const own = [style.backgroundColor, style.backgroundImage, style.opacity].join();
    const below = ground.get(one.parentElement) ?? "";
    const here = own === "rgba(0, 0, 0, 0),none,1" || below.endsWith(own) ? below : `${below} ${own}`;
    ground.set(one, here);
    const look = [color, fontSize, fontWeight, textShadow, here].join();
    const says = [...one.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!says || known.has(look) || !one.checkVisibility({ visibilityProperty: true })) continue;
    known.add(look);
    looks.push(look);
    one.dataset.look = "";
  }
  return looks;
}"""

# What ends beyond the right edge, but for code, and tables of more than two columns: these are scrolled by themselves.
CUT_OFF = """() => [...document.querySelectorAll("article *")]
  .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
  .filter(one => !one.closest("pre, .table-wrapper:not(.ansible-option-table):has(td:nth-child(3))"))
  .map(one => one.outerHTML.slice(0, 100))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if not program:
        # Ubuntu has no package of one; GitHub's machines have one all the same.
        everything = os.environ.get("TEST_EVERYTHING") and os.environ.get("CI")
        (pytest.fail if everything else pytest.skip)("no Chromium to look at pages with")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def axe_findings(page: Page, *rules: str, within: str = "html") -> list[str]:
    """What axe-core has against the page, by these rules; by all but the contrast of each text when none is named."""
    which = {"runOnly": rules} if rules else {"rules": {"color-contrast": {"enabled": False}}}
    options = {**which, "resultTypes": ["violations"]}
    found = Axe().run(page, context=within, options=options).response["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def hard_to_read(page: Page, seen: set[str]) -> list[str]:
    """What axe-core has against the contrast of texts that look like none seen before.

    axe-core measures each text by itself, which takes minutes for all; but a site has few ways for a text to look.
    """
    new = page.evaluate(MARK_LOOKS, list(seen))
    seen.update(new)
    return axe_findings(page, "color-contrast", within="[data-look]") if new else []


def too_narrow(page: Page) -> list[int]:
    """Widths at which the page would have to be scrolled sideways."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(width)
    return found


def cut_off(page: Page) -> list[str]:
    """What of the text cannot be seen on the whole in the window as it is."""
    found: list[str] = page.evaluate(CUT_OFF)
    return found
