# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load against the real kernel: 500 ports, a server on an address of its own, default settings unless said."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

InNamespace = Callable[..., subprocess.CompletedProcess[str]]
Stress = Callable[..., dict[str, Any]]

# Does what the module does after checking its arguments. The second argument is run before.
STRESS = """
import json, os, socket, sys, time
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress.run import run_load as stress
DEFAULTS = dict(url=None, serve="198.18.0.1", serve_port=8080, rate=0.0, concurrency=10, connect_timeout=5.0)
exec(sys.argv[2])
result = stress({**DEFAULTS, **json.loads(sys.argv[1])})
assert not open(f"/proc/self/task/{os.getpid()}/children").read(), "the server is still there"
print(json.dumps(result))
"""


@pytest.fixture
def stress(in_namespace: InNamespace) -> Stress:
    pytest.importorskip("pycurl")

    def run(parameters: dict[str, Any], before: str = "", **namespace: object) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(in_namespace(STRESS, json.dumps(parameters), before, **namespace).stdout)
        return result

    return run


def pairs(result: dict[str, Any]) -> dict[tuple[int, int], int]:
    return {(error["curl_code"], error["errno"]): error["count"] for error in result["errors"]}


AT_RATE = {"total": 1500, "rate": 300.0, "time_limit": 30.0}


def test_default_kernel_runs_out_of_ports(stress: Stress) -> None:
    result = stress(AT_RATE)
    assert pairs(result) == {(7, errno.EADDRNOTAVAIL): 1000}
    assert (result["attempted"], result["succeeded"], result["failures"]) == (1500, 500, 1000)
    assert result["port_exhaustion"] == 1000
    assert result["errors"][0]["curl_name"] == "CURLE_COULDNT_CONNECT"
    assert result["errors"][0]["errno_name"] == "EADDRNOTAVAIL"
    assert "ephemeral port exhaustion" in result["errors"][0]["meaning"]
    assert result["time_wait"] == {"before": 0, "after": 500, "delta": 500}
    assert result["tw_recycled"]["delta"] == 0
    assert result["stopped_by"] == "total"
    assert result["url"] == "http://198.18.0.1:8080/"
    assert all(value > 0 for value in result["connect_ms"].values())


def test_reuse_keeps_up_the_same_load(stress: Stress) -> None:
    result = stress(AT_RATE, sysctls={"net.ipv4.tcp_tw_reuse": "1"})
    assert (result["succeeded"], result["errors"]) == (1500, [])
    assert result["tw_recycled"]["delta"] >= 1000
    assert result["time_wait"]["after"] <= 500


def test_another_destination_has_ports_of_its_own(stress: Stress) -> None:
    first = 'stress({**DEFAULTS, "total": 600, "time_limit": 30.0})'
    result = stress({"total": 400, "time_limit": 30.0, "serve_port": 8081}, first)
    assert (result["succeeded"], result["errors"]) == (400, [])
    # A connection that the server has not closed yet is none of them, nor one whose port was taken anew (RFC 6191).
    assert 450 <= result["time_wait"]["before"] <= 500
    assert 850 <= result["time_wait"]["after"] <= 900


def test_refused_is_not_exhausted(stress: Stress) -> None:
    result = stress({"url": "http://198.18.0.1:9/", "serve": None, "total": 600, "time_limit": 30.0})
    assert pairs(result) == {(7, errno.ECONNREFUSED): 600}
    assert result["port_exhaustion"] == 0
    assert "not port exhaustion" in result["errors"][0]["meaning"]
    assert set(result["connect_ms"].values()) == {None}


def test_no_address_to_connect_from_is_no_port_exhaustion(stress: Stress) -> None:
    """Although many sockets are in TIME_WAIT: they have nothing to do with this destination."""
    before = """
stress({**DEFAULTS, "total": 200, "time_limit": 30.0})
open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w").write("1")
"""
    result = stress({"url": "http://[::1]:9/", "serve": None, "total": 20, "time_limit": 30.0}, before)
    assert pairs(result) == {(7, errno.EADDRNOTAVAIL): 20}
    assert "no local address to connect from" in result["errors"][0]["meaning"]
    assert result["port_exhaustion"] == 0
    assert result["time_wait"]["before"] == 200


