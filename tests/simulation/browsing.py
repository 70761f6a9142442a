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


def axe_findings(page: Page, contrast: bool) -> list[str]:
    """What axe-core has against the page. contrast: of each text, too, which takes most of the time."""
    rules = {"color-contrast": {"enabled": contrast}}
    found = Axe().run(page, options={"rules": rules, "resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def too_narrow(page: Page) -> list[int]:
    """Widths at which the page would have to be scrolled sideways."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(width)
    return found
