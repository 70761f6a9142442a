# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators ran into, on 500 ports: the verdict, the cause and the remedy, as JSON and in words."""

from __future__ import annotations

import errno
import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulated_fleet import META

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot.dialects import SYSTEMD, Loader
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import counters
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._border import parse
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Report, Usage
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.host import Host
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.page import render
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import summary_lines
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._rollout.gate import Usages, judge, read_limits
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from .dropin import DROPIN, RANGE, RESERVED, REUSE, absent, contents, get, present, put
from .inside import own_directory, private
from .neighbours import neighbour
from .network import (
    BIND,
    Network,
    bind_for_real,
    connect_for_real,
    observed,
    peers_without_timestamps,
    send_for_real,
    set_sysctls,
)
from .real_boot import boot, real_programs
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


@private
def test_the_next_step_is_for_what_the_verdict_names() -> None:
    """Clients that call bind() have many connections open to one destination: not keep-alive is what helps first."""
    with Network(LOW, HIGH, HOST, OTHER) as network:
        assert network.leave_established((OTHER, 443), 400, (HOST, 0), BIND) == 400
        usage = observed()
    assert f"for bind() to {HOST} are blocked" in said(usage)
    assert "Next: Let clients set IP_BIND_ADDRESS_NO_PORT" in said(usage)


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
        assert "Next: Let clients set IP_BIND_ADDRESS_NO_PORT" in said(usage)


@PRIVILEGED
@private
def test_a_program_that_chooses_its_ports_itself(privileged: bool) -> None:
    """As HAProxy with `source ADDRESS:40300-40499`: ports of both halves, and none of them is left to others."""
    with Network(LOW, HIGH, HOST, OTHER) as network:
        for port in range(LOW + 300, HIGH + 1):
            assert len(network.open((OTHER, 8000), 1, (HOST, port), BIND)) == 1
        assert network.leave_established((OTHER, 443), PORTS) == 300
        assert connect_for_real((OTHER, 443)) == EXHAUSTED
        usage = observed(privileged)
    assert usage["port_range"]["usable"] == 300
    (full,) = (pool for pool in usage["pools"] if pool["port"] == 443)
    assert (full["blocked"], full["usable"]) == (300, 300)
    assert full["level"] == ("exhausted" if privileged else "unknown")
    (own,) = (pool for pool in usage["pools"] if pool["port"] == 8000)
    assert (own["blocked"], own["usable"]) == (200, 500)
    assert own["level"] == ("warning" if privileged else "unknown")
    assert findings(usage)["bind-before-connect"]["evidence"]["ports_chosen_by_bind"] == 200


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
    if level == "exhausted":
        assert "reuse-fails" not in findings(usage)  # these peers have timestamps


@pytest.mark.parametrize("reuse", [0, 1])
@PRIVILEGED
@private
def test_nobody_promises_reuse_where_bind_has_chosen_all_ports(privileged: bool, reuse: int) -> None:
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=reuse) as network:
        assert network.leave_time_wait((OTHER, 443), PORTS, (HOST, 0), BIND) == PORTS
        usage = observed(privileged)
    assert usage["level"] == "exhausted"
    assert "IP_BIND_ADDRESS_NO_PORT" in said(usage)
    for promise in ("frees ports after", "reused early already"):
        assert promise not in said(usage)


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
            assert "frees ports after" not in told
        assert "web1 exhausted*" in terminal(usage)
        assert "no port in" in page(usage)


@PRIVILEGED
@private
def test_this_host_has_no_timestamps_where_reuse_is_on(privileged: bool) -> None:
    """What frees ports is not tcp_tw_reuse, which is on, and the peers are not to blame."""
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=1, tcp_timestamps=0) as network:
        assert network.leave_time_wait((OTHER, 443), PORTS) == PORTS
        assert connect_for_real((OTHER, 443)) == EXHAUSTED
        usage = observed(privileged)
    assert usage["level"] == "exhausted"
    assert sorted(findings(usage)) == ["destination-exhausted", "reuse-without-timestamps"]
    assert "frees ports after 1 s (tcp_timestamps)" in findings(usage)["destination-exhausted"]["remedy"]
    assert "at the peer" not in said(usage)


