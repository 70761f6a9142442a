# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads: the verdict first, nothing too wide, nothing that steers a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from simulated_fleet import RECORDED

from ansible_collections.netops.ephemeral_ports.plugins.filter.describe import FilterModule
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.layout import WIDTH
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.text import place_name
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import TW_REUSE as REUSE
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.words import outlook
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._border import parse
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._model import Namespace
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

PATH = "/etc/sysctl.d/99-zz-ephemeral-ports.conf"

Result = dict[str, Any]


def course(saturation: float, critical: float | None, exhausted: float | None, **different: object) -> Result:
    return {
        "rate": 50.0,
        "slope": 0.0,
        "saturation": saturation,
        "seconds_to_critical": critical,
        "critical_between": None,
        "seconds_to_exhausted": exhausted,
        "exhausted_between": None,
        **different,
    }


def destination(**different: object) -> Result:
    return {
        **RECORDED["usage"]["exhausted"]["pools"][0],
        "source": "198.18.0.1",
        "address": "198.18.0.1",
        "port": 8080,
        "usable": 500,
        "blocked": 500,
        "time_wait": 500,
        "live": 0,
        "saturation": 1.0,
        "level": "exhausted",
        "hold_seconds": 60.0,
        "time_wait_seconds": 60.0,
        "longest_left_seconds": 59.0,
        "rate": {"last_1s": 500.0, "last_10s": 50.0, "last_60s": 8.3},
        "trend": "rising",
        "forecast": course(6.0, 0.0, 0.0),
        **different,
    }


def finding(identifier: str, **different: object) -> Result:
    return {
        "id": identifier,
        "severity": "warning",
        "summary": "It is so.",
        "remedy": "Do this.",
        "destination": None,
        "evidence": {},
        **different,
    }


def usage(*destinations: Result, reuse: str | None = "2", **different: object) -> Result:
    level = destinations[0]["level"] if destinations else "ok"
    return {
        **RECORDED["usage"]["idle"],
        "level": level,
        "own_level": level,
        "findings": [] if level == "ok" else [finding(f"destination-{level}", remedy="Keep connections alive.")],
        "complete": True,
        "not_observed": [],
        "method": "netlink",
        "port_range": {"low": 32768, "high": 33267, "size": 500, "reserved": 0, "held": 0, "usable": 500},
        "sysctls": {REUSE: reuse},
        "pools": list(destinations),
        "blocked_at_most": 17,
        **different,
    }


def setting(key: str, current: str | None, wanted: str | None, action: str, reason: str = "So it is.") -> Result:
    said = {"reason": reason, "purpose": "Why.", "parts": []}
    return {"key": key, "current": current, "wanted": wanted, "action": action, **said}


def plan(*settings: Result, before: float = 8.3, after: float = 55296.0) -> Result:
    rate = {**RECORDED["remediated"]["plan"]["sustainable_rate"], "before": before, "after": after}
    return {"kind": "plan", "settings": list(settings), "dropin": [], "sustainable_rate": rate}


def stress(succeeded: int = 1500, **different: object) -> Result:
    return {
        **RECORDED["remediated"]["stress"][0],
        "url": "http://198.18.0.1:8080/",
        "attempted": 1500,
        "succeeded": succeeded,
        "failures": 1500 - succeeded,
        "errors": [],
        "seconds": 5.004,
        "rate": 299.8,
        "connect_ms": {"p50": 0.123, "p90": 0.2, "p99": 0.4, "max": 1.1},
        "time_wait": {"before": 0, "after": 500, "delta": 500},
        "tw_recycled": {"before": 3, "after": 10, "delta": 7},
        "stopped_by": "total",
        **different,
    }


def error(**different: object) -> Result:
    return {
        "curl_code": 7,
        "curl_name": "CURLE_COULDNT_CONNECT",
        "errno": 99,
        "errno_name": "EADDRNOTAVAIL",
        "count": 1000,
        "meaning": "no free local port",
        **different,
    }


def applied(
    changed: bool, file: str, before: str = "2", after: str = "1", status: str = "changed", **more: object
) -> Result:
    recorded = RECORDED["remediated"]["changes"][0]
    one = {**recorded["settings"][0], "key": REUSE, "wanted": "1", "before": before, "after": after, "status": status}
    return {**recorded, "changed": changed, "path": PATH, "file": file, "settings": [one], **more}


