# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is released: small, the same wherever it is built, complete, documented, and notices tampering."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml

from .consumer import FQCN, Controller, build, clean_copy, connection, copy_collection, install
from .private_host import FIXED, PLAIN, private_host

PLUGIN_KINDS = {"modules": "module", "filter": "filter", "callback": "callback", "action": "action"}


def members(tarball: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(tarball) as archive:
        return {member.name: member for member in archive if member.isfile()}


def digests(tarball: Path) -> dict[str, str]:
    """Each file's SHA-256, but for the two lists of them."""
    with tarfile.open(tarball) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {
            name: hashlib.sha256(file.read()).hexdigest()
            for name, file in files.items()
            if file and name not in ("FILES.json", "MANIFEST.json")
        }


def test_is_small_and_tidy(tarball: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = members(tarball)
    with capsys.disabled():
        print(f"\n{tarball.name}: {len(held)} files, {tarball.stat().st_size / 1024:.0f} KiB")
    assert not [name for name in held if any(part.startswith(".") for part in Path(name).parts)]
    assert {member.mode for member in held.values()} == {0o644}
    # What travels to every controller stays small: no recordings, no pictures by the dozen.
    assert tarball.stat().st_size < 500 * 1024


def test_what_lies_about_in_a_checkout_does_not_get_in(tmp_path: Path) -> None:
    """Built elsewhere, at another time, among a developer's leftovers: the same files with the same content."""
    clean = build(clean_copy(tmp_path / "clean"), tmp_path / "from_clean")
    source = shutil.copytree(tmp_path / "clean", tmp_path / "littered", copy_function=shutil.copyfile)
    leftovers = (
        ".venv/bin/python", ".venv-3.13/x", ".ansible/tmp/x", ".mypy_cache/x", ".git/config", ".idea/x",
        "build/x", "tests/output/x", "plugins/modules/__pycache__/x.pyc", "netops-ephemeral_ports-0.0.9.tar.gz",
        "playbooks/diagnose.retry", "roles/timewait_diagnose/.swp", "docs/guide.md~", "README.md.orig",
    )  # fmt: skip
    for name in leftovers:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("not for users\n")
    assert digests(build(source, tmp_path / "from_littered")) == digests(clean)


def test_lists_agree_with_the_files(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        lists = [archive.extractfile(name) for name in ("FILES.json", "MANIFEST.json")]
        files, manifest = (json.load(file) for file in lists if file)
    listed = {entry["name"]: entry["chksum_sha256"] for entry in files["files"] if entry["ftype"] == "file"}
    assert listed == digests(tarball)
    assert f"{manifest['collection_info']['namespace']}.{manifest['collection_info']['name']}" == FQCN
    assert manifest["collection_info"]["dependencies"] == {}


def plugins_of(collection: Path) -> list[tuple[str, str]]:
    return [
        (kind, f"{FQCN}.{file.stem}")
        for directory, kind in PLUGIN_KINDS.items()
        for file in sorted((collection / "plugins" / directory).glob("[!_]*.py"))
    ]


def test_every_plugin_and_role_is_documented(installed: Path, tmp_path: Path) -> None:
    user = Controller(tmp_path / "user", ANSIBLE_COLLECTIONS_PATH=str(installed.parents[2]))
    plugins = plugins_of(installed)
    assert {("module", f"{FQCN}.port_usage_info"), ("filter", f"{FQCN}.remediation_plan")} <= set(plugins)
    for kind in {kind for kind, name in plugins} - {"action"}:
        names = [name for its_kind, name in plugins if its_kind == kind]
        docs = json.loads(user.ansible("doc", "--json", "-t", kind, *names).stdout)
        for name in names:
            assert docs[name]["doc"]["short_description"], name
            assert docs[name]["doc"]["author"], name
            assert kind == "callback" or docs[name]["examples"], name
            # What the package ansible asks of every module.
            assert kind != "module" or "python >= 3.6" in " ".join(docs[name]["doc"]["requirements"]), name
    roles = json.loads(user.ansible("doc", "--json", "-t", "role", "--list", FQCN).stdout)
    assert {name.removeprefix(f"{FQCN}.") for name in roles} == {path.name for path in (installed / "roles").iterdir()}
    for name, role in roles.items():
        assert all(role["entry_points"].values()), name


def test_verify_passes_and_notices_tampering(tarball: Path, tmp_path: Path) -> None:
    collection = install(tarball, tmp_path / "collections")
    user = Controller(tmp_path / "user", ANSIBLE_COLLECTIONS_PATH=str(collection.parents[2]))
    verify = ("galaxy", "collection", "verify", "--offline", FQCN)
    assert "Successfully verified" in user.ansible(*verify).stdout

    module = collection / "plugins" / "modules" / "sysctl_dropin.py"
    module.write_text(module.read_text() + "import os\n")
    noticed = user.ansible(*verify, check=False)
    assert noticed.returncode != 0
    assert "plugins/modules/sysctl_dropin.py" in noticed.stdout + noticed.stderr


def test_works_with_its_four_rooms_alone(installed: Path, tmp_path: Path) -> None:
    """No documentation, no licence, no manifest: what runs is in meta, plugins, roles and playbooks."""
    collection = tmp_path / "collections" / "ansible_collections" / "netops" / "ephemeral_ports"
    for room in ("meta", "plugins", "roles", "playbooks"):
        copy_collection(installed / room, collection / room)
    user = Controller(tmp_path / "user", ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "collections"))
    playbooks = {playbook.stem for playbook in (collection / "playbooks").glob("*.yml")}
    assert playbooks >= {"diagnose", "remediate", "rollback", "stress"}
    for name in sorted(playbooks):
        user.ansible("playbook", "--syntax-check", f"{FQCN}.{name}", "--inventory=localhost,")
    with private_host(tmp_path) as host:
        user.write({"hosts.yml": json.dumps({"all": {"hosts": {"one": connection(host)}}})})
        diagnosis = user.play(f"{FQCN}.diagnose", "--inventory=hosts.yml").passed()
        assert diagnosis.said("OK: "), diagnosis.text
        assert user.play(f"{FQCN}.remediate", "--inventory=hosts.yml").passed().changed == 1
        assert host.sysctls() == FIXED
        assert user.play(f"{FQCN}.rollback", "--inventory=hosts.yml").passed().changed == 1
        assert host.sysctls() == PLAIN


def test_action_group_names_every_module(installed: Path) -> None:
    groups = yaml.safe_load((installed / "meta" / "runtime.yml").read_text())["action_groups"]
    modules = {name.removeprefix(f"{FQCN}.") for kind, name in plugins_of(installed) if kind == "module"}
    # Its options are those of others in a dictionary, so that defaults of the group would only make it fail.
    assert {*groups["all"]} == modules - {"diagnosis"}
