# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site in a real Chromium, headless. `make site` builds it, and then runs this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from browsing import axe_findings, chromium, too_narrow
from playwright.sync_api import Browser, Page

SITE = Path(__file__).resolve().parents[2] / "build/site/html"
# The front page, a long guide with code and tables, a page of the root, and one that Ansible's tool makes.
PAGES = ("index", "rollout", "changelog", "reference/port_usage_info_module")

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def show(browser: Browser) -> Iterator[Open]:
    pages = []

    def open_page(name: str, width: int = 1366, scheme: Literal["light", "dark"] = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.goto((SITE / f"{name}.html").as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(show: Open, name: str) -> None:
    # The reference has thousands of texts, in colours of the theme: measuring each takes most of the time.
    contrast = not name.startswith("reference/")
    assert axe_findings(show(name, 360, "dark"), contrast) == []
    assert axe_findings(show(name, 1366, "light"), contrast) == []


def test_nothing_sticks_out(show: Open) -> None:
    assert too_narrow(show("rollout")) == []
    page, wide = show("index", 360), []
    for path in sorted(SITE.rglob("*.html")):
        page.goto(path.as_uri())
        for width in (360, 1366):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((path.name, width))
    assert wide == []


def test_the_front_page(show: Open) -> None:
    """The name in one line on a phone, and a picture in the colours of the reader."""
    page = show("index", 360, "dark")
    assert page.locator("h1").evaluate("h1 => h1.offsetHeight < 2 * parseFloat(getComputedStyle(h1).fontSize)")
    assert [one.get_attribute("src") for one in page.locator("figure img").all() if one.is_visible()] == [
        "_images/fleet-report-dark.png"
    ]


def test_commands_can_be_copied(show: Open) -> None:
    page = show("quick-start")
    typed = page.locator(".highlight-console").filter(has_text="private_namespaces.py -- bash").first
    typed.hover()
    typed.get_by_role("button", name="Copy").click()
    page.evaluate("document.querySelector('article').append(document.createElement('textarea'))")
    page.locator("article textarea").press("Control+V")
    assert page.locator("article textarea").input_value() == "python3 scripts/private_namespaces.py -- bash"
    assert page.locator(".highlight-text button").count() == 0
