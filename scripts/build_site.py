# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation site: the guides in docs/, and the reference that Ansible's own tool makes of the collection.

usage: python scripts/build_site.py [DIRECTORY]   (default: build/site; the pages are in its html/)

Warnings and dead links are errors. Nothing is fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "netops.ephemeral_ports"


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.add(value)
            if (name == "id" or (tag == "a" and name == "name")) and value:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """Links inside the site that lead nowhere, with the page that has them."""
    pages = {path.resolve(): Page(path.read_text()) for path in site.rglob("*.html")}
    dead = []
    for path, page in sorted(pages.items()):
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file() or (target in pages and anchor not in pages[target].anchors):
                dead.append(f"{path.relative_to(site.resolve())}: {link}")
    return dead


# What the theme and antsibull-docs leave to be desired, as axe-core finds it; and where a phone may break the name.
AMENDED = {
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    '<aside class="sidebar-drawer"': '<aside class="sidebar-drawer" aria-label="All pages"',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    'aria-role="button"': "",
    f"<h1>{COLLECTION}<": f"<h1>{COLLECTION.replace('.', '.<wbr>')}<",
    '<div id="search-results"></div>': '<h1>Search</h1>\n<div id="search-results"></div>',
}


def accessible(html: str) -> str:
    for found, amended in AMENDED.items():
        html = html.replace(found, amended)
    return html


def run(*command: str, home: Path) -> None:
    """Run one of the tools, with a home directory of its own. Leaves with its exit code when it fails."""
    environment = {**os.environ, "HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build")}
    done = subprocess.run(command, check=False, env=environment)
    if done.returncode:
        sys.exit(done.returncode)


def build(where: Path) -> None:
    shutil.rmtree(where, ignore_errors=True)
    source, html = where / "source", where / "html"
    shutil.copytree(ROOT / "docs", source)
    for name in ("CHANGELOG.md", "SECURITY.md"):
        shutil.copyfile(ROOT / name, source / name.lower())
    reference = source / "reference"
    reference.mkdir(mode=0o755)
    collection = ["collection", "--use-current", "--squash-hierarchy", "--fail-on-error", f"--dest-dir={reference}"]
    run("antsibull-docs", *collection, "--no-add-antsibull-docs-version", COLLECTION, home=where)
    sphinx = ["sphinx-build", "-b", "html", "-c", str(ROOT / "scripts/site"), "-d", str(where / "doctrees")]
    run(*sphinx, "--fail-on-warning", "--keep-going", "--quiet", str(source), str(html), home=where)
    for page in html.rglob("*.html"):
        page.write_text(accessible(page.read_text()))
    dead = dead_links(html)
    if dead:
        sys.exit("Links that lead nowhere:\n  " + "\n  ".join(dead))
    print(f"{html / 'index.html'}: {len(list(html.rglob('*.html')))} pages, no warning, no dead link")


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve())
