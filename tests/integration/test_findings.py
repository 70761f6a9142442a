# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each finding, provoked for real. What only an old kernel shows is in tests/unit/test_findings.py."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import InNamespace
from .observing import TOOLS

Found = dict[str, dict[str, Any]]
Provoke = Callable[..., Found]

QUIET = "print(json.dumps(observe()['findings']))"


@pytest.fixture
def provoke(in_namespace: InNamespace) -> Provoke:
    """Run source that prints findings in a namespace with 500 ports; returns them by identifier."""

    def run(source: str, *, check: bool = True, addresses: tuple[str, ...] = ("198.18.0.1",), **sysctls: str) -> Found:
        names = {f"net.ipv4.{key}": value for key, value in sysctls.items()}
        done = in_namespace(TOOLS + source, sysctls=names, addresses=addresses, check=check)
        if done.returncode == 77:
            pytest.skip(done.stderr.strip().splitlines()[-1])
        return {one["id"]: one for one in json.loads(done.stdout)}

    return run


def test_a_host_with_defaults_has_none(provoke: Provoke) -> None:
    assert provoke(QUIET) == {}


@pytest.mark.parametrize(
    ("number", "expected"),
    [(220, "destination-warning"), (260, "destination-critical"), (600, "destination-exhausted")],
)
def test_destination_levels(provoke: Provoke, number: int, expected: str) -> None:
    found = provoke(f"connect(listen('198.18.0.1', 8080), {number}, '198.18.0.1', 8080)\n{QUIET}")
    finding = found[expected]
    assert finding["destination"] == "198.18.0.1:8080"
    assert finding["evidence"]["blocked"] == min(number, 500)
    assert "timewait_remediate" in finding["remedy"]
    slow = re.search(r"The half that connect\(\) tries first is used up: it took [0-9.]+ [um]s\.", finding["summary"])
    assert bool(slow) == (expected == "destination-critical")
    # The setting in force is named as the cause.
    assert found["reuse-loopback-only"]["destination"] == "198.18.0.1:8080"


def test_no_usable_port(provoke: Provoke) -> None:
    """All ports are reserved: the first connect fails, without a socket that would show it."""
    found = provoke(
        f"""
assert connect(listen("198.18.0.1", 8080), 1, "198.18.0.1", 8080) == (0, 99)
assert observe(detail="auto")["level"] == "exhausted"
{QUIET}""",
        ip_local_reserved_ports="32768-33267",
    )
    assert found["no-usable-port"]["evidence"] == {"ip_local_port_range": "32768 33267", "reserved": 500}


def test_destination_forecast(provoke: Provoke) -> None:
    found = provoke(
        f"""
server = listen("198.18.0.1", 8080)
for _ in range(60):
    connect(server, 1, "198.18.0.1", 8080)
    time.sleep(0.02)
{QUIET}"""
    )
    # It goes on as fast as it came, at 50 per second or less: 190 more ports take 3.8 s or longer.
    forecast = found["destination-forecast"]["evidence"]["forecast"]
    assert 0 < forecast["rate"] <= 60
    assert forecast["seconds_to_critical"] >= 2
    assert found["destination-forecast"]["severity"] == "warning"


def test_live_connections_are_no_matter_of_sysctls(provoke: Provoke) -> None:
    found = provoke(f"connect(listen('198.18.0.1', 8080), 260, '198.18.0.1', 8080, keep=True)\n{QUIET}")
    assert "No sysctl but a wider range helps" in found["destination-critical"]["remedy"]
    assert found["too-many-open"]["evidence"] == {"number": 260, "usable": 500}


def test_reuse_without_timestamps(provoke: Provoke) -> None:
    found = provoke(QUIET, tcp_tw_reuse="1", tcp_timestamps="0")
    assert list(found) == ["reuse-without-timestamps"]
    assert "tcp_timestamps" in found["reuse-without-timestamps"]["remedy"]


def test_reuse_2_covers_loopback(provoke: Provoke) -> None:
    assert "reuse-loopback-only" not in provoke(f"connect(listen('127.0.0.1', 80), 300, '127.0.0.1', 80)\n{QUIET}")


BIND = """
servers = [listen("198.18.0.1", port) for port in (8080, 8081)]
def client():
    one = socket.socket()
    {option}
    one.bind(("198.18.0.1", 0))
    return one
for server, port in zip(servers, (8080, 8081)):
    for _ in range(90):
        one = client()
        one.connect(("198.18.0.1", port))
        peer, _ = server.accept()
        one.close(); peer.recv(1); peer.close()
"""


def test_bind_before_connect(provoke: Provoke) -> None:
    found = provoke(BIND.format(option="") + QUIET)["bind-before-connect"]
    evidence = {"sockets": 180, "ports_chosen_by_bind": 180, "usable": 500, "sources": {"198.18.0.1": 180}}
    assert found["evidence"] == evidence
    assert found["severity"] == "warning"
    assert "IP_BIND_ADDRESS_NO_PORT" in found["remedy"]


@pytest.mark.parametrize("option", ["one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT"])
def test_bind_without_port_is_none(provoke: Provoke, option: str) -> None:
    assert "bind-before-connect" not in provoke(BIND.format(option=option) + QUIET)


