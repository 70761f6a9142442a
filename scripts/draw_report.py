# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the pictures of the fleet report in docs/images: the top of the page for 60 simulated hosts, light and dark.

usage: python scripts/draw_report.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTH, HEIGHT = 1280, 1000
# Sections that would not fit, and of which the text tells.
HIDDEN = ["Failed, unreachable, rolled back", "Findings by cause", "Destinations"]


def main() -> None:
    sys.path[:0] = [str(ROOT / "build"), str(ROOT / "tests" / "simulation")]
    import simulated_fleet

    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_report
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report

    report = make_report(simulated_fleet.make_fleet(60, seed=1).hosts, simulated_fleet.META)
    program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))))
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        write_report(report, Path(directory))
        browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu"])
        for scheme in SCHEMES:
            page = browser.new_page(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(Path(directory, "report.html").as_uri())
            page.evaluate(
                "titles => titles.forEach((one) => document.querySelector(`[aria-label='${one}']`)?.remove())", HIDDEN
            )
            page.locator("#rows th > a").first.click()
            page.screenshot(path=IMAGES / f"fleet-report-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
