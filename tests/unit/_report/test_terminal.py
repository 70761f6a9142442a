# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary in a terminal: a screen or two, worst first, nothing that steers the terminal."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_fleet import META, RECORDED, ROLLOUT, make_fleet

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.collect import Fleet
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.group import make_report
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._report.terminal import (
    BAD,
    GOOD,
    NARROWEST,
    POOR,
    WIDEST,
    summary_lines,
)

from .hearing import LOOK, outcome

ANSWER = {"errno": 99, "lacks": "port", "source": None, "port": None, "search_us": 6200.0, "asked": 1}


def told(fleet: Fleet, width: int = 100, **meta: object) -> list[str]:
    return [line.text for line in summary_lines(make_report(fleet.hosts, {**META, **meta}), width)]


def fleet_of(**usages: dict[str, Any]) -> Fleet:
    fleet = Fleet()
    fleet.on_task(LOOK)
    for name, usage in usages.items():
        fleet.on_result(name, LOOK, usage)
    return fleet


def test_five_hosts() -> None:
    assert told(make_fleet(5)) == [
        "5 hosts: 1 exhausted, 1 warning, 2 ok, 1 unknown. In this run: 1 unreachable, 4 observed.",
        "Not observed: other network namespaces on 4 hosts.",
        "",
        "Short of ports, the worst first",
        "  host                  level      towards         blocked  closed/s  trend   forecast",
        "  web001.example.net    exhausted  10.20.0.16:443     100%       766  rising  needs 1.6 x the ports",
        "  proxy001.example.net  warning    10.20.0.16:443      41%       272  rising  critical in 31 s",
        "",
        "Unreachable: 1 host",
        "  Failed to connect to the host via ssh: ssh: connect to host HOST port 22: No route to host",
        "      1 host: api001.example.net",
        "",
        "Findings by cause",
        "  critical destination-exhausted, 1 host: web001.example.net",
        "  critical destination-critical, 1 host: web001.example.net",
        "  warning  destination-warning, 2 hosts: proxy001.example.net, web001.example.net",
        "           The role timewait_remediate frees ports after 1 s (tcp_tw_reuse) if the peer has TCP",
        "             timestamps; better still, let the client keep its connections (HTTP keep-alive, a",
        "             pool), or use more destination addresses.",
        "  warning  reuse-loopback-only, 2 hosts: proxy001.example.net, web001.example.net",
        "           Set it to 1; the role timewait_remediate does.",
    ]


@pytest.mark.parametrize(("number", "remediate"), [(5, False), (50, True), (5000, False)])
def test_a_screen_or_two(number: int, remediate: bool) -> None:
    lines = told(make_fleet(number, remediate=remediate))
    assert len(lines) <= 75
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(("asked", "given"), [(20, NARROWEST), (72, 72), (400, WIDEST)])
def test_width(asked: int, given: int) -> None:
    lines = told(make_fleet(100, remediate=True), width=asked)
    assert given * 0.8 < max(map(len, lines)) <= given


def test_how_it_feels() -> None:
    def tone(fleet: Fleet) -> str:
        return summary_lines(make_report(fleet.hosts, META), 100)[0].tone

    assert tone(fleet_of(web1=RECORDED["usage"]["idle"])) == GOOD
    assert tone(fleet_of(web1=RECORDED["usage"]["idle"], web2=RECORDED["usage"]["warning"])) == POOR
    lost = fleet_of(web1=RECORDED["usage"]["idle"])
    lost.on_failure("web2", [], "Refused.", unreachable=True)
    assert tone(lost) == BAD


def test_the_rest_is_counted() -> None:
    usages = {f"web{number}": RECORDED["usage"]["exhausted" if number < 4 else "warning"] for number in range(15)}
    lines = told(fleet_of(**usages))
    assert [line.split()[0] for line in lines[5:15]] == [f"web{number}" for number in range(10)]
    assert lines[15] == "  and 5 more (5 warning)"
    assert "  warning  destination-warning, 15 hosts: web[0:14]" in lines


