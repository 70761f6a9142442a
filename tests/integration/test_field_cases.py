# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators ran into, on 500 ports: the verdict, the cause and the remedy, as JSON and in words."""

from __future__ import annotations

import errno
import html
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import counters
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._border import parse
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Report, Usage
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.host import Host
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import render
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.gate import Usages, judge, read_limits
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from .inside import private
from .network import BIND, Network, bind_for_real, connect_for_real, observed, peers_without_timestamps, set_sysctls
from .test_namespaces import neighbour
from .test_probe import counted

HOST, OTHER, THIRD = "198.18.0.1", "198.18.0.2", "198.18.0.3"
LOW, HIGH = 40000, 40499
PORTS = HIGH - LOW + 1
EXHAUSTED = errno.EADDRNOTAVAIL
PRIVILEGED = pytest.mark.parametrize("privileged", [True, False], ids=["root", "nobody"])


def findings(usage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in usage["findings"]}


def said(usage: dict[str, Any]) -> str:
    return " ".join(" ".join(describe(usage)).split())


def report(usage: dict[str, Any]) -> Report:
    host = Host("web1")
    host.on_usage(parse(Usage, json.loads(json.dumps(usage))))
    return make_report({"web1": host}, META)


def terminal(usage: dict[str, Any]) -> str:
    return " ".join(" ".join(line.text for line in summary_lines(report(usage))).split())