def test_plain_connect_is_none(provoke: Provoke) -> None:
    source = "".join(f"connect(listen('198.18.0.1', {port}), 90, '198.18.0.1', {port})\n" for port in (8080, 8081))
    assert "bind-before-connect" not in provoke(source + QUIET)


def test_fin_wait2_held_by_a_slow_peer(provoke: Provoke) -> None:
    found = provoke(
        f"""
server = listen("198.18.0.1", 8080)
for _ in range(60):
    client = socket.socket(); client.connect(("198.18.0.1", 8080)); kept.append(server.accept()[0]); client.close()
while sum(line.split()[3] == "05" for line in open("/proc/net/tcp")) < 60:  # FIN_WAIT2
    time.sleep(0.01)
{QUIET}"""
    )
    assert found["fin-wait2-held"]["evidence"]["number"] == 60
    assert "tcp_fin_timeout bounds" in found["fin-wait2-held"]["remedy"]


def test_time_wait_overflow_and_lowered_buckets(provoke: Provoke) -> None:
    found = provoke(f"connect(listen('198.18.0.1', 8080), 50, '198.18.0.1', 8080)\n{QUIET}", tcp_max_tw_buckets="20")
    assert found["time-wait-overflow"]["evidence"] == {"tcp_time_wait_overflow": 30, "tcp_max_tw_buckets": 20}
    assert found["tw-buckets-lowered"]["evidence"] == {"tcp_max_tw_buckets": 20}


def test_odd_range(provoke: Provoke) -> None:
    found = provoke(QUIET, ip_local_port_range="32768 33268")
    assert found["odd-range"]["evidence"] == {"ip_local_port_range": "32768 33268", "size": 501}


def test_listener_in_range(provoke: Provoke) -> None:
    source = f"kept.extend([listen('0.0.0.0', 32770), listen('0.0.0.0', 32771), listen('0.0.0.0', 8080)])\n{QUIET}"
    assert provoke(source)["listener-in-range"]["evidence"] == {"ports": "32770-32771"}
    assert "listener-in-range" not in provoke(source, ip_local_reserved_ports="32770-32771")


def test_fin_timeout_lowered(provoke: Provoke) -> None:
    found = provoke(QUIET, tcp_fin_timeout="15")
    assert list(found) == ["fin-timeout-lowered"]
    assert "does not shorten TIME_WAIT" in found["fin-timeout-lowered"]["summary"]


CONNTRACK = """
import subprocess
def iptables(*rule):
    done = subprocess.run(["iptables", "-w", *rule], capture_output=True, text=True)
    if done.returncode:
        print("no connection tracking in a private namespace here:", done.stderr, file=sys.stderr)
        sys.exit(77)
"""
needs_iptables = pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")


@needs_iptables
def test_nat_failures(provoke: Provoke) -> None:
    """Ten ports for source NAT: the eleventh connect hangs, and never fails with errno 99."""
    found = provoke(
        CONNTRACK
        + """
snat = ["-j", "SNAT", "--to", "198.18.0.2:40000-40009"]
iptables("-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "--dport", "8080", *snat)
server = listen("198.18.0.1", 8080)
outcomes = []
for _ in range(12):
    client = socket.socket()
    client.settimeout(0.3)
    try:
        client.connect(("198.18.0.1", 8080))
        outcomes.append("open")
    except socket.timeout:
        outcomes.append("hangs")
    kept.append(client)
assert outcomes == ["open"] * 10 + ["hangs"] * 2, outcomes
"""
        + QUIET,
        check=False,
        addresses=("198.18.0.1", "198.18.0.2"),
    )
    assert found["nat-failures"]["evidence"]["insert_failed"] >= 2
    assert "never fail with errno 99" in found["nat-failures"]["remedy"]


@needs_iptables
def test_conntrack_near_limit(provoke: Provoke) -> None:
    found = provoke(
        CONNTRACK
        + """
iptables("-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
iptables("-A", "OUTPUT", "-p", "icmp", "-j", "DROP")
limit = int(open("/proc/sys/net/netfilter/nf_conntrack_max").read())
if limit > 600000:
    print(f"the table takes {limit} entries, too many to fill", file=sys.stderr)
    sys.exit(77)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(limit * 0.82)):
    try:
        sender.sendto(b"", (f"127.0.1.{number // 60000}", 1024 + number % 60000))
    except OSError:
        pass
"""
        + QUIET,
        check=False,
    )
    evidence = found["conntrack-near-limit"]["evidence"]
    assert evidence["entries"] >= evidence["limit"] * 0.8


def test_stale_recycle_line(provoke: Provoke) -> None:
    """In a file that systemd-sysctl would read; /etc/sysctl.d is private here."""
    found = provoke(
        f"""
with open("/etc/sysctl.d/10-old.conf", "w") as stream:
    stream.write("# from an old article\\nnet.ipv4.tcp_tw_recycle = 1\\nnet.ipv4.tcp_nonsense = 1\\n")
{QUIET}"""
    )
    assert found["recycle-line-stale"]["evidence"] == {"file": "/etc/sysctl.d/10-old.conf", "line": 2}
