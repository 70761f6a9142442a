# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public names, one per line: what only a major version may remove or rename (README, Release notes and versions).

They are those of the documentation of modules, filters, the callback and roles, of the playbooks and the variables that
playbooks and plugins read and a guide names, of report.json, and of the metrics. Without an argument they are printed;
with --record they are written beside what else the version of galaxy.yml leaves for the ones after it.

usage: python scripts/public_names.py [--record]
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"modules": "module", "filter": "filter", "callback": "callback"}
WORD = re.compile(r"\bephemeral_ports_[a-z_]*[a-z]\b")
RECORD = "public-names.txt"


def record_of(version: str) -> Path:
    return ROOT / "tests" / "upgrade" / version / RECORD


def version_to_record(tree: Path) -> str:
    """That of galaxy.yml. Ends the program where it is released: its names are those that it had."""
    version = str(yaml.safe_load((tree / "galaxy.yml").read_text())["version"])
    tags = subprocess.run(["git", "-C", tree, "tag", "--list", f"v{version}"], check=True, capture_output=True)
    if tags.stdout:
        sys.exit(f"galaxy.yml: version is {version}, which is released; a later one has names of its own")
    return version


def records() -> list[Path]:
    """Those of all versions, the newest last."""
    return sorted((ROOT / "tests" / "upgrade").glob(f"*/{RECORD}"), key=_version_of)


def _version_of(record: Path) -> list[int]:
    return [int(number) for number in record.parent.name.split(".")]


def public_names() -> list[str]:
    return sorted({*_of_plugins(), *_of_roles(), *_of_playbooks(), *_of_report(), *_of_metrics()})


def _of_plugins() -> Iterator[str]:
    for folder, kind in KINDS.items():
        for path in sorted((ROOT / "plugins" / folder).glob("[a-z]*.py")):
            texts = _texts(path)
            yield f"{kind} {path.stem}"
            for documented in _with_fragments(yaml.safe_load(texts["DOCUMENTATION"])):
                for option in _options(documented.get("options") or {}):
                    yield f"{kind} {path.stem}: option {option}"
            for field in _fields(yaml.safe_load(texts.get("RETURN", "")) or {}):
                yield f"{kind} {path.stem}: result {field}"


def _with_fragments(documented: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield documented
    for name in documented.get("extends_documentation_fragment") or ():
        _netops, _collection, module, *part = name.split(".")
        texts = _texts(ROOT / "plugins" / "doc_fragments" / f"{module}.py")
        yield yaml.safe_load(texts[part[0].upper() if part else "DOCUMENTATION"])


def _texts(path: Path) -> dict[str, str]:
    """The texts that are assigned to names at the top of a file, and class attributes that are, too."""
    assigned = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assign)]
    values = {ast.unparse(one.targets[0]): one.value for one in assigned}
    return {name: str(one.value) for name, one in values.items() if isinstance(one, ast.Constant)}


def _options(options: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, option in options.items():
        yield f"{above}{name}"
        for choice in option.get("choices") or ():
            yield f"{above}{name} = {choice}"
        for where in ("env", "ini", "vars"):
            for one in option.get(where) or ():
                yield f"{above}{name} by {where} {one.get('name') or one['key']}"
        yield from _options(option.get("options") or option.get("suboptions") or {}, f"{above}{name}.")


def _fields(fields: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, field in fields.items():
        of_list = "[]" if field.get("type") == "list" else ""
        yield f"{above}{name}{of_list}"
        yield from _fields(field.get("contains") or {}, f"{above}{name}{of_list}.")


def _of_roles() -> Iterator[str]:
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        for entry, spec in yaml.safe_load(path.read_text())["argument_specs"].items():
            yield f"role {path.parts[-3]} {entry}"
            for option in _options(spec.get("options") or {}):
                yield f"role {path.parts[-3]} {entry}: variable {option}"


def _of_playbooks() -> Iterator[str]:
    readme = (ROOT / "README.md").read_text()
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        if f"`{path.stem}`" in readme:
            yield f"playbook {path.stem}"
    read = _words(*ROOT.glob("playbooks/*.yml"), *ROOT.glob("plugins/[acp]*/**/*.py"))
    for name in sorted(read & _words(ROOT / "README.md", *ROOT.glob("docs/*.md"))):
        yield f"variable {name}"


def _words(*paths: Path) -> set[str]:
    return {word for path in paths for word in WORD.findall(path.read_text())}


def _of_report() -> Iterator[str]:
    source = ast.parse((ROOT / "plugins/plugin_utils/_model.py").read_text())
    types = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
    for field in _members(types, "Report"):
        yield f"report.json {field}"


def _members(types: Mapping[str, ast.ClassDef], name: str, above: str = "") -> Iterator[str]:
    for base in map(ast.unparse, types[name].bases):
        if base in types:
            yield from _members(types, base, above)
    for member in types[name].body:
        if isinstance(member, ast.AnnAssign):
            of_type = ast.unparse(member.annotation)
            field = f"{above}{ast.unparse(member.target)}{'[]' if 'list[' in of_type else ''}"
            yield field
            for word in re.findall(r"\w+", of_type):
                if word in types:
                    yield from _members(types, word, f"{field}.")


def _of_metrics() -> Iterator[str]:
    source = ast.parse((ROOT / "plugins/module_utils/_usage/watch/metrics.py").read_text())
    values = {ast.unparse(node.targets[0]): node.value for node in source.body if isinstance(node, ast.Assign)}
    prefix = ast.literal_eval(values["PREFIX"])
    for name in ast.literal_eval(values["_ABOUT"]):
        yield f"metric {prefix}{name}"
    for label in (one.value for one in ast.walk(values["LABELS"]) if isinstance(one, ast.Constant)):
        yield f"label of metrics {label}"


def main(arguments: list[str]) -> None:
    text = "".join(f"{name}\n" for name in public_names())
    if arguments == ["--record"]:
        record = record_of(version_to_record(ROOT))
        record.parent.mkdir(exist_ok=True)
        record.write_text(text)
    elif arguments:
        sys.exit(__doc__)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