def page(usage: dict[str, Any]) -> str:
    """The text of the HTML page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", "".join(render(report(usage))))).split())


@PRIVILEGED
@private
def test_open_connections_to_many_destinations_from_bound_sockets(privileged: bool) -> None:
    """Each destination has one connection, and yet nobody gets a port any more."""
    with Network(LOW, HIGH, HOST, OTHER) as network:
        for number in range(PORTS):
            assert len(network.open((HOST, 8000 + number), 1, (HOST, 0), BIND)) == 1
        assert bind_for_real(HOST) == errno.EADDRINUSE
        assert connect_for_real((OTHER, 443)) == EXHAUSTED
        usage = observed(privileged)
    assert usage["level"] == "exhausted"
    assert usage["probe"] == ("asked" if privileged else "not_allowed")
    assert (usage["port_range"]["held"], usage["port_range"]["usable"]) == (PORTS, 0)
    (bound,) = (pool for pool in usage["pools"] if pool["kind"] == "bind")
    assert (bound["source"], bound["blocked"], bound["usable"]) == (HOST, PORTS, PORTS)
    assert (bound["level"], bound["probe"]["errno"]) == ("exhausted", errno.EADDRINUSE)
    found = findings(usage)["bind-before-connect"]
    assert found["severity"] == "critical"
    assert "A wider range helps for a while" in found["remedy"]
    verdict = f"EXHAUSTED: every port of the range is reserved or held by bound sockets ({PORTS} of {PORTS})."
    assert said(usage).startswith(verdict)
    assert "Nothing to do" not in said(usage)


@pytest.mark.parametrize(("share", "level"), [(0.3, "ok"), (0.45, "warning"), (0.6, "critical"), (1.0, "exhausted")])
@PRIVILEGED
@private
def test_one_source_and_ten_endpoints(privileged: bool, share: float, level: str) -> None:
    """A proxy that binds its upstream connections: ten destinations, each far from its limit, and one pool of ports."""
    with Network(LOW, HIGH, HOST, OTHER) as network:
        for number in range(int(PORTS * share)):
            assert len(network.open((OTHER, 8000 + number % 10), 1, (HOST, 0), BIND)) == 1
        assert bind_for_real(HOST) == (errno.EADDRINUSE if level == "exhausted" else 0)
        assert bind_for_real(OTHER) == 0
        usage = observed(privileged)
    assert usage["level"] == level
    (bound,) = (pool for pool in usage["pools"] if pool["kind"] == "bind")
    assert (bound["source"], bound["blocked"], bound["level"]) == (HOST, int(PORTS * share), level)
    assert findings(usage)["bind-before-connect"]["severity"] == ("warning" if share < 0.5 else "critical")
    if level in ("warning", "critical"):
        assert f"of 500 local ports for bind() to {HOST} are blocked" in said(usage)
        assert f"any (bind) from {HOST}" in said(usage)


@pytest.mark.parametrize(
    ("share", "level"), [(0.3, "ok"), (0.45, "warning"), (0.6, "critical"), (0.9, "critical"), (1.0, "exhausted")]
)
@PRIVILEGED
@private
def test_short_connections_from_bound_sockets_to_three_destinations(privileged: bool, share: float, level: str) -> None:
    """The finding is there all the way, and where all ports are gone the verdict as well."""
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=1) as network:
        for number in range(int(PORTS * share)):
            assert network.leave_time_wait((HOST, 8000 + number % 3), 1, (HOST, 0), BIND) == 1
        met = connect_for_real((OTHER, 443))
        usage = observed(privileged)
    assert met == (EXHAUSTED if level == "exhausted" else 0)
    assert usage["level"] == level
    evidence = findings(usage)["bind-before-connect"]["evidence"]
    assert (evidence["ports_chosen_by_bind"], evidence["sources"]) == (share * PORTS, {HOST: share * PORTS})


@PRIVILEGED
@private
def test_ports_of_binders_are_missing_to_others(privileged: bool) -> None:
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=0) as network:
        for number in range(320):
            assert len(network.open((HOST, 8000 + number), 1, (HOST, 0), BIND)) == 1
        assert network.leave_time_wait((OTHER, 443), PORTS) == 180
        assert connect_for_real((OTHER, 443)) == EXHAUSTED
        usage = observed(privileged)
    assert usage["level"] == ("exhausted" if privileged else "critical")
    assert "bind-before-connect" in findings(usage)
    (other,) = (pool for pool in usage["pools"] if pool["address"] == OTHER)
    assert (other["blocked"], other["usable"]) == (180, 180)
    assert other["level"] == ("exhausted" if privileged else "unknown")
    (bound,) = (pool for pool in usage["pools"] if pool["kind"] == "bind")
    assert (bound["source"], bound["blocked"], bound["usable"], bound["level"]) == (HOST, 320, PORTS, "critical")
    assert bound["probe"]["errno"] == 0
    if privileged:
        assert (other["probe"]["errno"], other["probe"]["lacks"]) == (EXHAUSTED, "port")
        assert f"no local port is left towards {OTHER}:443: 180 are blocked" in said(usage)
        assert "IP_BIND_ADDRESS_NO_PORT" in findings(usage)["destination-exhausted"]["remedy"]


@PRIVILEGED
@private
def test_a_peer_without_timestamps_where_reuse_is_on(privileged: bool) -> None:
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=1, tcp_tw_reuse_delay=1) as network:
        with peers_without_timestamps():
            assert network.leave_time_wait((HOST, 443), PORTS) == PORTS
        assert connect_for_real((HOST, 443)) == EXHAUSTED
        usage = observed(privileged)
    # Without asking, those count that were closed so lately that reuse would not have them yet.
    assert usage["level"] in (("exhausted",) if privileged else ("unknown", "critical"))
    if privileged:
        (pool,) = usage["pools"]
        assert (pool["blocked"], pool["reusable"], pool["hold_seconds"]) == (PORTS, 0, 60.0)
        found = findings(usage)["reuse-fails"]
        assert (found["severity"], found["evidence"]["time_wait"]) == ("critical", PORTS)
        assert "A closed connection blocks its port for 60 s" in said(usage)
        for told in (said(usage), terminal(usage), page(usage)):
            assert "Switch TCP timestamps on at the peer" in told
        assert "web1 exhausted*" in terminal(usage)
        assert "no port in" in page(usage)


@private
def test_the_gate_sees_that_reuse_did_nothing() -> None:
    """Switched on for a peer without timestamps: no connection gets through, before the change and after it."""
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=2, tcp_tw_reuse_delay=1) as network:
        with peers_without_timestamps():
            network.leave_time_wait((HOST, 443), PORTS)
        before = observed()
        set_sysctls(tcp_tw_reuse=1)
        after = observed()
    judged = judge(Usages(before, before, after), None, read_limits({}))
    failed = {check["id"]: check["message"] for check in judged["checks"] if check["status"] == "failed"}
    assert sorted(failed) == ["connects-possible", "reuse-works"]
    assert "none of them is reused" in failed["reuse-works"]


@private
def test_the_same_with_timestamps_is_well() -> None:
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=1, tcp_tw_reuse_delay=1) as network:
        assert network.leave_time_wait((HOST, 443), PORTS, None) == PORTS
        usage = observed()
        assert connect_for_real((HOST, 443)) == 0
    assert usage["level"] != "exhausted"
    assert usage["pools"][0]["probe"]["errno"] == 0
    assert "reuse-fails" not in findings(usage)


@pytest.mark.parametrize(
    ("state", "identifier", "words"),
    [
        ("close_wait", "close-wait-leak", "a program on this host has not"),
        ("syn_sent", "syn-sent-unanswered", "neither the peer nor a firewall"),
        ("fin_wait2", "fin-wait2-held", "for the peer to close"),
        ("established", "too-many-open", "are open (ESTABLISHED)"),
    ],
)
@private
def test_states_are_told_apart(state: str, identifier: str, words: str) -> None:
    """Keep-alive cures none of them, tcp_tw_reuse neither, and neither is advised."""
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=2) as network:
        assert getattr(network, f"leave_{state}")((HOST, 443), 465) == 465
        usage = observed()
    found = findings(usage)
    assert usage["level"] == "critical"
    assert words in found[identifier]["summary"]
    assert words in found["destination-critical"]["remedy"]
    assert sorted(found) == sorted(["destination-critical", identifier])
    assert f"{state.upper()}" in said(usage)
    assert "connect() takes long to find a free one: " in said(usage)  # for so long, which was measured
    assert found["destination-critical"]["evidence"]["search_us"] == usage["pools"][0]["probe"]["search_us"] > 0
    assert re.search(r"found a port in \d+ us level by the kernel", page(usage))
    for told in (said(usage), terminal(usage), page(usage)):
        assert "(HTTP keep-alive, a pool)" not in told
        assert identifier in told


@private
def test_syns_that_nobody_answers_are_sent_again() -> None:
    with Network(LOW, HIGH, HOST, OTHER) as network:
        assert network.leave_syn_sent((HOST, 443), 150) == 150
        deadline = time.monotonic() + 30
        while counters.read_counters()["TCPSynRetrans"] < 149:  # the first one was accepted
            assert time.monotonic() < deadline
            time.sleep(0.05)
        usage = observed()
    found = findings(usage)["syn-retransmissions"]
    assert found["severity"] == "warning"
    assert found["evidence"] == {"opened": 150, "sent_again": 149, "waiting": 149}
    assert "Up to 149 of 150 connections opened since boot had to send their SYN again (99%)" in said(usage)


@private
def test_time_wait_at_a_service_blocks_nothing() -> None:
    with Network(LOW, HIGH, HOST, OTHER) as network:
        for client, peer in network.open((HOST, 443), 60):
            peer.close()
            client.recv(1)
            client.close()
        usage = observed()
    assert (usage["level"], usage["pools"], usage["time_wait_at_services"]) == ("ok", [], 60)
    for told in (said(usage), page(usage)):
        assert "60 more sockets in TIME_WAIT are at services of this host. They block no port." in told


@private
def test_a_leak_in_a_pod_seen_from_the_node() -> None:
    """The node has ports; that other network namespaces exist, and were not observed, is said."""
    usage = observed(detail="auto")
    others = {one["what"]: one for one in usage["not_observed"]}.get("namespaces", {"number": 0})["number"]
    with neighbour():
        usage = observed(detail="auto")
    assert usage["level"] == "ok"
    left = {one["what"]: one for one in usage["not_observed"]}
    assert left["namespaces"]["number"] > others
    assert "other network namespace" in said(usage)
    assert "other network namespaces on 1 host" in terminal(usage)
    assert "other network namespace" in page(usage)


@pytest.mark.parametrize("method", ["auto", "procfs"])
@pytest.mark.parametrize("detail", ["auto", "full"])
@private
def test_a_published_port_in_the_range(method: str, detail: str) -> None:
    """An outgoing connection has taken it while the service restarted. Told also where no other socket is read."""
    with Network(LOW, HIGH, HOST, OTHER) as network:
        network.listen(HOST, LOW + 300)
        usage = observed(detail=detail, method=method)
        set_sysctls(ip_local_reserved_ports=LOW + 300)
        assert "listener-in-range" not in findings(observed(detail=detail, method=method))
    assert (usage["level"], usage["method"] == "sockstat") == ("ok", detail == "auto")
    assert findings(usage)["listener-in-range"]["evidence"] == {"ports": str(LOW + 300)}
    for words in (said(usage), terminal(usage), page(usage)):
        assert "Reserve these ports (ip_local_reserved_ports)" in words
    assert "Nothing to do" not in said(usage)


@private
def test_errno_99_because_ipv6_is_off() -> None:
    with Network(LOW, HIGH, HOST):
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        assert connect_for_real(("::1", 9092)) == EXHAUSTED
        usage = observed(detail="auto", destination="[::1]:9092")
    assert usage["level"] == "ok"
    (pool,) = usage["pools"]
    assert (pool["source"], pool["probe"]["errno"], pool["probe"]["lacks"]) == (None, EXHAUSTED, "address")
    assert findings(usage)["no-source-address"]["summary"] == (
        "connect() to [::1]:9092 fails with errno 99, but not for want of a port: IPv6 is switched off."
    )
    assert "Nothing to do" not in said(usage)
    for told in (said(usage), page(usage)):
        assert "but not for want of a port: IPv6 is switched off" in told
    assert "no-source-address" in terminal(usage)
    assert "no address (errno 99)" in page(usage)


@private
def test_no_route_to_a_named_destination() -> None:
    with Network(LOW, HIGH, HOST):
        usage = observed(destination="192.0.2.1:80")
    assert list(findings(usage)) == ["no-route"]
    assert usage["pools"][0]["probe"]["lacks"] == "route"


@private
def test_a_named_destination_without_sockets_is_asked_about() -> None:
    with Network(LOW, HIGH, HOST):
        usage = observed(detail="auto", destination=f"{HOST}:443")
        (pool,) = usage["pools"]
        assert (usage["level"], usage["probe"], pool["probe"]["errno"]) == ("ok", "asked", 0)
        assert "a dry connect found port" in said(usage)
        never = observed(destination=f"{HOST}:443", probe="never")
        assert (never["level"], never["probe"], never["pools"][0]["probe"]) == ("ok", "never", None)


@pytest.mark.parametrize("detail", ["auto", "full"])
@private
def test_a_healthy_host_is_not_asked(detail: str) -> None:
    """Its range is large: sockets of the whole machine count against the proof that it is healthy."""
    with Network(20000, 59999, HOST) as network:
        network.leave_time_wait((HOST, 443), 50)
        before = counted()
        usage = observed(detail=detail)
        assert counted() == before
    assert (usage["level"], usage["probe"]) == ("ok", "not_needed")
