# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation names is there: plugins, roles, playbooks, variables, make targets, files, anchors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import build_site
import draw_images
import pytest
import yaml

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import journal, namespace_journal
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import SCHEMA

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md"), *ROOT.glob(".github/**/*.yml")]
)
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
REPOSITORY = GALAXY["repository"]
ROLES = sorted(path.name for path in ROOT.glob("roles/*"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def names_of_the_collection() -> set[str]:
    """What can stand after `netops.ephemeral_ports.` in a task, a play or on the command line."""
    plugins = {path.stem for path in ROOT.glob("plugins/*/[a-z]*.py") if path.parent.name != "doc_fragments"}
    plugins |= {path.stem for path in ROOT.glob("extensions/eda/rulebooks/*.yml")}
    return plugins | {path.stem for path in ROOT.glob("playbooks/*.yml")} | set(ROLES)


def role_variables() -> set[str]:
    specs = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    return {name for spec in specs for point in spec["argument_specs"].values() for name in point.get("options", {})}


def results() -> set[str]:
    """What roles leave, under public names."""
    sources = "".join(path.read_text() for path in ROOT.glob("roles/*/tasks/*.yml"))
    return set(re.findall(r"(?:register: |^        )(timewait_\w+)\b(?:$|:)", sources, re.MULTILINE))


def groups() -> set[str]:
    """Groups of hosts that a role makes and a playbook uses."""
    playbooks = ROOT.glob("playbooks/*.yml")
    return {name for path in playbooks for name in re.findall(r"'(\w+)' in groups", path.read_text())}


def private_variables() -> set[str]:
    sources = [*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/*.yml")]
    return {name for path in sources for name in re.findall(r"\b__timewait_\w+", path.read_text())}


def playbook_variables() -> set[str]:
    """`ephemeral_ports_...`, which the playbooks, the rulebook, the callback and the actions take."""
    plugins = [*ROOT.glob("plugins/callback/*.py"), ROOT / "plugins/plugin_utils/_transport.py"]
    sources = [*ROOT.glob("playbooks/*.yml"), *ROOT.glob("extensions/eda/rulebooks/*.yml"), *plugins]
    return {name for path in sources for name in re.findall(r"\bephemeral_ports_[a-z_]+\b", path.read_text())}


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of each link that stays within the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            path, _hash, anchor = target.partition("#")
            yield path, anchor


def test_names_of_the_collection_exist(page: Path) -> None:
    named = set(re.findall(r"\bnetops\.ephemeral_ports\.([a-z]\w*)", page.read_text()))
    known = names_of_the_collection() | {"molecule", "content"}
    assert sorted(named - known) == []


def test_variables_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(rf"(?<![\w/])(?:{'|'.join(ROLES)})_[a-z_]+\b", text))
    assert sorted(named - role_variables() - results() - groups()) == []
    assert sorted(set(re.findall(r"\b__timewait_\w+", text)) - private_variables()) == []
    assert sorted(set(re.findall(r"(?<![\w.])ephemeral_ports_[a-z_]+\b", text)) - playbook_variables()) == []


def test_make_targets_exist(page: Path) -> None:
    commands = re.findall(r"(?:^|`|\bsudo )make ((?:[a-z-]+\b(?!=) ?)+)", page.read_text(), re.MULTILINE)
    assert sorted({word for command in commands for word in command.split()} - TARGETS) == []


def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    """Issue forms cannot link relatively, nor does Automation Hub want a README that does."""
    for path, anchor in re.findall(rf"{REPOSITORY}/(?:blob|raw)/main/([^\s)#]+)(?:#([\w-]+))?", page.read_text()):
        assert (ROOT / path).is_file(), path
        assert not anchor or anchor in anchors(ROOT / path), f"{path}#{anchor}"


def test_the_readme_is_what_galaxy_and_automation_hub_want() -> None:
    text = (ROOT / "README.md").read_text()
    wanted = {"Requirements", "Installation", "Use cases", "Included content", "Communication", "Support", "Licence"}
    assert wanted <= set(re.findall(r"^## (.*)$", text, re.MULTILINE))
    assert re.search(r"^## Testing", text, re.MULTILINE)
    assert re.search(r"^## Release notes", text, re.MULTILINE)
    assert "pip install ansible" not in text
    # No relative link; and each reference has its address, at the end.
    assert [*links(ROOT / "README.md")] == []
    addresses = dict(re.findall(r"^\[([\w-]+)\]: (https://\S+)$", text, re.MULTILINE))
    assert set(re.findall(r"\]\[([\w-]+)\]", text)) == set(addresses)
    ours = [address for address in addresses.values() if "github.com" in address]
    assert ours
    assert all(address.startswith(f"{REPOSITORY}/") for address in ours)


def test_the_readme_names_all_content() -> None:
    content = (ROOT / "README.md").read_text().partition("\n## Included content\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`|\[(timewait_\w+)\]", content))
    assert names_of_the_collection() - {"".join(pair) for pair in named} == set()


def test_addresses_have_one_source() -> None:
    assert {GALAXY["homepage"], GALAXY["documentation"].removesuffix("#guides")} == {REPOSITORY}
    assert "guides" in anchors(ROOT / "README.md")
    assert GALAXY["issues"] == f"{REPOSITORY}/issues"
    site = yaml.safe_load((ROOT / "docs/docsite/links.yml").read_text())
    assert f"https://github.com/{site['edit_on_github']['repository']}" == REPOSITORY
    assert all(link["url"].startswith(REPOSITORY) for link in site["extra_links"])
    # GitHub's own forms know no galaxy.yml: nowhere is there another owner or name.
    for path in [*PAGES, ROOT / "docs/docsite/links.yml", ROOT / "scripts/site/conf.py"]:
        ours = re.findall(r"https://github\.com/(?:netops/[\w.-]+|[\w-]+/ephemeral_ports)", path.read_text())
        assert set(ours) <= {REPOSITORY}, path.name


def test_the_glossary_is_in_order() -> None:
    words = re.findall(r"^\| ([^|]+?) +\| ", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = [word.lower() for word in words if word != "word"]
    assert words == sorted(words)


def test_the_page_on_upgrades_tells_the_formats_of_today() -> None:
    text = (ROOT / "docs/upgrade-and-uninstall.md").read_text()
    for kind, number in (("the drop-in", journal._FORMAT), ("other network namespaces", namespace_journal._FORMAT)):
        assert re.search(rf'^\| journal of {kind}, .*`"format": {number}`', text, re.MULTILINE), kind
    assert f'`"schema": {SCHEMA}`' in text
    assert f"`{quote(journal.DROPIN, safe='')}.json`" in text
    assert f"`{namespace_journal.NAME}` beside it" in text


def test_scripts_exist(page: Path) -> None:
    """As a command or in passing; the playbooks and scenarios of readers are theirs."""
    for path in re.findall(r"(?<![\w/])(?:scripts|tests)/[\w./-]*\w", page.read_text()):
        assert (ROOT / path).exists(), path


def test_tests_exist_that_a_page_chooses(page: Path) -> None:
    """`pytest PATH -k WORD` runs something."""
    for path, word in re.findall(r"(tests/[\w/]+\.py)(?: -k (\w+))", page.read_text()):
        assert re.search(rf"^def test_\w*{word}", (ROOT / path).read_text(), re.MULTILINE), f"{path} -k {word}"


def test_every_page_can_be_found() -> None:
    """From the front page of the site, and every page of it from there."""
    listed = set(re.findall(r"^(?:[^<\n]*<)?([a-z-]+)>?$", (ROOT / "docs/index.md").read_text(), re.MULTILINE))
    assert {path.stem for path in ROOT.glob("docs/*.md")} - listed == {"index"}


def test_pictures_are_those_that_the_script_draws() -> None:
    drawn = draw_images.drawings()
    assert {path.name for path in ROOT.glob("docs/images/*.svg")} == set(drawn)
    assert [name for name, svg in drawn.items() if (ROOT / "docs/images" / name).read_text() != svg] == []


def test_the_curve_shows_the_cliff() -> None:
    """Ratios within one run: what the guide says of it."""
    curves = {curve["name"]: curve["points"] for curve in json.loads(draw_images.CURVE_DATA.read_text())["curves"]}
    for name, points in curves.items():
        median = {point["occupancy"]: point["median_us"] for point in points}
        before = max(value for occupancy, value in median.items() if occupancy < 50)
        after = min(value for occupancy, value in median.items() if occupancy >= 50)
        assert (after / before > 50) == ("reuse" not in name), name


def test_dead_links_of_the_site_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#here">1</a> <a href="https://example.org/">2</a> <p id="top">')
    (tmp_path / "b.html").write_text('<a href="a.html#top">1</a> <a href="#gone">2</a> <img src="c.svg">')
    assert build_site.dead_links(tmp_path) == ["a.html: b.html#here", "b.html: #gone", "b.html: c.svg"]


def forms() -> list[Any]:
    paths = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    return [yaml.safe_load(path.read_text()) for path in paths]


def test_issue_forms_are_what_github_takes() -> None:
    assert len(forms()) == 2
    for form in forms():
        assert {"name", "description", "body"} <= set(form)
        assert len({field["id"] for field in form["body"]}) == len(form["body"])
        for field in form["body"]:
            assert field["type"] in ("textarea", "input", "dropdown", "checkboxes")
            assert field["attributes"]["label"]
            if field["type"] in ("dropdown", "checkboxes"):
                assert field["attributes"]["options"]


def test_ansible_doc_is_asked_for_the_right_kind(page: Path) -> None:
    places = {"": "plugins/modules/{}.py", "role": "roles/{}", "filter": "plugins/filter/{}.py"}
    places["callback"] = "plugins/callback/{}.py"
    for kind, name in re.findall(r"ansible-doc (?:-t (\w+)\s+)?netops\.ephemeral_ports\.(\w+)", page.read_text()):
        assert (ROOT / places[kind].format(name)).exists(), name
