# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import keys
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_options
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch import command, quiet

SOCKSTAT = """\
sockets: used 155
TCP: inuse {inuse} orphan 0 tw {tw} alloc 60 mem 9999
UDP: inuse 3 mem 2
"""
COMMAND = ["1.0.0", "--metrics", "file"]
TEXT = """\
ephemeral_ports_level{namespace="own",inventory_hostname="a b"} 0
ephemeral_ports_run_success{inventory_hostname="a b"} 1
ephemeral_ports_run_timestamp_seconds{inventory_hostname="a b"} 5
ephemeral_ports_run_cpu_seconds{inventory_hostname="a b"} 5
"""
ASKED = {
    "method": "auto",
    "detail": "auto",
    "max_pools": 10,
    "destination": None,
    "warning_threshold": 0.4,
    "critical_threshold": 0.5,
    "probe": "auto",
    "namespaces": ["own"],
}


class Host:
    """A tree that stands for /proc, and a metrics file."""

    def __init__(self, root: Path) -> None:
        self.proc, self.file = root / "proc", root / "a.prom"
        (self.proc / "net").mkdir(parents=True)
        (self.proc / "sys/net/ipv4").mkdir(parents=True)
        self.count(50, 30)
        self.set("net.ipv4.ip_local_port_range", "32768\t60999\n")
        self.file.write_text(TEXT)
        most = {name: 2 * number for name, number in quiet.counts(str(self.proc)).items()}
        quiet.remember(str(self.file), COMMAND, keys.NAMES, most, str(self.proc))

    def count(self, inuse: int, tw: int) -> None:
        (self.proc / "net/sockstat").write_text(SOCKSTAT.format(inuse=inuse, tw=tw))

    def set(self, key: str, text: str) -> None:
        (self.proc / "sys" / key.replace(".", "/")).write_text(text)

    def renew(self, *command: str) -> bool:
        return quiet.renew(str(self.file), command or COMMAND, str(self.proc))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_only_the_times_are_new(host: Host) -> None:
    before = time.time()
    host.count(90, 59)
    assert host.renew()
    level, success, stamp, cpu = host.file.read_text().splitlines()
    assert [level, success] == TEXT.splitlines()[:2]
    name, _blank, value = stamp.rpartition(" ")
    assert name == 'ephemeral_ports_run_timestamp_seconds{inventory_hostname="a b"}'
    assert before - 1 <= float(value) <= time.time() + 1
    assert cpu != TEXT.splitlines()[3]


@pytest.mark.parametrize(
    "change",
    [
        lambda host: host.count(101, 30),
        lambda host: host.count(50, 61),
        lambda host: host.set("net.ipv4.ip_local_port_range", "32768\t60998\n"),
        lambda host: host.set("net.ipv4.tcp_tw_reuse", "1\n"),
        lambda host: (host.proc / "sys/net/ipv4/ip_local_port_range").unlink(),
        lambda host: (host.proc / "net/sockstat").write_text("TCP: inuse many tw 0\n"),
        lambda host: host.file.unlink(),
        lambda host: quiet.forget(str(host.file)),
        lambda host: (host.file.parent / ".a.prom.holds").write_text(f"command {COMMAND!r}\nuntil soon\n"),
        lambda host: (host.file.parent / ".a.prom.holds").write_text(f"command {COMMAND!r}\nuntil 5\n"),
        lambda host: (host.file.parent / ".a.prom.holds").write_text(f"command {COMMAND!r}\nuntil 99999999999\n"),
        lambda host: (host.file.parent / ".a.prom.holds").write_text(f"command {COMMAND!r}\nnonsense\n"),
    ],
)
def test_whatever_has_changed_makes_a_whole_run(host: Host, change: Callable[[Host], object]) -> None:
    change(host)
    before = host.file.read_text() if host.file.exists() else None
    assert not host.renew()
    assert (host.file.read_text() if host.file.exists() else None) == before


def test_other_arguments_make_a_whole_run(host: Host) -> None:
    assert not host.renew(*COMMAND, "--top", "3")


def test_another_version_makes_a_whole_run(host: Host) -> None:
    assert not host.renew("1.0.1", *COMMAND[1:])


def most(translates: bool = False, **different: object) -> dict[str, int] | None:
    usage = {
        "method": "sockstat",
        "level": "ok",
        "pools": [],
        "sysctls": {"net.ipv4.ip_local_port_range": "32768 60999", "net.ipv4.ip_local_reserved_ports": ""},
        "port_range": {"usable": 28232},
        **different,
    }
    counts = {"TCP inuse": 100, "TCP tw": 500, "TCP alloc": 100, "conntrack": 3000}
    return command.most_that_prove_ok(check_options(ASKED), usage, counts, lambda: translates)


def test_what_is_noted_proves_as_much() -> None:
    found = most()
    assert found
    assert found["TCP tw"] > 500


def test_where_addresses_are_translated_hardly_an_entry_is_harmless() -> None:
    elsewhere, here = most(), most(translates=True)
    assert elsewhere
    assert here
    assert elsewhere["conntrack"] > 3000
    assert here["conntrack"] < 10


@pytest.mark.parametrize(
    "different", [{"method": "netlink"}, {"level": "warning"}, {"pools": [{}]}, {"port_range": {"usable": 2000}}]
)
def test_nothing_is_noted_where_that_would_prove_less(different: dict[str, object]) -> None:
    assert most(**different) is None


def test_it_loads_next_to_nothing() -> None:
    """What is loaded is what a run costs."""
    package = "ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.watch"
    code = f"""
import sys
before = {{*sys.modules}}
import {package}.quiet
print(*({{*sys.modules}} - before))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    theirs = [name for name in done.stdout.split() if not name.startswith("ansible_collections")]
    assert not {"typing", "re", "json", "contextlib", "argparse"} & {*theirs}
    assert len(theirs) < 12, theirs