SLOW_HALF = "The half that connect() tries first is used up: it now takes milliseconds instead of microseconds."
CRITICAL = destination(blocked=300, time_wait=300, saturation=0.6, level="critical")
PROBE = {"errno": 0, "lacks": None, "source": "198.18.0.1", "port": 32769, "search_us": 2104.0, "asked": 1}
# Of a network namespace that could be entered.
READABLE = {REUSE: "1", "net.ipv4.ip_local_port_range": "32768 33267"}
WARNING = destination(blocked=200, time_wait=200, saturation=0.4, level="warning")
HARDLY = destination(blocked=1, time_wait=1, saturation=0.002, level="ok")

VERDICTS = {
    "exhausted": (
        usage(destination()),
        "EXHAUSTED: no local port is left towards 198.18.0.1:8080: 500 of 500 are blocked.",
    ),
    "critical": (
        usage(CRITICAL),
        "CRITICAL: 300 of 500 local ports towards 198.18.0.1:8080 are blocked (60%).",
    ),
    "warning": (usage(WARNING), "WARNING: 200 of 500 local ports towards 198.18.0.1:8080 are blocked (40%)."),
    "hardly anything": (usage(HARDLY), "OK: 1 of 500 local ports towards 198.18.0.1:8080 are blocked (<1%)."),
    "no connection": (usage(), "OK: no connection blocks any of the 500 usable ports."),
    "IPv6": (
        usage(destination(address="2001:db8::1")),
        "EXHAUSTED: no local port is left towards [2001:db8::1]:8080: 500 of 500 are blocked.",
    ),
    "plan": (
        plan(setting(REUSE, "2", "1", "set"), setting("net.ipv4.tcp_timestamps", "1", "1", "keep")),
        "CHANGE 1 of 2 settings: at most 55296 new connections/s per destination, up from 8.3.",
    ),
    "plan for the same rate": (
        plan(setting("net.ipv4.ip_local_reserved_ports", "", "80", "set"), before=470.5, after=470.5),
        "CHANGE 1 of 1 settings: still at most 470 new connections/s per destination.",
    ),
    "nothing to do": (
        plan(setting(REUSE, "1", "1", "keep"), before=55296.0),
        "NO CHANGE: at most 55296 new connections/s per destination.",
    ),
    "applied": (applied(True, "created"), f"CHANGED: {PATH} and the running kernel (verified)."),
    "applied before": (applied(False, "unchanged", "1"), f"UNCHANGED: {PATH} and the running kernel already match."),
    "rolled back": (applied(True, "removed"), f"ROLLED BACK: {PATH} is removed."),
    "rolled back to a file": (applied(True, "restored"), f"ROLLED BACK: {PATH} is restored."),
    "rolled back without file": (applied(True, "absent"), f"ROLLED BACK: {PATH} was removed already."),
    "edited since": (
        applied(False, "kept", status="kept"),
        f"KEPT: {PATH} was edited after it was applied. Remove it and roll back again to roll back everything.",
    ),
    "nothing to roll back": (
        applied(False, "absent"),
        f"UNCHANGED: {PATH} does not exist, and there is nothing to roll back.",
    ),
    "load failed": (
        stress(succeeded=500, errors=[error()]),
        "FAILED: 1000 of 1500 connections to http://198.18.0.1:8080/ failed.",
    ),
    "load that was cut short": (
        stress(30, attempted=30, failures=0, stopped_by="time_limit"),
        "INCOMPLETE: 30 of 1500 connections to http://198.18.0.1:8080/ were opened in time; none of them failed.",
    ),
    "load passed": (stress(), "PASSED: all 1500 connections to http://198.18.0.1:8080/ succeeded."),
}


@pytest.mark.parametrize(("result", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_verdict_comes_first(result: Result, verdict: str) -> None:
    lines = describe(result)
    assert lines[0] == verdict
    assert all(len(line) <= WIDTH for line in lines[1:])
    assert all(line.isprintable() and '"' not in line for line in lines)


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (applied(True, "created"), f"WOULD CHANGE: {PATH} and the running kernel."),
        (applied(True, "removed"), f"WOULD ROLL BACK: {PATH} is removed."),
        (applied(False, "unchanged"), f"UNCHANGED: {PATH} and the running kernel already match."),
    ],
)
def test_check_mode_speaks_of_what_would_be(result: Result, verdict: str) -> None:
    assert describe(result, check=True)[0] == verdict