def test_every_port_held() -> None:
    usage = copy.deepcopy(RECORDED["usage"]["idle"])
    usage["level"], usage["port_range"]["usable"] = "exhausted", 0
    assert "  web1  exhausted  any         100%                   no usable port" in told(fleet_of(web1=usage))
    usage["port_range"]["usable"] = 500  # and yet no connect() succeeds: the kernel was asked
    assert "  web1  exhausted*  any         100%                   no usable port" in told(fleet_of(web1=usage))


def test_whose_word_a_level_is() -> None:
    usage = copy.deepcopy(RECORDED["usage"]["exhausted"])
    usage["pools"][0]["probe"] = ANSWER
    (line,) = (line for line in told(fleet_of(web1=usage)) if line.startswith("  web1"))
    assert line.split()[:2] == ["web1", "exhausted*"]
    assert "  * as the kernel says" in told(fleet_of(web1=usage))  # there are no others
    counted = copy.deepcopy(RECORDED["usage"]["exhausted"])
    assert "  * as the kernel says, the others as counted" in told(fleet_of(web1=usage, web2=counted))


def test_check_mode_is_said() -> None:
    fleet = fleet_of(web1=RECORDED["usage"]["exhausted"])
    fleet.on_result("web1", "netops.ephemeral_ports.sysctl_dropin", RECORDED["remediated"]["changes"][0], True)
    lines = told(fleet, check_mode=True)
    assert lines[0] == "1 host: 1 exhausted. In this run: 1 would change (check mode)."
    assert lines[lines.index("Settings that would change") + 1] == (
        "  1 host: net.ipv4.ip_local_port_range: 32768 33267 -> 10240 65535"
    )


def test_where_nothing_was_looked_at_no_level_is_told() -> None:
    fleet = fleet_of()
    for number in range(1, 4):
        rollback = {**RECORDED["remediated"]["changes"][0], "file": "removed"}
        fleet.on_result(f"web{number}", "netops.ephemeral_ports.sysctl_dropin", rollback)
    assert told(fleet)[0] == "3 hosts: 3 rolled back."


def test_identifiers_are_not_broken() -> None:
    usage = copy.deepcopy(RECORDED["usage"]["warning"])
    usage["findings"][0]["remedy"] = " ".join(["more-than-one-word"] * 30)
    for width in range(NARROWEST, WIDEST):
        assert not [line for line in told(fleet_of(web1=usage), width) if line.endswith("-")]


def test_hosts_not_curable() -> None:
    fleet = fleet_of()
    for number in range(1, 4):
        stuck = outcome("unchanged", not_curable="Clients bind() before they connect().")
        fleet.on_result(f"web{number}", ROLLOUT, stuck)
    lines = told(fleet)
    assert lines[-3:] == [
        "Not curable by sysctls: 3 hosts",
        "  Clients bind() before they connect().",
        "      3 hosts: web[1:3]",
    ]


def test_failures_by_cause_with_few_names() -> None:
    fleet = fleet_of()
    for number in (*range(1, 40), *range(100, 130, 2)):
        fleet.on_failure(f"web{number:03}", [], f"web{number:03} refused the connection.", unreachable=False)
    assert told(fleet)[-3:] == [
        "Failed: 54 hosts",
        "  HOST refused the connection.",
        "      54 hosts: web[001:039], web100, web102, web104, web106, web108 and 10 more",
    ]


def rollout(*outcomes: tuple[str, dict[str, Any]], check: bool = False) -> Fleet:
    fleet = fleet_of()
    for name, one in outcomes:
        fleet.on_result(name, ROLLOUT, one, check)
    return fleet


