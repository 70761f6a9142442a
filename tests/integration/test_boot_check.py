# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sysctl_dropin does about values that would not survive a reboot. Each test has its own /etc/sysctl.d."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import late_writers
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import outlook as boot_outlook
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import PROCPS, SYSTEMD, Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.run import run
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import keys, sysctl

from .inside import private

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
    with refused(f"it does not read {elsewhere}"):
        apply(path=elsewhere)
    assert apply(path=elsewhere, on_conflict="warn")["settings"][0]["boot_value"] is None


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
def test_tuned_and_ufw_set_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NEW_SYSTEMD)
    theirs = ETC / "ufw"
    theirs.write_text(f"#\nnet/ipv4/tcp_tw_reuse=0\n{FIN}=30\n")
    monkeypatch.setattr(late_writers, "find_ufw", lambda: late_writers.Ufw(True, str(theirs)))
    monkeypatch.setattr(late_writers, "find_tuned", lambda: late_writers.Tuned("network-latency", False))
    result = apply()
    assert result["late_writers"] == ["tuned", "ufw"]
    ufw, tuned = result["warnings"]
    assert ufw == f'{REUSE} = 1, but ufw sets it to "0": {theirs}:2 decides'
    assert 'its profile "network-latency" wins' in tuned
    monkeypatch.setattr(late_writers, "find_ufw", lambda: late_writers.Ufw(False, str(theirs)))
    monkeypatch.setattr(late_writers, "find_tuned", lambda: late_writers.Tuned("network-latency", True))
    result = apply()
    assert (result["warnings"], result["late_writers"]) == ([], ["tuned"])


@private
def test_the_loaders_of_this_machine() -> None:
    """Whatever they are, the default drop-in gets its way."""
    outlook = boot_outlook.predict_boot(boot_loaders.find_loaders(), str(DROPIN), f"{REUSE} = 1\n", {REUSE: "1"})
    assert outlook.conflicts == []