def test_port_exhaustion_without_time_wait(stress: Stress) -> None:
    """A few idle sockets that called bind() have every port."""
    before = """
holders = [socket.socket() for _ in range(500)]
for one in holders:
    one.bind(("127.0.0.1", 0))
"""
    result = stress({"url": "http://198.18.0.1:9/", "serve": None, "total": 20, "time_limit": 30.0}, before)
    assert result["port_exhaustion"] == 20
    assert "ephemeral port exhaustion" in result["errors"][0]["meaning"]


def test_time_limit(stress: Stress) -> None:
    result = stress({"total": 100000, "rate": 100.0, "time_limit": 1.0})
    assert result["stopped_by"] == "time_limit"
    assert 50 <= result["attempted"] <= 110
    assert result["errors"] == []


# A listener that accepts in the kernel, and never answers.
SILENT = """
silent = socket.create_server(("198.18.0.1", 8081))
"""


@pytest.mark.parametrize("total", [1000, 7], ids=["some never started", "all started"])
def test_silence_counts_as_timed_out(stress: Stress, total: int) -> None:
    target = {"url": "http://198.18.0.1:8081/", "serve": None, "total": total, "concurrency": 7}
    result = stress({**target, "time_limit": 0.5, "connect_timeout": 0.5}, SILENT)
    assert pairs(result) == {(28, 0): 7}
    assert (result["attempted"], result["succeeded"], result["stopped_by"]) == (7, 0, "time_limit")


# The kernel drops what a full queue of new connections cannot take.
FULL = """
full = socket.create_server(("198.18.0.1", 8081), backlog=0)
first = socket.create_connection(("198.18.0.1", 8081))
"""


def test_no_handshake_is_a_timeout_too(stress: Stress) -> None:
    target = {"url": "http://198.18.0.1:8081/", "serve": None, "total": 20, "concurrency": 20}
    result = stress({**target, "time_limit": 20.0, "connect_timeout": 0.3}, FULL)
    assert {error["curl_code"]: error["count"] for error in result["errors"]} == {28: 20}
    assert result["port_exhaustion"] == 0
    assert result["stopped_by"] == "total"


def test_too_few_open_files_is_said_before(in_namespace: InNamespace) -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))"
    done = in_namespace(STRESS, '{"total": 9, "time_limit": 9, "concurrency": 500}', few, check=False)
    assert "OptionError: concurrency 500 is too high: this process may open 300 files at most" in done.stderr


# The load, and what the kernel counted of it: connections that were opened, whatever the module says of them, and
# those to a second listener, to which a redirect of the first leads.
WITNESSED = """
import threading
def answer(listener):
    while True:
        client = listener.accept()[0]
        client.recv(65536)
        client.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://198.18.0.1:8083/\\r\\nContent-Length: 0\\r\\n\\r\\n")
        client.close()

def opened():
    names, values = [line.split() for line in open("/proc/net/snmp") if line.startswith("Tcp:")]
    return int(values[names.index("ActiveOpens")])

def others():
    try:
        return elsewhere.accept()[1]
    except BlockingIOError:
        return None

def witnessed(options):
    before = opened()
    result = load(options)
    return {**result, "opened": opened() - before, "others": others()}

silent, redirecting, elsewhere = [socket.create_server(("198.18.0.1", port)) for port in (8081, 8082, 8083)]
elsewhere.setblocking(False)
threading.Thread(target=answer, args=[redirecting], daemon=True).start()
load, stress = stress, witnessed
"""
ELSEWHERE = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://198.18.0.1:8083")


@pytest.mark.parametrize(
    ("port", "bounds", "most"),
    [
        (8082, {"total": 40, "time_limit": 60.0}, 40),
        (8082, {"total": 1000000, "time_limit": 0.5, "rate": 100.0}, 51),
        (8081, {"total": 1000000, "time_limit": 0.5, "connect_timeout": 0.5, "concurrency": 7}, 7),
    ],
    ids=["total", "time limit at a rate", "concurrency"],
)
def test_the_kernel_counts_no_more_than_the_bounds_and_nobody_else(
    stress: Stress, port: int, bounds: dict[str, Any], most: int
) -> None:
    target = {"url": f"http://198.18.0.1:{port}/", "serve": None}
    result = stress({**target, **bounds}, WITNESSED, environment=ELSEWHERE)
    assert result["others"] is None
    assert 0 < result["opened"] == result["attempted"] <= most
    assert result["stopped_by"] == ("total" if bounds["total"] == most else "time_limit")


