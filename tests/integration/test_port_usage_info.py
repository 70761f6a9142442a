# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagnosis against the real kernel, in private network namespaces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import InNamespace
from .observing import TOOLS


@pytest.fixture
def inside(in_namespace: InNamespace) -> Any:
    def run(source: str, **sysctls: str) -> Any:
        names = {f"net.ipv4.{key}": value for key, value in sysctls.items()}
        return json.loads(in_namespace(TOOLS + source, sysctls=names).stdout)

    return run


@pytest.mark.parametrize("method", ["netlink", "procfs"])
def test_exhausted_destination_is_named(inside: Any, method: str) -> None:
    """Default settings, a local address that is not 127/8: tcp_tw_reuse = 2 does not help."""
    got = inside(f"""
server = listen("198.18.0.1", 8080)
outcome = connect(server, 600, "198.18.0.1", 8080)
print(json.dumps([outcome, observe(method="{method}")]))
""")
    outcome, usage = got
    assert outcome == [500, 99]
    assert usage["method"] == method
    assert usage["level"] == "exhausted"
    assert usage["port_range"] == {
        "low": 32768, "high": 33267, "size": 500, "reserved": 0, "held": 0, "usable": 500
    }  # fmt: skip
    (pool,) = usage["pools"]
    answer = pool.pop("probe")
    assert (answer["errno"], answer["lacks"], answer["port"]) == (99, "port", None)
    # How many of them came in the last second is a matter of this machine's speed.
    rate, forecast, _trend = (pool.pop(name) for name in ("rate", "forecast", "trend"))
    assert 0 < pool.pop("longest_left_seconds") <= 60.1
    assert pool == {
        "kind": "connect",
        "source": "198.18.0.1",
        "address": "198.18.0.1",
        "port": 8080,
        "usable": 500,
        "blocked": 500,
        "time_wait": 500,
        "live": 0,
        "reusable": 0,
        "states": {},
        "syn_resent": 0,
        "live_by": None,
        "hold_seconds": 60.0,
        "time_wait_seconds": 60.0,
        "saturation": 1.0,
        "level": "exhausted",
        "nat": None,
    }
    assert rate["last_60s"] == 8.3
    assert rate["last_1s"] <= 10 * rate["last_10s"] <= 500
    assert (forecast["seconds_to_critical"], forecast["seconds_to_exhausted"]) == (0.0, 0.0)
    assert usage["sockets"]["TIME_WAIT"] == 500
    assert usage["listening_ports"]["tcp"] == [8080]
    assert usage["complete"] is (True if method == "netlink" else None)


@pytest.mark.parametrize(
    ("number", "level"), [(199, "ok"), (200, "warning"), (249, "warning"), (250, "critical"), (499, "critical")]
)
def test_levels(inside: Any, number: int, level: str) -> None:
    got = inside(f"""
server = listen("198.18.0.1", 8080)
connect(server, {number}, "198.18.0.1", 8080)
print(json.dumps(observe()))
""")
    assert (got["level"], got["pools"][0]["blocked"]) == (level, number)


def test_what_the_kernel_counts_is_what_is_left(inside: Any) -> None:
    """usable minus blocked is exactly how many more connections succeed, with reservations, listeners and live ones."""
    before, more, after = inside(
        """
server = listen("198.18.0.1", 8080)
inner = listen("0.0.0.0", 32770)
bound = socket.socket(); bound.bind(("127.0.0.1", 32771))
connect(server, 40, "198.18.0.1", 8080)
connect(server, 10, "198.18.0.1", 8080, keep=True)
before = observe()
more = connect(server, 600, "198.18.0.1", 8080)
print(json.dumps([before, more, observe()]))
""",
        ip_local_reserved_ports="32780-32789,33000,40000",
    )
    ports, destination = before["port_range"], before["pools"][0]
    assert (ports["reserved"], ports["held"], ports["usable"]) == (11, 2, 487)
    assert (destination["blocked"], destination["live"]) == (50, 10)
    assert more == [487 - 50, 99]
    assert after["pools"][0]["level"] == "exhausted"


def test_ports_that_may_be_taken_over_are_not_blocked(inside: Any) -> None:
    young, old, more = inside(
        """
server = listen("198.18.0.1", 8080)
connect(server, 300, "198.18.0.1", 8080)
young = observe()
time.sleep(1.6)
old = observe()
print(json.dumps([young, old, connect(server, 450, "198.18.0.1", 8080)]))
""",
        tcp_tw_reuse="1",
    )
    # Where that took more than a second, the first of them are reusable already.
    assert young["pools"][0]["blocked"] + young["pools"][0]["reusable"] == 300
    assert young["pools"][0]["blocked"] > 0
    assert (old["pools"][0]["blocked"], old["pools"][0]["time_wait"]) == (0, 300)
    assert old["pools"][0]["hold_seconds"] == old["kernel"]["reuse_delay"]["milliseconds"] / 1000
    assert more == [450, 0]