@PRIVILEGED
@private
def test_a_leak_of_open_connections_in_the_pod_itself(privileged: bool) -> None:
    """No port is left, nothing is in TIME_WAIT, and no word of tcp_tw_reuse."""
    with Network(LOW, HIGH, HOST, OTHER, tcp_tw_reuse=2) as network:
        assert network.leave_established((OTHER, 443), PORTS) == PORTS
        assert connect_for_real((OTHER, 443)) == EXHAUSTED
        usage = observed(privileged)
    assert usage["level"] == "exhausted"
    assert sorted(findings(usage)) == ["destination-exhausted", "too-many-open"]
    for told in (said(usage), terminal(usage), page(usage)):
        assert "either it closes none (a leak: fix or restart it)" in told
        assert "Set it to 1" not in told


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
    assert "connect() tries first is used up: it took " in said(usage)  # for so long, which was measured
    assert found["destination-critical"]["evidence"]["search_us"] == usage["pools"][0]["probe"]["search_us"] > 0
    assert re.search(r"found a port in [\d.,]+ [mu]?s level by the kernel", page(usage))
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
    assert found["evidence"] == {"opened": 150, "sent_again": 149, "waiting": 149, "unanswered": []}
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
    with neighbour():
        usage = observed(detail="auto")
    assert usage["level"] == "ok"
    left = {one["what"]: one for one in usage["not_observed"]}
    assert left["namespaces"]["number"] >= 2  # the pod's, and that in which the tests run
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
    assert usage["level"] == "ok"
    assert detail == "auto" or usage["method"] != "sockstat"
    assert findings(usage)["listener-in-range"]["evidence"] == {"ports": str(LOW + 300)}
    for words in (said(usage), terminal(usage), page(usage)):
        assert "Reserve these ports (ip_local_reserved_ports)" in words
    assert "Nothing to do" not in said(usage)


@PRIVILEGED
@private
def test_a_range_of_one_port(privileged: bool) -> None:
    """It is found by every search, although the size is odd."""
    with Network(LOW, LOW, HOST, OTHER) as network:
        assert connect_for_real((OTHER, 443)) == 0
        usage = observed(privileged, detail="auto")
        assert (usage["level"], usage["findings"], usage["port_range"]["usable"]) == ("ok", [], 1)
        assert network.leave_established((OTHER, 443)) == 1
        assert connect_for_real((OTHER, 443)) == EXHAUSTED
        usage = observed(privileged)
    assert usage["level"] == "exhausted"
    assert "no-usable-port" not in findings(usage)
    assert said(usage).startswith(f"EXHAUSTED: no local port is left towards {OTHER}:443: 1 of 1 are blocked.")


@PRIVILEGED
@private
def test_one_port_of_three_is_left(privileged: bool) -> None:
    """Whether a search finds it is luck, which is not that nobody gets one."""
    with Network(LOW, LOW + 2, HOST, ip_local_reserved_ports=f"{LOW},{LOW + 2}"):
        assert connect_for_real((HOST, 443)) == 0
        usage = observed(privileged)
    assert usage["level"] == "critical"
    assert "All ports of 40000 40002 but one" in findings(usage)["no-usable-port"]["summary"]
    assert said(usage).startswith("CRITICAL: one local port is left at most, and not every search finds it.")


@private
def test_all_ports_are_reserved() -> None:
    """UDP is out of ports as well, and no program can do anything about that."""
    with Network(LOW, HIGH, HOST, ip_local_reserved_ports=f"{LOW}-{HIGH}"):
        assert send_for_real() == errno.EAGAIN
        usage = observed()
    assert usage["level"] == "exhausted"
    assert "Every port of the range is reserved, for UDP as well." in said(usage)
    assert "close UDP sockets" not in said(usage)