def text(result: Result) -> str:
    """All lines as one, to look for sentences that may be wrapped."""
    return " ".join(" ".join(describe(result)).split())


SAID = {
    "why": (
        usage(destination()),
        "for 60 s (tcp_tw_reuse is 2), so one destination takes at most 8.3 new connections per second.",
    ),
    "why, with reuse": (
        usage(destination(hold_seconds=1.0), reuse="1"),
        "for 1 s (tcp_tw_reuse is 1), so one destination takes at most 500 new connections per second.",
    ),
    "why, in a container on an old kernel": (
        usage(destination(), reuse=None),
        "(tcp_tw_reuse is not visible in this namespace)",
    ),
    "live connections are not TIME_WAIT": (
        usage(destination(live=400, time_wait=100)),
        "400 of the blocked ports carry connections that have not ended",
    ),
    "the slow half": (usage(CRITICAL), SLOW_HALF),
    "the slow half, measured": (
        usage({**CRITICAL, "probe": PROBE}),
        "The half that connect() tries first is used up: it took 2.1 ms.",
    ),
    "a port of the first half is quick to find": (
        usage({**CRITICAL, "probe": {**PROBE, "port": 32768, "search_us": 9.0}}),
        "so one destination takes at most 8.3 new connections per second. Rate:",
    ),
    "the slow half for live connections too": (
        usage({**CRITICAL, "live": 300, "time_wait": 0, "states": {"ESTABLISHED": 300}}),
        f"mostly not a matter of closed connections. {SLOW_HALF}",
    ),
    "the slow half of bind()": (
        usage({**CRITICAL, "kind": "bind", "address": None, "port": None}),
        "where none is reused. The half that bind() tries first is used up: it now takes milliseconds",
    ),
    "TIME_WAIT at services": (
        usage(HARDLY, time_wait_at_services=26000),
        "Note: 26000 more sockets in TIME_WAIT are at services of this host. They block no port. Scope",
    ),
    "no slow half where the search has one pass": (
        usage(CRITICAL, kernel=RECORDED["kernels"]["4.4.178"]["kernel"]),
        "so one destination takes at most 8.3 new connections per second. Rate:",
    ),
    "next step": (
        usage(WARNING),
        (
            "Next: Keep connections alive. What would change on this host: "
            "ansible-playbook netops.ephemeral_ports.remediate --check --diff \\ -i INVENTORY -l HOST"
        ),
    ),
    "nobody knows": (
        usage(
            {**WARNING, "level": "unknown"},
            findings=[],
            probe="not_allowed",
            sysctls=READABLE,
        ),
        "Next: Observe as root with CAP_NET_ADMIN (become: true), so that the kernel tells.",
    ),
    "nobody could enter": (
        usage({**WARNING, "level": "unknown"}, findings=[], probe="not_allowed"),
        "Next: Observe as root with CAP_SYS_ADMIN (become: true), so that the kernel tells.",
    ),
    "nobody was to know": (
        usage(
            {**WARNING, "level": "unknown"},
            findings=[],
            probe="never",
            sysctls=READABLE,
        ),
        "Next: Let the kernel be asked (timewait_diagnose_probe: auto).",
    ),
    "no next step": (usage(HARDLY), "Next: Nothing to do."),
    "findings": (usage(HARDLY, findings=[finding("recycle-on")]), "Warning: It is so. Do this. (recycle-on) Ports:"),
    "nothing at all": (
        usage(method="sockstat", blocked_at_most=0),
        "OK: no destination blocks any of 500 local ports.",
    ),
    "no need to look at sockets": (
        usage(method="sockstat", port_range={**usage()["port_range"], "held": None}),
        (
            "OK: no destination blocks more than 17 of 500 local ports. "
            "Ports: 32768-33267, 500 of 500 usable (0 reserved). "
            "Scope: TCP and UDP in this network namespace, by the kernel's counters. Next: Nothing to do."
        ),
    ),
    "what was not observed": (
        usage(
            method="sockstat",
            not_observed=[
                {"what": "sockets", "number": None, "why": "counters"},
                {"what": "udp", "number": 1, "why": "counters"},
                {"what": "namespaces", "number": 3, "why": "elsewhere"},
            ],
        ),
        (
            "Scope: TCP in this network namespace, by the kernel's counters. Not observed: its sockets one by one; "
            "UDP (1 socket); 3 other network namespaces of this host. Next"
        ),
    ),
    "what may not be seen": (
        usage(HARDLY, not_observed=[{"what": "namespaces", "number": 0, "why": "not_allowed"}]),
        "by its sockets. Not observed: other network namespaces of this host, if there are any (that needs root).",
    ),
    "what may only be seen from outside": (
        usage(
            HARDLY,
            namespaces_observed=75,
            not_observed=[{"what": "namespaces", "number": 76, "why": "not_allowed"}],
        ),
        (
            "by its sockets, and in 75 other network namespaces. Not observed: what only root with CAP_SYS_ADMIN can "
            "read of at least 76 of the others. Next"
        ),
    ),
    "what there was no time for": (
        usage(
            CRITICAL,
            not_observed=[
                {"what": "destinations", "number": 7, "why": "time"},
                {"what": "namespaces", "number": 40, "why": "time"},
            ],
        ),
        (
            "Not observed: what the kernel says of 7 destinations (it would take too long); "
            "at least 40 other network namespaces of this host."
        ),
    ),
    "changing sockets": (usage(HARDLY, complete=False), "Sockets changed during the dump"),
    "what the load met": (
        stress(succeeded=500, errors=[error()]),
        "1000 x curl 7 (CURLE_COULDNT_CONNECT), errno 99 (EADDRNOTAVAIL): no free local port",
    ),
    "an error without names": (
        stress(succeeded=500, errors=[error(curl_code=199, curl_name=None, errno=0, errno_name=None, meaning=None)]),
        "1000 x curl 199, errno 0 Rate:",
    ),
    "slower than asked": (stress(rate=120.4), "120 new connections per second instead of 300 for 5.0 s."),
    "no sockstat": (stress(time_wait=None), "TIME_WAIT: 7 ports reused out of TIME_WAIT."),
    "cut off": (stress(cut_off=3), "3 answers were longer than what is read and were cut off."),
    "time limit": (stress(stopped_by="time_limit"), "for 5.0 s, stopped by the time limit."),
    "reuse under load": (stress(), "TIME_WAIT: 0 before, 500 after; 7 ports reused out of TIME_WAIT."),
    "a change": (applied(True, "created"), f"{REUSE}: 2 -> 1"),
    "somebody else's value": (
        applied(True, "removed", "0", "0", "kept"),
        f"{REUSE}: 0 (kept: somebody else's by now, or refused)",
    ),
    "a crash before": (applied(True, "created", recovered=True), "An earlier run was interrupted"),
    "a key that is not there": (
        plan(setting("net.ipv4.tcp_tw_recycle", None, None, "unsupported")),
        "unsupported net.ipv4.tcp_tw_recycle: absent So it is.",
    ),
    "an empty list": (plan(setting("net.ipv4.ip_local_reserved_ports", "", "8080", "set")), "empty -> 8080"),
    "tabs as the kernel has them": (
        plan(setting("net.ipv4.ip_local_port_range", "32768\t60999", "10240 65535", "set")),
        "32768 60999 -> 10240 65535",
    ),
    "a long list": (
        plan(setting("net.ipv4.ip_local_reserved_ports", ",".join(map(str, range(2000, 3000, 2))), None, "keep")),
        "2000,2002,2004,2006,2008,2010,2012,2014 ...",
    ),
}


