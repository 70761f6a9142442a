# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sysctl_dropin does about values that would not survive a reboot. Each test has its own /etc/sysctl.d."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import outlook as boot_outlook
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import PROCPS, SYSTEMD, Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.run import run
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys, sysctl

from .inside import own_directory, private

ETC = Path("/etc/sysctl.d")
DROPIN = ETC / "99-zz-ephemeral-ports.conf"
LATER = ETC / "99-zzz.conf"
REUSE, FIN, RESERVED = keys.TW_REUSE, keys.FIN_TIMEOUT, keys.RESERVED_PORTS

NEW_SYSTEMD = Loader(SYSTEMD, (252,))
OLD_SYSTEMD = Loader(SYSTEMD, (247,))
EL7_SYSTEMD = Loader(SYSTEMD, (219,))
NEW_PROCPS = Loader(PROCPS, (4, 0, 2))


def apply(
    content: str = f"{REUSE} = 1\n",
    *,
    on_conflict: str = "fail",
    path: Path = DROPIN,
    state: str = "present",
    check: bool = False,
) -> dict[str, Any]:
    options = {"path": str(path), "content": content, "state": state, "on_conflict": on_conflict, "lock_timeout": 5}
    state_dir = "/var/lib/netops.ephemeral_ports/state"
    return run({**options, "state_dir": state_dir, "trial": False}, check)


def install(monkeypatch: pytest.MonkeyPatch, *loaders: Loader) -> None:
    monkeypatch.setattr(boot_loaders, "find_loaders", lambda: list(loaders))


@contextlib.contextmanager
def refused(*words: str) -> Iterator[None]:
    """A refusal with these words, after which everything is as it was."""

    def state() -> object:
        return {path: path.read_text() for path in ETC.iterdir()}, sysctl.read_all([REUSE, FIN, RESERVED])

    before = state()
    with pytest.raises(ApplyError) as error:
        yield
    for word in words:
        assert word in str(error.value), error.value
    assert state() == before


@private
def test_a_later_file_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD, NEW_PROCPS)
    LATER.write_text(f"# theirs\n{REUSE} = 0\n")
    sentence = f'{REUSE} = 1, but systemd-sysctl sets it to "0": {LATER}:2 decides'
    for check in (True, False):
        with refused(sentence):
            apply(check=check)
    result = apply(on_conflict="warn")
    assert result["changed"]
    assert sentence in result["warnings"]
    assert (result["settings"][0]["boot_value"], result["settings"][0]["boot_file"]) == ("0", str(LATER))
    ignored = apply(on_conflict="ignore")
    assert (ignored["changed"], ignored["warnings"]) == (False, [])
    assert ignored["settings"][0]["boot_file"] == str(LATER)
    with refused(sentence):  # also when nothing is left to do
        apply()
    gone = apply("", state="absent")
    assert (gone["file"], gone["settings"][0]["boot_value"]) == ("removed", "0")


@private
def test_a_later_file_that_agrees_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD, NEW_PROCPS)
    LATER.write_text(f"{RESERVED} = 10,8-9\n{FIN} = 60\n-net.ipv4.*\n")
    result = apply(f"{REUSE} = 1\n{RESERVED} = 8-10\n")
    assert [setting["boot_file"] for setting in result["settings"]] == [str(DROPIN), str(LATER)]
    assert result["warnings"] == []


@private
def test_a_file_that_no_loader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD, NEW_PROCPS)
    elsewhere = Path("/var/lib/netops.ephemeral_ports/a.conf")
    with refused(f"it does not read {elsewhere}", f"path: {ETC}/zz-ephemeral-ports.conf"):
        apply(path=elsewhere)
    assert apply(path=elsewhere, on_conflict="warn")["settings"][0]["boot_value"] is None


@private
def test_a_file_that_a_reboot_takes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    own_directory(Path("/run"))
    below_run = Path("/run/sysctl.d/50-a.conf")
    below_run.parent.mkdir()
    gone = f"systemd-sysctl leaves it at the kernel's default: a reboot empties /run, and {below_run} with it"
    for check in (True, False):
        with refused(gone, f"give the drop-in a place that lasts, path: {ETC}/{below_run.name}"):
            apply(path=below_run, check=check)
        assert not below_run.exists()
    LATER.write_text(f"{REUSE} = 1\n")
    result = apply(path=below_run)
    assert (result["file"], result["settings"][0]["boot_file"]) == ("created", str(LATER))
    LATER.write_text(f"{REUSE} = 0\n")
    assert (
        f'{REUSE} = 1, but systemd-sysctl sets it to "0": {LATER}:1 decides'
        in apply(path=below_run, on_conflict="warn")["warnings"]
    )


@private
def test_a_link_to_where_a_reboot_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    own_directory(Path("/dev/shm"))
    Path("/dev/shm/a.conf").touch()
    DROPIN.symlink_to("/dev/shm/a.conf")
    with refused("a reboot empties /dev/shm, and /dev/shm/a.conf with it"):
        apply()


@private
def test_links(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    elsewhere = Path("/var/lib/netops.ephemeral_ports/a.conf")
    DROPIN.symlink_to(elsewhere)
    result = apply()
    assert (result["file"], result["settings"][0]["boot_file"]) == ("created", str(DROPIN))


@private
def test_an_exception_takes_it_back_for_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD, NEW_PROCPS)
    LATER.write_text(f"-{REUSE}\n")
    with refused("leaves it at the kernel's default", f"{LATER}:1 decides"):
        apply()