@pytest.mark.parametrize(("share", "level"), [(0.6, "ok"), (0.85, "warning"), (0.95, "critical"), (1.0, "exhausted")])
@pytest.mark.parametrize("detail", ["auto", "full"])
@private
def test_udp_sockets_use_up_the_range(detail: str, share: float, level: str) -> None:
    """A port of UDP serves one socket, connected or not; TCP has its own."""
    with Network(LOW, HIGH, HOST, ip_local_reserved_ports="40000-40099") as network:
        assert network.open_udp(int(400 * share)) == int(400 * share)
        assert send_for_real() == (errno.EAGAIN if level == "exhausted" else 0)
        assert connect_for_real((HOST, 443)) == 0
        usage = observed(privileged=False, detail=detail)
    assert usage["level"] == level
    found = findings(usage)
    if level == "ok":
        assert not [pool for pool in usage["pools"] if pool["kind"] == "udp"]
        assert "udp-ports" not in found
        assert "TCP and UDP in this network namespace" in said(usage)
        return
    (pool,) = (pool for pool in usage["pools"] if pool["kind"] == "udp")
    number = int(400 * share)
    assert (pool["blocked"], pool["usable"], pool["level"]) == (number, 400, level)
    assert pool["states"] == {"connected": number // 2, "unconnected": number // 2}
    assert pool["probe"]["errno"] == (errno.EADDRINUSE if level == "exhausted" else 0)
    assert found["udp-ports"]["severity"] == ("warning" if level == "warning" else "critical")
    assert f"{number} of 400" in said(usage)
    assert "for UDP" in said(usage)
    assert ("EAGAIN" in found["udp-ports"]["summary"]) is (level == "exhausted")


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


DEFAULTS = {RANGE: "32768 60999", RESERVED: "", REUSE: "2"}
WISHES = f"{RANGE} = 10240 65535\n{REUSE} = 1\n"
ACCEPT = "or accept it with on_conflict: warn (timewait_remediate_on_conflict: warn)"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The programs that set sysctls when Debian 12 boots; the host has no other loaders."""
    monkeypatch.setattr(boot_loaders, "find_loaders", lambda: [Loader(SYSTEMD, (252,))])
    return real_programs()


def boots_into(programs: Path, result: dict[str, Any]) -> dict[str, str]:
    """The values after a real boot, which are those that the module has promised."""
    for key, value in DEFAULTS.items():
        put(key, value)
    boot(programs)
    values = {key: get(key) for key in DEFAULTS}
    for one in result["settings"]:
        assert values[one["key"]] == (one["boot_value"] or DEFAULTS[one["key"]]), one
    return values


def refusal(content: str = WISHES, **options: object) -> str:
    """Why it is refused; and that check mode says so too, and nothing is changed."""
    before = contents()
    said = []
    for check in (True, False):
        with pytest.raises(ApplyError) as error:
            present(content, check=check, **options)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert contents() == before
    return said[0]


def use_tuned(main: str = "reapply_sysctl = 1\n", profile: str = "[sysctl]\nnet.ipv4.tcp_fin_timeout = 61\n") -> None:
    etc = Path("/etc/tuned")
    own_directory(etc)
    (etc / "own").mkdir()
    texts = {"active_profile": "own\n", "tuned-main.conf": main, "own/tuned.conf": f"[main]\nsummary=x\n{profile}"}
    for name, text in texts.items():
        (etc / name).write_text(text)


def use_ufw(sysctls: str) -> Path:
    """Switched on, with this in the file that it loads."""
    etc = Path("/etc/ufw")
    for directory in (etc, Path("/etc/default")):
        own_directory(directory)
    (etc / "ufw.conf").write_text("ENABLED=yes\n")
    (etc / "sysctl.conf").write_text(sysctls)
    Path("/etc/default/ufw").write_text(f"IPT_SYSCTL={etc}/sysctl.conf\n")
    return etc / "sysctl.conf"


@private
def test_tuned_applies_sysctl_conf_after_sysctl_d(programs: Path) -> None:
    """Case 16: as on Enterprise Linux, where tuned is at work and 99-sysctl.conf leads to /etc/sysctl.conf."""
    late = Path("/etc/sysctl.conf")
    late.write_text(f"# ours since 2014\n{RANGE} = 32768 60999\n{REUSE} = 0\n")
    Path("/etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    use_tuned()
    said = refusal()
    assert f'{REUSE} = 1, but tuned sets it to "0": {late}:3 decides' in said
    # No name of a drop-in sorts after /etc/sysctl.conf.
    assert said.endswith(f". You can change {late}:2 and {late}:3, {ACCEPT}")
    result = present(WISHES, on_conflict="warn")
    assert result["late_writers"] == ["tuned"]
    assert f'{REUSE} = 1, but tuned sets it to "0": {late}:3 decides' in result["warnings"]
    assert boots_into(programs, result) == {RANGE: "32768 60999", RESERVED: "", REUSE: "0"}
    late.write_text("# ours since 2014\n")
    result = present(WISHES)
    assert result["warnings"] == []
    assert boots_into(programs, result) == {RANGE: "10240 65535", RESERVED: "", REUSE: "1"}


@private
def test_the_profile_of_tuned_wins_without_reapply_sysctl(programs: Path) -> None:
    profile = f"[sysctl]\n{RANGE} = 9000 65499\n"
    use_tuned("reapply_sysctl = 0\n", profile)
    said = refusal()
    assert f'{RANGE} = 10240 65535, but tuned sets it to "9000 65499": /etc/tuned/own/tuned.conf:4 decides' in said
    assert boots_into(programs, present(WISHES, on_conflict="warn"))[RANGE] == "9000 65499"
    use_tuned("reapply_sysctl = 1\n", profile)
    assert boots_into(programs, present(WISHES))[RANGE] == "10240 65535"


@private
def test_late_files_and_a_name_that_sorts_later(programs: Path) -> None:
    """Case 10: a packaged file and one that a tool writes; the working answer is another name."""
    Path("/etc/sysctl.d/990-security-misc.conf").write_text(f"{REUSE} = 0\n")
    Path("/etc/sysctl.d/999-sysctl-aks.conf").write_text(f"\n{RANGE} = 32768 60999\n")
    said = refusal()
    later = DROPIN.with_name("zz-ephemeral-ports.conf")
    assert said.endswith(
        ". You can change /etc/sysctl.d/990-security-misc.conf:1 and /etc/sysctl.d/999-sysctl-aks.conf:2, or give the "
        f"drop-in a name that sorts later, path: {later} (timewait_remediate_path), {ACCEPT}"
    )
    result = present(WISHES, on_conflict="warn")
    assert boots_into(programs, result)[REUSE] == "0"
    absent()
    result = present(WISHES, path=str(later))
    assert boots_into(programs, result) == {RANGE: "10240 65535", RESERVED: "", REUSE: "1"}


@private
def test_values_are_compared_as_the_kernel_parses_them(programs: Path) -> None:
    """Case 15: what people have in files that sort later. What the kernel takes as ours is no conflict."""
    theirs = Path("/etc/sysctl.d/99-zzz.conf")
    theirs.write_text(
        f"{REUSE} = 1 # allow reuse\nnet.ipv4.tcp_timestamps = 1   ; keep\n{RESERVED} = 30000-32767 # NodePorts\n"
        "net.ipv4.tcp_no_such = 1\nbroken\n"
    )
    result = present(f"{REUSE} = 1\n")
    assert (result["warnings"], result["settings"][0]["boot_value"]) == ([], "1")
    assert boots_into(programs, result) == {RANGE: "32768 60999", RESERVED: "", REUSE: "1"}
    theirs.write_text(f'{RANGE} = "9000 65500"\n')
    why = f"""{theirs}:1 decides and the kernel then refuses that: '"9000 65500"' is not a number"""
    assert f"{RANGE} = 10240 65535, but systemd-sysctl leaves it at the kernel's default: {why}" in refusal()
    assert boots_into(programs, present(WISHES, on_conflict="warn"))[RANGE] == "32768 60999"


@private
def test_ufw_sets_it_after_the_loader(programs: Path) -> None:
    """Case 15: by the step of ufw's own script."""
    theirs = use_ufw("#\nnet/ipv4/tcp_tw_reuse=0\nnet/ipv4/ip_local_port_range=9000-65500\n")
    said = refusal()
    assert f'{REUSE} = 1, but ufw sets it to "0": {theirs}:2 decides' in said
    assert said.endswith(f". You can change {theirs}:2, {ACCEPT}")
    result = present(WISHES, on_conflict="warn")
    assert result["late_writers"] == ["ufw"]
    assert boots_into(programs, result) == {RANGE: "10240 65535", RESERVED: "", REUSE: "0"}
    Path("/etc/ufw/ufw.conf").write_text("ENABLED=no\n")
    assert boots_into(programs, present(WISHES))[REUSE] == "1"


@private
def test_ufw_before_tuned(programs: Path) -> None:
    """Whoever comes last decides."""
    use_ufw(f"{REUSE}=0\n")
    use_tuned()
    result = present(WISHES)
    assert (result["late_writers"], result["warnings"]) == (["tuned", "ufw"], [])
    assert boots_into(programs, result)[REUSE] == "1"