@pytest.mark.parametrize(("result", "sentence"), SAID.values(), ids=SAID)
def test_says(result: Result, sentence: str) -> None:
    assert sentence in text(result)


def test_values_that_stay_are_not_repeated() -> None:
    assert describe(applied(False, "unchanged", "1")) == [f"UNCHANGED: {PATH} and the running kernel already match."]


def test_connect_times_of_a_load_without_success_are_left_out() -> None:
    result = stress(succeeded=0, connect_ms=dict.fromkeys(("p50", "p90", "p99", "max")))
    assert "Connect:" not in text(result)


def test_destinations_form_a_table() -> None:
    lines = describe(usage(destination(), destination(source="198.18.0.2"), destination(port=443)))
    table = lines[1:5]
    assert [line.split()[0] for line in table] == ["destination", *["198.18.0.1:8080"] * 2, "198.18.0.1:443"]
    assert "198.18.0.1:8080 from 198.18.0.2" in table[2]
    assert len({line.index(word) for line, word in zip(table, ["level", *["exhausted"] * 3], strict=True)}) == 1


def test_another_network_namespace_is_named_and_the_worst_comes_first() -> None:
    """The host itself, which has nothing to report, is told after it; idle neighbours are only counted."""
    web = {
        "own": False,
        "inode": 7,
        "cookie": None,
        "name": None,
        "owner": {"kind": "podman", "name": "web1", "id": "1", "container": None},
        "pid": 1,
        "program": "nginx",
    }
    blue = {"own": False, "inode": 8, "cookie": None, "name": "blue", "owner": None, "pid": None, "program": None}
    full, idle = usage(destination()), usage()
    others = [{**full, "namespace": web}, {**idle, "namespace": blue}]
    lines = describe({**usage(), "level": "exhausted", "namespaces": others, "namespaces_observed": 2})
    assert (
        lines[0] == "EXHAUSTED in podman web1: no local port is left towards 198.18.0.1:8080: 500 of 500 are blocked."
    )
    assert "OK in this network namespace: no connection blocks any of the 500 usable ports." in lines
    assert not [line for line in lines if "blue" in line]
    text = " ".join(" ".join(lines).split())
    assert "TCP and UDP in this network namespace, by its sockets, and in 2 other network namespaces." in text
    assert "The playbook remediate changes podman web1 where timewait_remediate_namespaces names it" in text
    assert "--check --diff" not in text