def test_two_looks_give_rates_and_no_counter_knows_of_errno_99(inside: Any) -> None:
    before, refused, between, more, after = inside("""
server = listen("198.18.0.1", 8080)
connect(server, 20, "198.18.0.1", 8080)
before = observe()
refused = socket.socket().connect_ex(("198.18.0.1", 9))
between = observe()
more = connect(server, 600, "198.18.0.1", 8080)
print(json.dumps([before, refused, between, more, observe()]))
""")

    def grown(name: str, start: Any, end: Any) -> int:
        return end["counters"][name] - start["counters"][name]

    assert (before["counters"]["ActiveOpens"], before["counters"]["AttemptFails"]) == (20, 0)
    assert refused == 111
    assert (grown("ActiveOpens", before, between), grown("AttemptFails", before, between)) == (1, 1)
    assert more == [480, 99]
    assert (grown("ActiveOpens", between, after), grown("AttemptFails", between, after)) == (480, 0)
    assert before["uptime"] <= between["uptime"] <= after["uptime"]
    assert after["uptime"] > 0


def test_loopback_rule_of_reuse_2(inside: Any) -> None:
    got = inside("""
for address in ("127.0.0.1", "198.18.0.1"):
    connect(listen(address, 8080), 20, address, 8080)
print(json.dumps(observe()))
""")
    holds = {one["address"]: one["hold_seconds"] for one in got["pools"]}
    assert holds == {"127.0.0.1": 1.0, "198.18.0.1": 60.0}


def test_v4_mapped_sockets_share_the_ports_of_ipv4(inside: Any) -> None:
    got, more = inside("""
server = listen("::", 8080, socket.AF_INET6)
connect(server, 30, "::ffff:198.18.0.1", 8080, socket.AF_INET6)
connect(server, 20, "198.18.0.1", 8080)
connect(server, 5, "::1", 8080, socket.AF_INET6)
print(json.dumps([observe(), connect(server, 600, "198.18.0.1", 8080)]))
""")
    assert {one["address"]: one["blocked"] for one in got["pools"]} == {"198.18.0.1": 50, "::1": 5}
    assert more == [450, 99]


def test_server_side_sockets_block_nothing(inside: Any) -> None:
    got = inside("""
server = listen("198.18.0.1", 8080)
for _ in range(50):
    client = socket.socket(); client.connect(("198.18.0.1", 8080)); peer, _ = server.accept()
    peer.close(); client.recv(1); client.close()
while any(line.split()[3] in ("04", "05", "09") for line in open("/proc/net/tcp")):  # FIN_WAIT1, FIN_WAIT2, LAST_ACK
    time.sleep(0.01)
print(json.dumps(observe()))
""")
    # A client may take the port of an earlier one, whose TIME_WAIT at the server it then ends (RFC 6191).
    assert 40 <= got["sockets"]["TIME_WAIT"] <= 50
    assert got["pools"] == []
    assert got["level"] == "ok"


def test_one_destination_only(inside: Any) -> None:
    got = inside("""
for port in (8080, 8081):
    connect(listen("198.18.0.1", port), 10, "198.18.0.1", port)
print(json.dumps([observe(destination="198.18.0.1"), observe(destination="198.18.0.1:8081"),
                  observe(destination="198.18.0.2"), observe(max_pools=1)]))
""")
    assert [[one["port"] for one in usage["pools"]] for usage in got] == [[8080, 8081], [8081], [], [8080]]


def test_no_privilege_is_needed(inside: Any) -> None:
    """As an ordinary user the messages are shorter, and neither /proc/sys nor the sockets are hidden."""
    got = inside("""
import os
server = listen("198.18.0.1", 8080)
connect(server, 100, "198.18.0.1", 8080)
reader, writer = os.pipe()
if not os.fork():
    import ctypes
    libc = ctypes.CDLL(None)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
    assert libc.capset(ctypes.byref(Header(0x20080522, 0)), (ctypes.c_uint32 * 6)()) == 0
    os.write(writer, json.dumps(observe(method="netlink")).encode())
    os._exit(0)
os.wait()
print(os.read(reader, 1 << 20).decode())
""")
    assert got["pools"][0]["blocked"] == 100


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("max_pools=0", "max_pools must be between 1 and 1000, not 0"),
        ("warning_threshold=0.6", "warning_threshold 0.6 and critical_threshold 0.5 must rise"),
        ("critical_threshold=1.5", "critical_threshold 1.5 must rise and be between 0 and 1"),
        ('destination="example.org:80"', "destination 'example.org:80' is not ADDRESS, ADDRESS:PORT"),
        ('destination="192.0.2.1:70000"', "destination '192.0.2.1:70000' is not ADDRESS, ADDRESS:PORT"),
    ],
)
def test_bad_input_is_named(inside: Any, params: str, message: str) -> None:
    got = inside(f"""
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
try:
    observe({params})
except OptionError as error:
    print(json.dumps(str(error)))
""")
    assert message in got