def test_a_rollout_in_check_mode_names_the_hosts_of_each_wave() -> None:
    pending = [(f"web{number}", outcome("pending", wave=1 if number == 1 else 2)) for number in range(1, 5)]
    fleet = rollout(
        *pending, ("db1", outcome("unchanged")), ("db2", outcome("failed", reason="another file decides")), check=True
    )
    assert told(fleet, check_mode=True)[1:6] == [
        "",
        "Rollout in check mode: of 6 hosts 4 would change in 2 waves, 1 failed, 1 needs no change.",
        "  wave 1: 1 would change: web1",
        "  wave 2: 3 would change: web[2:4]",
        "  no wave: 1 failed: db2; 1 unchanged: db1",
    ]


def test_a_rollout_that_was_stopped_says_where_and_what_became_of_whom() -> None:
    fleet = rollout(
        ("web1", outcome("changed", wave=1)),
        ("web2", outcome("failed", wave=2, reason="the kernel refused it")),
        ("web3", outcome("rolled_back", wave=2, reason="web2: the kernel refused it")),
        ("web4", outcome("pending")),
    )
    lines = summary_lines(make_report(fleet.hosts, META))
    assert [line.text for line in lines[2:6]] == [
        "Rollout stopped at wave 2: of 4 hosts 1 is changed, 1 was rolled back, 1 failed, 1 had no turn.",
        "  wave 1: 1 changed: web1",
        "  wave 2: 1 failed: web2; 1 rolled back: web3",
        "  no wave: 1 pending: web4",
    ]
    assert lines[2].tone == BAD


def test_settings_that_were_rolled_back_are_not_taken_for_hosts() -> None:
    fleet = rollout(("web1", outcome("rolled_back", wave=1, reason="listeners-kept: Listener gone: TCP 9000.")))
    fleet.on_result(
        "web1", "netops.ephemeral_ports.sysctl_dropin", {**RECORDED["remediated"]["changes"][0], "file": "removed"}
    )
    assert [line for line in told(fleet) if "olled back" in line][-2:] == [
        "Rolled back: 1 host",
        "Settings rolled back",
    ]


def test_of_many_waves_the_first_and_the_last_are_told() -> None:
    lines = told(rollout(*((f"web{number}", outcome("changed", wave=number)) for number in range(1, 101))))
    assert lines[2:12] == [
        "Rollout finished: all 100 hosts are changed.",
        *(f"  wave {number}: 1 changed: web{number}" for number in range(1, 5)),
        "  and 92 more waves",
        *(f"  wave {number}: 1 changed: web{number}" for number in range(97, 101)),
    ]


@pytest.mark.parametrize("width", [NARROWEST, 80, WIDEST])
def test_a_refusal_with_its_ways_out_is_told_whole(width: int) -> None:
    key = "net.ipv4.ip_local_port_range = 10240 65535, but systemd-sysctl sets it to '32768 60999'"
    refusal = (
        f"not changed, because it would not survive a reboot: {key}: /etc/sysctl.d/99-zzz-later.conf:1 decides; "
        f"{key}: /usr/lib/sysctl.d/99-zzzz-latest.conf:12 decides. You can change /etc/sysctl.d/99-zzz-later.conf:1, "
        "or give the drop-in a name that sorts later, path: /etc/sysctl.d/zz-ephemeral-ports.conf "
        "(timewait_remediate_path), or accept it with on_conflict: warn (timewait_remediate_on_conflict: warn)"
    )
    fleet = fleet_of()
    fleet.on_failure("web1", [], refusal, unreachable=False)
    assert refusal in " ".join(line.strip() for line in told(fleet, width))


def test_what_never_ends_is_cut_between_words() -> None:
    fleet = fleet_of()
    fleet.on_failure("web1", [], " ".join(["halfway"] * 400), unreachable=False)
    lines = told(fleet, 80)
    assert len(lines) < 25
    reason = lines[lines.index("Failed: 1 host") + 1 : -1]
    assert {word for line in reason for word in line.split()} == {"halfway", "..."}


@given(st.text(), st.text())
def test_nothing_steers_the_terminal(name: str, message: str) -> None:
    fleet = fleet_of()
    fleet.on_failure(f"web{name}", [], message, unreachable=False)
    assert all(line.isprintable() for line in told(fleet))