def test_the_own_network_namespace_is_named_where_it_is_the_worst_of_several() -> None:
    blue = {"own": False, "inode": 8, "cookie": None, "name": "blue", "owner": None, "pid": None, "program": None}
    troubled = {**usage(destination()), "namespace": blue}
    one = usage(destination())
    lines = describe({**one, "namespaces": [troubled], "namespaces_observed": 1})
    assert lines[0].startswith("EXHAUSTED in this network namespace: no local port is left towards 198.18.0.1:8080")
    assert describe(one)[0].startswith("EXHAUSTED: ")  # there is nothing beside it


@pytest.mark.parametrize(
    ("different", "name"),
    [
        ({}, "network namespace 7"),
        ({"pid": 30, "program": "unbound"}, "network namespace 7 of unbound, pid 30"),
        ({"pid": 30, "program": "unbound", "inode": None}, "network namespace of unbound, pid 30"),
        ({"name": "blue", "pid": 30, "program": "unbound"}, "netns blue"),
        ({"own": True}, ""),
    ],
)
def test_names_of_network_namespaces(different: Result, name: str) -> None:
    unknown = {"own": False, "inode": 7, "cookie": None, "name": None, "owner": None, "pid": None, "program": None}
    assert place_name(parse(Namespace, {**unknown, **different})) == name


def test_few_destinations_are_shown() -> None:
    assert "and 7 more, less loaded" in text(usage(*[destination(port=port) for port in range(1, 13)]))


@pytest.mark.parametrize(("share", "shown"), [(0.0, "0%"), (0.001, "<1%"), (0.999, "99%"), (1.0, "100%")])
def test_percent_exaggerates_in_no_direction(share: float, shown: str) -> None:
    row = describe(usage(destination(saturation=share)))[2]
    assert f"  {shown}  " in row


def test_a_host_cannot_steer_the_terminal() -> None:
    evil = describe(plan(setting("net.ipv4.tcp_\x1b[31mtw", '"\x07', None, "keep", "\x1b]0;title\x07 \u202e")))
    assert all(line.isprintable() and '"' not in line for line in evil)


@pytest.mark.parametrize("result", [{}, {"changed": True}, {"kind": "\x1b[2J"}, {"kind": []}, [], "text", None])
def test_anything_else_is_refused(result: Result) -> None:
    with pytest.raises(AnsibleFilterError, match="describe: expected a result of") as raised:
        FilterModule().filters()["describe"](result)
    assert str(raised.value).isprintable()