@private
def test_a_long_list_and_an_old_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = ",".join(map(str, range(10001, 13001, 2)))
    install(monkeypatch, OLD_SYSTEMD)
    with refused("it writes only the beginning of so long a list", f"({len(ports)} characters)"):
        apply(f"{RESERVED} = {ports}\n")
    install(monkeypatch, NEW_SYSTEMD, NEW_PROCPS)
    result = apply(f"{RESERVED} = {ports}\n")
    assert result["settings"][0]["boot_value"] == ports
    assert any("sysctl --system" in warning for warning in result["warnings"])


@private
def test_an_optional_key_and_a_very_old_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EL7_SYSTEMD)
    with refused("it does not understand the line"):
        apply(f"-{REUSE} = 1\n")
    assert apply(f"{REUSE} = 1\n-net.ipv4.no_such_key = 1\n")["changed"]


@private
def test_only_procps_decides_where_systemd_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_PROCPS)
    LATER.write_text("net.ipv4.tcp_tw_* = 0\n")
    assert apply()["warnings"] == []
    LATER.write_text("net/ipv4/tcp_tw_reuse = 0\n")
    with refused("sysctl --system"):
        apply()


@private
def test_no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    result = apply()
    assert result["settings"][0]["boot_value"] is None
    assert ["unknown" in warning for warning in result["warnings"]] == [True]


@private
def test_a_long_list_and_a_kernel_before_5_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the first page as it is cut, and with it a port that nobody has named, whoever writes."""
    ports = ",".join(map(str, range(10001, 13001, 2)))
    install(monkeypatch, NEW_SYSTEMD)
    monkeypatch.setattr(features, "release", lambda *_: "5.1.21")
    with refused("this kernel takes only the beginning of so long a list", f"({len(ports)} characters)"):
        apply(f"{RESERVED} = {ports}\n")
    result = apply(f"{RESERVED} = {ports}\n", on_conflict="warn")
    assert result["settings"][0]["boot_value"].startswith("113,10001,")
    monkeypatch.setattr(features, "release", lambda *_: "5.2.0")
    assert apply(f"{RESERVED} = {ports}\n")["settings"][0]["boot_value"] == ports


@private
def test_late_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes last decides; what comes only once is a warning."""
    install(monkeypatch, NEW_SYSTEMD)
    scripts = Path("/etc/cloud")
    own_directory(scripts)
    (scripts / "cloud.cfg").write_text(f"bootcmd:\n  - sysctl -w {REUSE}=0\n")
    with refused(f'{REUSE} = 1, but cloud-init sets it to "0": /etc/cloud/cloud.cfg:2 decides'):
        apply()
    result = apply(on_conflict="warn")
    assert (result["late_writers"], result["settings"][0]["boot_file"]) == (["cloud-init"], "/etc/cloud/cloud.cfg")
    (scripts / "cloud.cfg").write_text(f"runcmd:\n  - sysctl -w {REUSE}=0\n")
    result = apply()
    assert result["warnings"] == [
        f'{REUSE} = 1, but cloud-init sets it to "0" when an instance is new: /etc/cloud/cloud.cfg:2'
    ]
    assert (result["late_writers"], result["settings"][0]["boot_value"]) == ([], "1")


@private
def test_values_that_variables_hold_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    own_directory(Path("/etc/cloud"))
    Path("/etc/cloud/cloud.cfg").write_text(f"bootcmd:\n - sysctl -w {REUSE}=$VALUE\nruncmd:\n - sysctl {FIN}=$VALUE\n")
    result = apply(f"{REUSE} = 1\n{FIN} = 30\n")
    assert result["warnings"] == [
        f"{REUSE} is set by cloud-init, to what is not known here: /etc/cloud/cloud.cfg:2",
        f"{FIN} is set by cloud-init when an instance is new, to what is not known here: /etc/cloud/cloud.cfg:4",
    ]
    assert result["late_writers"] == ["cloud-init"]


@private
def test_what_the_profile_of_tuned_sets_is_not_always_known(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    tuned = Path("/etc/tuned")
    own_directory(tuned)
    (tuned / "own").mkdir()
    (tuned / "active_profile").write_text("own\n")
    (tuned / "tuned-main.conf").write_text("reapply_sysctl = 0\n")
    assert [warning for warning in apply()["warnings"] if 'its profile "own" wins' in warning]
    (tuned / "own/tuned.conf").write_text(f"[sysctl]\n{REUSE} = ${{reuse}}\n")
    assert apply()["warnings"] == [f"{REUSE} is set by tuned, to what is not known here: {tuned}/own/tuned.conf:2"]
    (tuned / "tuned-main.conf").write_text("reapply_sysctl = 1\n")
    assert apply()["warnings"] == []


@private
def test_a_conflict_offers_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    LATER.write_text(f"{REUSE} = 0\n")
    name = ETC / "zz-ephemeral-ports.conf"
    ways = (
        f"You can change {LATER}:1, or give the drop-in a name that sorts later, path: {name} "
        "(timewait_remediate_path), or accept it with on_conflict: warn (timewait_remediate_on_conflict: warn)"
    )
    with refused(ways):
        apply()
    LATER.rename(ETC / "zz-z.conf")
    with refused(f"path: {ETC}/zzz-ephemeral-ports.conf"):
        apply()
    assert apply(path=ETC / "zzz-ephemeral-ports.conf")["warnings"] == []


@private
def test_the_loaders_of_this_machine() -> None:
    """Whatever they are, the default drop-in gets its way."""
    outlook = boot_outlook.predict_boot(boot_loaders.find_loaders(), str(DROPIN), f"{REUSE} = 1\n", {REUSE: "1"})
    assert outlook.conflicts == []
