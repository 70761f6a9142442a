# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html in a real Chromium, headless: it renders, asks for nothing, runs nothing that hosts said, can be read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import axe_findings, chromium, too_narrow
from full_report import full_report
from playwright.sync_api import Browser, Locator, Page
from simulated_fleet import META, make_fleet

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.files import write_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report

WIDE = (1280, 900)

# Would show as an element, a dialog, an attribute of its own, or a mark on the window.
MARKUP = '"\'><img src=x onerror="window.stolen=1"><script>window.stolen=1;alert(1)</script><b onclick=alert(1)>'
LOOK = "netops.ephemeral_ports.port_usage_info"

# Text that is too pale for its size (WCAG 2 AA), against the nearest background that is painted behind it.
TOO_PALE = """() => {
  const parse = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const found = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *:not(script)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const text = element.textContent.trim().slice(0, 40);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.className} ${text} ${ratio}`);
  }
  return [seen, found];
}"""

# Contrast of what bars are drawn in against the card that they stand on.
BARS = """() => {
  const light = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number)
    .map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, index) => sum + v * [0.2126, 0.7152, 0.0722][index], 0);
  const card = light(getComputedStyle(document.querySelector(".card")).backgroundColor);
  return Object.fromEntries([...document.querySelectorAll(".chart g")].map((group) => {
    const bar = light(getComputedStyle(group.querySelector(".fill")).fill);
    return [group.className.baseVal, (Math.max(bar, card) + 0.05) / (Math.min(bar, card) + 0.05)];
  }));
}"""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """A function that opens a report, or that on a fleet. Whatever the page complains of or asks for fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        what: Fleet | Report, size: tuple[int, int] = WIDE, scheme: str = "light", script: bool = True
    ) -> Page:
        write_report(make_report(what.hosts, META) if isinstance(what, Fleet) else what, tmp_path)
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        address = (tmp_path / "report.html").as_uri()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url.split("#")[0] == address or complaints.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def names(page: Page) -> list[str]:
    """Hosts that are listed and not filtered away."""
    return page.locator("#rows > tbody:not([hidden]) > tr > th").all_text_contents()


def open_rows(page: Page, number: int = 1500) -> None:
    page.evaluate(
        "number => [...document.querySelectorAll('#rows th > a')].slice(0, number).forEach((one) => one.click())",
        number,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(show: Open, scheme: str, tmp_path: Path) -> None:
    page = show(full_report(tmp_path), scheme=scheme)
    open_rows(page, 12)
    seen, too_pale = page.evaluate(TOO_PALE)
    assert seen > 500
    assert too_pale == []
    contrasts = page.evaluate(BARS)
    assert set(contrasts) >= {"ok"}
    assert {level: ratio for level, ratio in contrasts.items() if ratio < 3} == {}


def test_dark_is_dark(show: Open) -> None:
    def background(scheme: str) -> int:
        colour = show(make_fleet(5), scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)))

    assert background("dark") < 150 < 600 < background("light")


def test_axe_finds_nothing(show: Open, tmp_path: Path) -> None:
    """Of a report with all that there is, and of one where all is well. Contrast is what the test above measures."""
    for report in (full_report(tmp_path), make_fleet(3)):
        page = show(report)
        open_rows(page, 6)
        for width in (360, 1366):
            page.set_viewport_size({"width": width, "height": 800})
            assert axe_findings(page) == []


def test_nothing_sticks_out(show: Open, tmp_path: Path) -> None:
    page = show(full_report(tmp_path))
    open_rows(page)
    assert too_narrow(page) == []
    # What does not fit into a cell would be painted over the next one.
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        cells = page.locator("#rows > tbody > tr > *").evaluate_all(
            "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent.slice(0, 60))"
        )
        assert cells == []


def test_a_host_without_load_is_one_line(show: Open) -> None:
    page = show(make_fleet(60), size=(1366, 768))
    rows = page.locator("#rows > tbody > tr:first-child")
    idle = rows.filter(has_text="no port is blocked").evaluate_all("all => all.map((one) => one.offsetHeight)")
    assert len(idle) > 20
    assert max(idle) < 40


def test_on_paper_it_is_a_table(show: Open, tmp_path: Path) -> None:
    """A4 with its margins is as narrow as a small tablet, which has cards."""
    page = show(full_report(tmp_path), size=(703, 1000))
    parts = "#rows, #rows > thead, #rows > tbody > tr:first-child"
    shape = f"[...document.querySelectorAll('{parts}')].map((one) => getComputedStyle(one).display)"
    assert set(page.evaluate(shape)) == {"block", "grid"}
    page.emulate_media(media="print")
    assert set(page.evaluate(shape)) == {"table", "table-header-group", "table-row"}
    assert page.evaluate("document.documentElement.scrollWidth") == 703
    assert not page.locator("#filter").is_visible()


def head_of(page: Page, title: str) -> Locator:
    return page.locator("#rows").get_by_role("columnheader", name=title, exact=True)


def column(page: Page, title: str) -> list[str]:
    heads = page.locator("#rows > thead th").all_text_contents()
    cells = f"#rows > tbody > tr:first-child > :nth-child({heads.index(title) + 1})"
    return [text.strip() for text in page.locator(cells).all_text_contents()]


def test_columns_sort(show: Open) -> None:
    page = show(make_fleet(60))
    worst_first = names(page)
    head = head_of(page, "Closed per second")
    assert head.get_attribute("aria-sort") is None
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    rates = [float(re.sub(r"/s.*", "", text, flags=re.DOTALL)) for text in column(page, "Closed per second") if text]
    assert len(rates) > 10
    assert rates == sorted(rates, reverse=True)
    assert column(page, "Closed per second")[-1] == ""  # nothing is known of them, whichever way it is sorted
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "Closed per second")[0].startswith(f"{min(rates):.0f}"[:1])
    assert column(page, "Closed per second")[-1] == ""
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert names(page) == worst_first


def test_columns_sort_by_keyboard_and_keep_the_filter(show: Open) -> None:
    page = show(make_fleet(60))
    page.fill("#filter", "web")
    head_of(page, "Host").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert names(page) == sorted(names(page))
    assert all(name.startswith("web") for name in names(page))
    head_of(page, "Level").get_by_role("button").focus()
    page.keyboard.press("Space")
    levels = [text for text in column(page, "Level") if text]
    order = ["exhausted", "critical", "warning", "ok", "unknown"]
    assert [level for level, _same in itertools.groupby(levels)] == order
    head_of(page, "Host").get_by_role("button").press("Enter")
    assert page.locator("[aria-sort]").count() == 1


def test_a_thousand_hosts(show: Open) -> None:
    page = show(make_fleet(1000))
    assert len(names(page)) == 1000
    assert page.evaluate("document.querySelectorAll('*').length") < 45_000
    assert page.locator(".chart g").count() == 1000 - page.locator(".pill.unknown").count() + 1  # one is in the legend
    exhausted = page.locator("#rows .pill.exhausted").count()
    assert page.locator("h1").inner_text().startswith(f"{exhausted} of 1,000 hosts cannot open new connections")
    assert page.locator(".levels .exhausted .number").inner_text() == str(exhausted)


def test_ten_thousand_hosts_are_cut(show: Open) -> None:
    page = show(make_fleet(10_000))
    assert len(names(page)) == 1500
    assert page.evaluate("document.querySelectorAll('*').length") < 70_000
    assert page.get_by_text("8500 hosts that need less attention are only in report.json and report.csv.").is_visible()
    assert page.locator(".chart g").count() <= 1000


def test_the_filter(show: Open) -> None:
    page = show(make_fleet(60))
    everybody = names(page)
    page.fill("#filter", "web003")
    assert names(page) == ["web003.example.net"]
    assert page.locator("#shown").inner_text() == "1 of 60"
    page.fill("#filter", "WEB exhausted")
    assert names(page)
    assert set(names(page)) < {name for name in everybody if name.startswith("web")}
    page.fill("#filter", "reuse-loopback-only")
    assert 1 < len(names(page)) < 60
    page.fill("#filter", "no such host")
    assert names(page) == []
    page.fill("#filter", "")
    assert names(page) == everybody
    assert page.locator("#shown").inner_text() == ""


def test_links_filter_and_open(show: Open) -> None:
    page = show(make_fleet(60))
    page.locator(".levels .critical a").click()
    assert page.locator("#filter").input_value() == "level:critical"
    assert len(names(page)) == int(page.locator(".levels .critical .number").inner_text())
    first = page.locator(".chart a").first
    target = first.get_attribute("href") or ""
    first.dispatch_event("click")
    page.wait_for_function(f"document.querySelector('{target}').classList.contains('open')")
    assert page.locator(f"{target} .verdict").is_visible()


def test_details_tell_the_whole_story(show: Open) -> None:
    page = show(make_fleet(60, remediate=True))
    row = page.locator("#rows > tbody").filter(has_text="web002.example.net")
    assert not row.locator(".verdict").is_visible()
    row.get_by_role("link", name="web002.example.net", expanded=False).press("Enter")
    text = " ".join(row.inner_text().split())
    assert text.startswith("web002.example.net changed")
    assert "was 100%" in text
    assert "net.ipv4.tcp_tw_reuse 2 to 1" in text
    for title in ("Changed", "Plan", "Gate, wave", "Host"):
        assert row.get_by_role("heading", name=title).is_visible()
    assert row.get_by_role("columnheader", name="TIME_WAIT").is_visible()


def test_without_script_all_hosts_are_there(show: Open) -> None:
    page = show(make_fleet(60), script=False)
    assert len(names(page)) == 60
    assert not page.locator("#filter").is_visible()
    assert page.get_by_role("button").count() == 0
    page.locator("#rows th > a").first.click()
    assert page.locator("#rows .verdict").first.is_visible()


def test_what_hosts_say_is_inert(show: Open) -> None:
    fleet = make_fleet(20, remediate=True)

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: one if name in CODES else poison(one) for name, one in value.items()}
        if isinstance(value, list):
            return [poison(one) for one in value]
        return f"{value}{MARKUP}" if isinstance(value, str) else value

    for host in fleet.hosts.values():
        host.name += MARKUP
        for name in ("usage", "usage_after", "plan", "changes", "outcome", "error"):
            setattr(host, name, poison(getattr(host, name)))
    fleet.on_failure(MARKUP, [], MARKUP, unreachable=False)

    page = show(fleet)
    open_rows(page)
    page.fill("#filter", "<script>")
    assert len(names(page)) == 21
    assert page.evaluate("window.stolen") is None
    assert page.locator("img, b, [onclick], [onerror]").count() == 0
    assert page.locator("script").count() == 1
    assert MARKUP in (page.locator("#rows > tbody th").first.text_content() or "")


# Words of which the collection has a fixed list: other ones would only be classes without a style.
CODES = ("level", "own_level", "severity", "action", "status", "method", "state", "trend", "file")