def test_a_result_of_another_shape_is_refused_by_name() -> None:
    with pytest.raises(AnsibleFilterError, match=r"describe: pools.rate: last_1s is missing"):
        FilterModule().filters()["describe"](usage(destination(rate={})))


@pytest.mark.parametrize(
    ("different", "expected"),
    [
        (
            {},
            (
                "50 connections/s closed over the last 10 s, rising. Attempts that fail leave nothing to count, "
                "so more may be wanted than this rate."
            ),
        ),
        (
            {"forecast": course(1.5, 0.0, None), "level": "critical"},
            (
                "50 connections/s closed over the last 10 s, rising; at that rate 150% of the ports are blocked at "
                "steady state."
            ),
        ),
        (
            {"level": "ok", "forecast": course(1.5, 12.4, 40.0)},
            "50 connections/s closed over the last 10 s, rising; at that rate critical in 12 s, exhausted in 40 s.",
        ),
        (
            {
                "level": "ok",
                "forecast": course(
                    1.5, 12.4, 40.0, slope=2.0, critical_between=[9.0, 18.0], exhausted_between=[30.0, None]
                ),
            },
            (
                "50 connections/s closed over the last 10 s, rising by 2.0 each second; if this goes on, critical in "
                "12 s (9 to 18), exhausted in 40 s (30 s at the earliest)."
            ),
        ),
        (
            {"level": "critical", "forecast": course(1.5, 0.0, 7.6), "trend": None},
            "50 connections/s closed over the last 10 s; at that rate exhausted in 8 s.",
        ),
        (
            {"level": "ok", "forecast": course(0.82, 30.0, None), "trend": "steady"},
            (
                "50 connections/s closed over the last 10 s, steady; "
                "at that rate critical in 30 s, with 82% at steady state."
            ),
        ),
        (
            {"level": "critical", "forecast": course(0.0, 0.0, None, rate=0.0), "trend": "falling"},
            (
                "50 connections/s closed over the last 10 s, falling, 0.0 now; at that rate 0% of the ports are "
                "blocked at steady state."
            ),
        ),
        (
            {"level": "ok", "forecast": course(0.1, None, None, rate=480.0), "trend": None, "hold_seconds": 1.0},
            "500 connections/s closed over the last 1 s; at that rate 10% of the ports are blocked at steady state.",
        ),
    ],
    ids=["no port", "critical already", "both ahead", "thin data", "exhausted ahead", "critical ahead", "a stop", "no"],
)
def test_outlook(different: dict[str, object], expected: str) -> None:
    assert outlook(destination(**different)) == expected


CHECKS = [
    {"id": "values-in-force", "status": "passed", "message": "So it is.", "evidence": {}},
    {"id": "reuse-works", "status": "unknown", "message": "Too little is known. " * 8, "evidence": {}},
]


@pytest.mark.parametrize(
    ("different", "check", "verdict"),
    [
        ({"state": "unchanged"}, False, "UNCHANGED: there is nothing to change on this host."),
        ({"state": "pending"}, False, "PENDING: it will be changed in its wave."),
        ({"state": "pending"}, True, "WOULD CHANGE in its wave."),
        ({"state": "pending", "wave": 2}, True, "WOULD CHANGE in wave 2."),
        ({"state": "changed", "wave": 1, "gate": {"passed": True, "checks": CHECKS}}, False,
         "CHANGED in wave 1: of 2 checks 1 passed, 1 unknown."),
        ({"state": "rolled_back", "wave": 1}, False, "ROLLED BACK in wave 1: this host is as it was before its wave."),
        ({"state": "rolled_back"}, True, "WOULD ROLL BACK."),
        ({"state": "failed", "reason": "No.\x1b[2J"}, False, "FAILED."),
    ],
)  # fmt: skip
def test_an_outcome_in_words(different: Result, check: bool, verdict: str) -> None:
    nothing = {"kind": "outcome", "reason": None, "wave": None, "not_curable": "Fix the client. " * 10, "gate": None}
    lines = describe({**nothing, **different}, check=check)
    assert lines[0] == verdict
    assert all(len(line) <= WIDTH and line.isprintable() for line in lines)
    assert any(line.startswith("Limits:    Sysctls alone cannot cure this host. Fix") for line in lines)
