# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site in a real Chromium, headless. `make site` builds it, and then runs this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from browsing import axe_findings, chromium, cut_off, hard_to_read, too_narrow
from playwright.sync_api import Browser, Page

SITE = Path(__file__).resolve().parents[2] / "build/site/html"
# One of each kind: the front page, guides with code and with tables, messages, and what Ansible's tool makes.
KINDS = (
    "index",
    "rollout",
    "platforms",
    "troubleshooting",
    "changelog",
    "reference/sysctl_dropin_module",
    "reference/timewait_remediate_role",
)
# What depends on what a page says, and not on how pages are made.
WRITTEN = ("page-has-heading-one", "heading-order", "empty-heading", "empty-table-header", "image-alt", "link-name")

# The texts of a heading that the browser may keep in one line, each of which has to be in one.
LINES_OF_NAME = """h1 => [...h1.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => {
  const range = document.createRange();
  range.selectNode(node);
  return range.getClientRects().length === 1 ? node.data : "broken";
})"""

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def show(browser: Browser) -> Iterator[Open]:
    pages = []

    def open_page(name: str, width: int = 1366, scheme: Scheme = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.goto((SITE / f"{name}.html").as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing(show: Open, name: str) -> None:
    page = show(name, 360, "dark")
    assert axe_findings(page) == []
    assert too_narrow(page) == []


def test_every_page_can_be_read(show: Open) -> None:
    page, seen, found = show("index"), set[str](), {}
    for path in sorted(SITE.rglob("*.html")):
        name = path.relative_to(SITE)
        page.goto(path.as_uri())
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found[f"{name}, {scheme}"] = hard_to_read(page, seen)
        found[f"{name}, as written"] = axe_findings(page, *WRITTEN)
        for width in (320, 390, 1366):
            page.set_viewport_size({"width": width, "height": 900})
            found[f"{name}, {width} px"] = cut_off(page)
    assert {where: faults for where, faults in found.items() if faults} == {}


def test_the_front_page(show: Open) -> None:
    """The name in one line on a phone, and a picture in the colours of the reader."""
    page = show("index", 360, "dark")
    assert page.locator("h1").evaluate("h1 => h1.offsetHeight < 2 * parseFloat(getComputedStyle(h1).fontSize)")
    assert [one.get_attribute("src") for one in page.locator("figure img").all() if one.is_visible()] == [
        "_images/fleet-report-dark.png"
    ]
    # A smaller one has it in two, and no word broken.
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.locator("h1").evaluate(LINES_OF_NAME) == ["netops.", "ephemeral_ports"]


def test_commands_can_be_copied(show: Open) -> None:
    page = show("quick-start")
    typed = page.locator(".highlight-console").filter(has_text="private_namespaces.py -- bash").first
    typed.hover()
    typed.get_by_role("button", name="Copy").click()
    page.evaluate("document.querySelector('article').append(document.createElement('textarea'))")
    page.locator("article textarea").press("Control+V")
    assert page.locator("article textarea").input_value() == "python3 scripts/private_namespaces.py -- bash"
    assert page.locator(".highlight-text button").count() == 0