# A server that answers with an error.
BROKEN = """
listener = socket.create_server(("198.18.0.1", 8081))
if not os.fork():
    while True:
        client, _ = listener.accept()
        client.recv(65536)
        client.sendall(b"HTTP/1.1 503 Service Unavailable\\r\\nContent-Length: 0\\r\\n\\r\\n")
"""


# A server of endless answers, in body or head, for as many connections as there will be, and the one that waits for it.
# It is nobody's child when the load begins, as the children are counted that are left.
ENDLESS = """
if not os.fork():
    if os.fork():
        os._exit(0)
    import signal
    signal.alarm(120)
    listener = socket.create_server(("198.18.0.1", 8081))
    for _ in range(6):
        client, _ = listener.accept()
        client.recv(65536)
        try:
            client.sendall(b"HTTP/1.1 200 OK\\r\\n" + {head})
            while True:
                client.sendall({part} * 1000)
        except OSError:
            client.close()
    os._exit(0)
os.wait()
while True:
    try:
        socket.create_connection(("198.18.0.1", 8081)).close()
        break
    except OSError:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("part", ["body", "head"])
def test_an_endless_answer_is_cut_off(stress: Stress, part: str) -> None:
    """Read without a bound, each would go on until it is timed out."""
    head, endless = ('b"\\r\\n"', 'b"x" * 100') if part == "body" else ('b""', 'b"X-A: " + b"x" * 93 + b"\\r\\n"')
    server = ENDLESS.replace("{head}", head).replace("{part}", f"({endless})")
    target = {"url": "http://u:secret@198.18.0.1:8081/?token=secret", "serve": None, "total": 5, "time_limit": 60.0}
    result = stress({**target, "concurrency": 1}, server)
    assert (result["succeeded"], result["cut_off"], result["stopped_by"]) == (5, 5, "total")
    assert result["url"] == "http://198.18.0.1:8081/"


def test_a_host_without_sockstat(stress: Stress) -> None:
    """Sandboxes have none."""
    hide = "from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import sockstat\n"
    hide += "sockstat.open = lambda path, **_options: open('/absent')\n"
    result = stress({"total": 10, "time_limit": 20.0}, hide)
    assert (result["succeeded"], result["time_wait"]) == (10, None)


def test_http_errors_are_failures(in_namespace: InNamespace) -> None:
    source = STRESS.replace(
        "assert not", "os.kill(int(open(f'/proc/self/task/{os.getpid()}/children').read()), 9); 0 and"
    )
    parameters = {"url": "http://198.18.0.1:8081/", "serve": None, "total": 20, "time_limit": 20.0}
    result = json.loads(in_namespace(source, json.dumps(parameters), BROKEN).stdout)
    assert {error["curl_code"]: error["count"] for error in result["errors"]} == {22: 20}
    assert "HTTP status" in result["errors"][0]["meaning"]


def test_proxies_of_the_environment_are_ignored(stress: Stress) -> None:
    proxy = {
        "http_proxy": "http://198.18.0.1:9",
        "HTTP_PROXY": "http://198.18.0.1:9",
        "ALL_PROXY": "http://198.18.0.1:9",
    }
    assert stress({"total": 10, "time_limit": 20.0}, environment=proxy)["succeeded"] == 10


@pytest.mark.parametrize("address", ["::1", "127.0.0.1", "fd99::1"])
def test_other_addresses(stress: Stress, address: str) -> None:
    result = stress({"serve": address, "serve_port": 0, "total": 50, "time_limit": 20.0}, addresses=["fd99::1"])
    assert (result["succeeded"], result["errors"]) == (50, [])


def test_many_at_a_time(stress: Stress) -> None:
    wide = {"net.ipv4.ip_local_port_range": "10000 60999"}
    result = stress({"total": 4000, "time_limit": 60.0, "concurrency": 1000}, sysctls=wide)
    assert (result["succeeded"], result["errors"]) == (4000, [])
