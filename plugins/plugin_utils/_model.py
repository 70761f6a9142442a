# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of every result that crosses a border, in one file.

What a host returns is checked against these types once, where it is heard (_border.parse). Each kind of result names
itself in its field kind. What modules say of their results in RETURN is tested against this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict


@dataclass(frozen=True)
class AtMost:
    """A bound on what a host may say: characters of a text, or items of a list."""

    number: int


# A list of reserved ports can name each of 65,535 ports, and a sysctl file may hold several such lists.
LongText = Annotated[str, AtMost(1_000_000)]
# As many as port_usage_info may be asked for, with a few findings for each.
POOLS = 1_000
USERS = 1_000
Ports = Annotated[list[int], AtMost(65_536)]

Level = Literal["exhausted", "critical", "warning", "ok", "unknown"]
Severity = Literal["critical", "warning", "info"]
PoolKind = Literal["connect", "bind", "udp", "snat"]
Method = Literal["netlink", "procfs", "sockstat"]
State = Literal["failed", "rolled_back", "unreachable", "changed", "would_change", "pending", "unchanged", "observed"]
How = Literal["changed", "rolled_back", "would_change", "planned"]

# --- observe: port_usage_info


class Finding(TypedDict):
    """Something that is wrong or worth knowing; docs/findings.md describes each id. evidence: numbers by name."""

    id: str
    severity: Severity
    summary: str
    remedy: str
    destination: str | None
    evidence: dict[str, Any]


class Feature(TypedDict):
    """Whether the kernel can do something, and how that was found out."""

    supported: bool
    how: str


class ReuseModes(TypedDict):
    modes: list[int]
    how: str


class ReuseDelay(TypedDict):
    milliseconds: int
    how: str


class TimeWait(TypedDict):
    milliseconds: int
    how: str


class Kernel(TypedDict):
    release: str
    version: list[int]
    tcp_tw_recycle: Feature
    tcp_tw_reuse: ReuseModes
    reuse_delay: ReuseDelay
    time_wait: TimeWait
    two_pass_port_search: Feature


class PortRange(TypedDict):
    """Numbers of ports of the range. held is None where the sockets were not read."""

    low: int
    high: int
    size: int
    reserved: int
    held: int | None
    usable: int


class ListeningPorts(TypedDict):
    """udp_clients: UDP ports that many sockets of one user have, without pattern."""

    tcp: Ports
    udp: Ports
    udp_clients: Ports


class PortLine(TypedDict):
    """A line of a sysctl file that sets range or reserved ports.

    value: the beginning of what is written there. means: what it is meant to say, for reserved ports even where the
    kernel refuses it.
    """

    key: str
    file: str
    line: int
    value: str
    means: LongText | None
    refused: bool


class Claim(TypedDict):
    """Ports that belong to somebody who need not listen on them. where: the place that says so, or empty."""

    by: Literal["kubernetes", "docker", "cni", "nat"]
    ports: LongText
    where: str


class Rate(TypedDict):
    """Connections closed per second over the last 1, 10 and 60 seconds."""

    last_1s: float
    last_10s: float
    last_60s: float


class Forecast(TypedDict):
    """What comes if connections go on to be closed as lately. Times in seconds, None where it is not to be expected.

    rate: closed per second now; slope: by how much that grows each second; saturation: of the steady state at that
    rate. between: where the data are thin, the earliest and the latest time, which is None where it may never be.
    """

    rate: float
    slope: float
    saturation: float
    seconds_to_critical: float | None
    critical_between: list[float | None] | None
    seconds_to_exhausted: float | None
    exhausted_between: list[float | None] | None


class Answer(TypedDict):
    """What the kernel said to dry connects. errno: 0 where a port was found; lacks: what was not found."""

    errno: int
    lacks: Literal["port", "address", "route"] | None
    source: str | None
    port: int | None
    search_us: float | None
    asked: int


class LiveBy(TypedDict):
    """Who has live sockets of a pool. owner: None where no container, pod or unit is known; program, pid, processes:
    where no process was found.
    """

    owner: str | None
    program: str | None
    pid: int | None
    processes: int | None
    live: int


class Translation(TypedDict):
    """What a pool of the kind snat has besides. ports: that NAT chooses from, by_rule: whether a rule says so.

    addresses: of that rule, None where it is not known. search_fails: how likely the kernel finds no port for a
    connection whose own is taken. dropped: connections, while the table was read. idle: open for hours without a word.
    """

    protocol: Literal["tcp", "udp"]
    zone: int
    ports: str
    by_rule: bool
    addresses: int | None
    flags: list[Literal["random", "fully-random", "persistent"]]
    search_fails: float
    dropped: int
    idle: int


class Pool(TypedDict):
    """A number of ports that one kind of use can take, and how far it is used up.

    time_wait_seconds: how long TIME_WAIT lasts; longest_left_seconds: what any connection has left of it, None if none.
    source is None where a destination has no socket, and for UDP; address and port where a port is chosen before there
    is a destination. probe is None where the kernel was not asked: then the level follows from what was counted.
    live_by is None where nobody asked, as of a pool that is ok.
    """

    kind: PoolKind
    source: str | None
    address: str | None
    port: int | None
    usable: int
    blocked: int
    time_wait: int
    reusable: int
    live: int
    states: dict[str, int]
    live_by: list[LiveBy] | None
    syn_resent: int
    hold_seconds: float
    time_wait_seconds: float
    longest_left_seconds: float | None
    saturation: float
    level: Level
    probe: Answer | None
    rate: Rate
    trend: Literal["rising", "steady", "falling"] | None
    forecast: Forecast
    nat: Translation | None


class Owner(TypedDict):
    """Whose a process is. container: within a pod."""

    kind: Literal["pod", "podman", "docker", "containerd", "cri-o", "lxc", "machine", "unit"]
    name: str
    id: str
    container: str | None


class Namespace(TypedDict):
    """A network namespace. own: the one in which the module ran; all else about that is None but its inode.

    inode is None where it may not be told. cookie: what tells it from a later one with that inode; None where it was
    not entered, and before Linux 5.14. pid and program: of its oldest process, whose owner is in owner.
    """

    own: bool
    inode: int | None
    cookie: int | None
    name: str | None
    owner: Owner | None
    pid: int | None
    program: str | None


class NotObserved(TypedDict):
    """Something that a level says nothing about. number: None where it is not known, else at least so many."""

    what: Literal["sockets", "udp", "destinations", "nat", "namespaces"]
    number: int | None
    why: Literal["counters", "elsewhere", "time", "not_allowed", "not_supported"]


class OutsideDestination(TypedDict):
    """What a host has towards one destination beyond its NAT gateway, from all its own addresses.

    usable: local ports that there are for it. closed: connections in each interval of 1.024 s, the newest first, within
    known_seconds; intervals without any at its end are left out.
    """

    address: str
    port: int
    usable: int
    live: int
    syn_resent: int
    closed: list[int]
    known_seconds: float


class OutsideLeftOut(TypedDict):
    """Destinations that were not returned, their sockets, and how many one of them has at most."""

    destinations: int
    sockets: int
    most: int


class Outside(TypedDict):
    destinations: list[OutsideDestination]
    left_out: OutsideLeftOut


class Gateway(TypedDict):
    """A NAT gateway, as the inventory names it: ports for each destination, of each of its addresses.

    ports_per: whether all hosts share them, or each has its own. hold_seconds: for how long a closed connection keeps
    its port there. drops_from: the share of the ports from which on it drops SYNs.
    """

    name: str
    preset: str | None
    ports: int
    addresses: int
    ports_per: Literal["gateway", "host"]
    hold_seconds: float
    drops_from: float
    inside: list[str]
    outside: list[str]


class AppliedKey(TypedDict):
    before: LongText
    applied: LongText


class AppliedBefore(TypedDict):
    """What a journal says. path: of the drop-in, None for another network namespace, which no file sets.

    asked: reserved ports that were asked for by name.
    """

    path: str | None
    applied: dict[str, AppliedKey]
    asked: LongText


class NamespaceUsage(TypedDict):
    """What was observed of one network namespace."""

    namespace: Namespace
    level: Level
    findings: Annotated[list[Finding], AtMost(4 * POOLS)]
    sysctls: dict[str, LongText | None]
    port_range: PortRange
    listening_ports: ListeningPorts | None
    sockets: dict[str, int] | None
    time_wait_at_services: int | None
    blocked_at_most: int
    pools: Annotated[list[Pool], AtMost(POOLS)]
    outside: Outside | None
    probe: Literal["asked", "not_needed", "not_allowed", "not_supported", "never"]
    method: Method
    complete: bool | None
    not_observed: list[NotObserved]
    counters: dict[str, int]
    claims: list[Claim] | None
    journal: AppliedBefore | None


class Usage(NamespaceUsage):
    """Result of port_usage_info: of the network namespace in which it ran, and of others.

    level: the worst of all of them. own_level: of the one in which it ran. namespaces: of those that were observed
    besides, the worst first; namespaces_observed: how many these were, of which some may be left out. namespaces_set:
    of how many others the journal says that something was set in them. gateway: as the inventory says, whatever the
    host does.
    """

    kind: Literal["usage"]
    own_level: Level
    kernel: Kernel
    reserved_in_files: LongText
    port_lines: list[PortLine]
    gateway: Gateway | None
    other_dropins: list[AppliedBefore]
    uptime: float
    namespaces: list[NamespaceUsage]
    namespaces_observed: int
    namespaces_set: int


# --- observe: port_users_info


class User(TypedDict):
    """A program and what it connects to. owner, namespace: None where its processes had ended before they were asked.

    pid: the process that connects most. connects: also those that found no local port, which are no_port.
    """

    program: str
    owner: str | None
    namespace: int | None
    pid: int
    processes: int
    address: str
    port: int
    connects: int
    no_port: int
    rate: float


class Users(TypedDict):
    """Result of port_users_info. lost: events of which no user is known. users_found: also those not returned."""

    kind: Literal["users"]
    traced: bool
    why_not: str | None
    seconds: float
    complete: bool
    lost: int
    connects: int
    no_port: int
    users_found: int
    users: Annotated[list[User], AtMost(USERS)]


# --- decide: remediation_plan


class Setting(TypedDict):
    """A decision on a key. wanted is None where the drop-in does not carry the key.

    parts: what each part of the value is there for, as the drop-in says it.
    """

    key: str
    current: LongText | None
    wanted: LongText | None
    action: Literal["set", "keep", "release", "refuse", "unsupported"]
    reason: LongText
    purpose: str
    parts: list[LongText]


class SustainableRate(TypedDict):
    """New connections per second that one destination takes for ever, and from what that follows."""

    before: float
    usable_before: int
    hold_seconds_before: float
    after: float
    usable_after: int
    hold_seconds_after: float


class Plan(TypedDict):
    """Result of the filter remediation_plan."""

    kind: Literal["plan"]
    settings: list[Setting]
    dropin: list[Setting]
    sustainable_rate: SustainableRate


class NamespacePlan(TypedDict):
    """The plan for another network namespace. lasting_way: words, and what to paste where; what is applied is lost."""

    namespace: Namespace
    plan: Plan
    lasting_way: LongText


# --- apply: sysctl_dropin


class KeyResult(TypedDict):
    """What became of a key. boot_value: what the next boot sets, None where that is not known; by which program."""

    key: str
    wanted: LongText | None
    before: LongText | None
    after: LongText | None
    status: Literal["changed", "unchanged", "skipped", "restored", "kept"]
    boot_value: LongText | None
    boot_file: str | None
    boot_line: int | None
    boot_writer: str | None


class DiffPart(TypedDict):
    """As ansible-core shows differences with --diff."""

    before_header: str
    after_header: str
    before: LongText
    after: LongText


class ApplyResult(TypedDict):
    """Result of sysctl_dropin."""

    kind: Literal["apply"]
    changed: bool
    path: str
    file: str
    settings: list[KeyResult]
    late_writers: list[str]
    namespaces_set: int
    on_trial: bool
    recovered: bool


# --- apply: namespace_sysctls


class NamespaceKeyResult(TypedDict):
    key: str
    wanted: LongText | None
    before: LongText | None
    after: LongText | None
    status: Literal["changed", "unchanged", "skipped", "restored", "kept"]


class NamespaceResult(TypedDict):
    """What became of a network namespace in which something was set. Nothing of it lasts."""

    namespace: Namespace
    status: Literal["changed", "unchanged", "rolled_back", "gone"]
    settings: list[NamespaceKeyResult]


class NamespaceApplyResult(TypedDict):
    """Result of namespace_sysctls."""

    kind: Literal["namespace_apply"]
    changed: bool
    namespaces: list[NamespaceResult]
    recovered: bool


class InstalledCommand(TypedDict):
    """Result of monitor_command."""

    kind: Literal["command"]
    changed: bool
    path: str
    size: int


# --- prove: curl_stress


class LoadError(TypedDict):
    """How connections failed, and how many did so."""

    curl_code: int
    curl_name: str | None
    errno: int
    errno_name: str | None
    count: int
    meaning: str | None


class ConnectTimes(TypedDict):
    """Milliseconds, None without a success."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class Counted(TypedDict):
    before: int
    after: int
    delta: int


class LoadAsked(TypedDict):
    """rate: 0 for as fast as possible."""

    total: int
    rate: float


class LoadResult(TypedDict):
    """Result of curl_stress."""

    kind: Literal["load"]
    url: str
    asked: LoadAsked
    attempted: int
    succeeded: int
    failures: int
    errors: list[LoadError]
    port_exhaustion: int
    seconds: float
    rate: float
    connect_ms: ConnectTimes
    cut_off: int
    time_wait: Counted | None
    tw_recycled: Counted
    stopped_by: str


# --- all in one: the actions diagnosis and remediation


class Diagnosis(TypedDict):
    """Result of the action diagnosis. level: of both. lines: what was said. users: None where nobody was traced."""

    kind: Literal["diagnosis"]
    level: Level
    usage: Usage
    users: Users | None
    lines: list[str]


class Remediation(TypedDict):
    """Result of the action remediation; None where it did not come that far, or where the plan sets nothing.

    namespaces, namespaces_applied: of other network namespaces.
    """

    kind: Literal["remediation"]
    changed: bool
    check_mode: bool
    usage: Usage | None
    plan: Plan | None
    applied: ApplyResult | None
    namespaces: list[NamespacePlan]
    namespaces_applied: NamespaceApplyResult | None
    error: str | None


# --- rollout

HostState = Literal["failed", "rolled_back", "changed", "pending", "unchanged"]
RolloutStep = Literal["observe", "apply", "judge", "confirm", "revert"]


class Check(TypedDict):
    """A check of the gate. evidence: what it was concluded from."""

    id: str
    status: Literal["passed", "failed", "unknown"]
    message: str
    evidence: dict[str, Any]


class Gate(TypedDict):
    passed: bool
    checks: list[Check]


class HostOutcome(TypedDict):
    """What has become of a host in a rollout. not_curable: why sysctls cannot cure it."""

    kind: Literal["outcome"]
    state: HostState
    reason: str | None
    wave: int | None
    not_curable: str | None
    gate: Gate | None


class StepResult(HostOutcome):
    """Result of a step of the action rollout_host: the outcome so far, and what the steps up to now have found.

    first: usage before everything. before: usage right before the change. after: usage after the soak. applied: by the
    step observe it is a prediction. end: why the rollout ends with the wave of this host, None where it goes on.
    """

    step: RolloutStep
    changed: bool
    check_mode: bool
    first: Usage | None
    before: Usage | None
    after: Usage | None
    plan: Plan | None
    applied: ApplyResult | None
    reverted: ApplyResult | None
    end: str | None


class WaveSizes(TypedDict):
    """Result of the step check of the action rollout_host."""

    waves: list[str]


class WaveVerdict(TypedDict):
    """Whether a wave may stay, and why not. hosts_lost: those that left the play on the way.

    Ansible takes a field named failed for its own.
    """

    wave: int
    passed: bool
    hosts_failed: list[str]
    hosts_lost: list[str]
    reason: str | None


# --- report: callback fleet_report


class Change(ApplyResult):
    """What was applied, or in check mode would have been."""

    check_mode: bool


class ChangeElsewhere(NamespaceResult):
    """What was set in another network namespace, or in check mode would have been, and how it would last."""

    lasting_way: LongText
    check_mode: bool


class HostReport(TypedDict):
    """A host in the report. usage: before a change, usage_after: after one that stands. users: of the last trace.

    elsewhere: the last change of other network namespaces. gateway: that the inventory names, of a host that was lost.
    """

    name: str
    state: State
    level: Level
    error: str | None
    usage: Usage | None
    usage_after: Usage | None
    users: Users | None
    plan: Plan | None
    changes: list[Change]
    elsewhere: list[ChangeElsewhere]
    stress: list[LoadResult]
    outcome: HostOutcome | None
    gateway: Gateway | None


class FindingExample(TypedDict):
    host: str
    summary: str


class FindingGroup(TypedDict):
    """A finding over all hosts. remedies: the most frequent first."""

    id: str
    severity: Severity
    hosts: int
    names: list[str]
    remedies: list[str]
    examples: list[FindingExample]


class DestinationGroup(TypedDict):
    """An address and port over all hosts. rate: connections closed per second, of all."""

    destination: str
    level: Level
    saturation: float
    rate: float
    hosts: int
    hosts_in_trouble: int


class GatewayShare(TypedDict):
    """What a host has of the ports that are held. share: of all of those."""

    host: str
    held: int
    share: float


class GatewayDestination(TypedDict):
    """A destination beyond a NAT gateway, added up over the hosts behind it: inferred, for the gateway tells nothing.

    host: whose ports these are, None where all hosts share them. held: ports that live and closed connections have
    there. at_most: how many more those may have that were not read one by one. rate: connections closed per second.
    shares: the ten largest, of as many hosts as hosts says.
    """

    destination: str
    protocol: Literal["tcp"]
    host: str | None
    ports: int
    held: int
    live: int
    syn_resent: int
    at_most: int
    saturation: float
    level: Level
    rate: float
    trend: Literal["rising", "steady", "falling"] | None
    forecast: Forecast
    hosts: int
    shares: list[GatewayShare]


class GatewayHole(TypedDict):
    """Hosts that are not in the sum, or not with all that they have. at_most: ports, None where that has no bound."""

    why: Literal["unreachable", "failed", "counters", "left_out", "namespaces"]
    hosts: int
    names: list[str]
    at_most: int | None


class GatewayGroup(TypedDict):
    """A NAT gateway and all hosts behind it. differing: hosts of which the inventory says something else of it.

    destinations: the worst first; destinations_found: how many there are.
    """

    gateway: Gateway
    level: Level
    hosts: int
    names: list[str]
    differing: list[str]
    destinations: list[GatewayDestination]
    destinations_found: int
    holes: list[GatewayHole]


class SettingGroup(TypedDict):
    how: How
    key: str
    before: str | None
    after: str | None
    hosts: int
    names: list[str]


class LossGroup(TypedDict):
    """Hosts that failed, were rolled back or could not be reached, for the same reason."""

    state: State
    reason: str
    hosts: int
    names: list[str]


class ReasonGroup(TypedDict):
    reason: str
    hosts: int
    names: list[str]


class WaveGroup(TypedDict):
    """wave: None for hosts of a rollout that were in none. names: by state."""

    wave: int | None
    hosts: int
    states: dict[State, int]
    names: dict[State, list[str]]


class Summary(TypedDict):
    """What hosts have in common. Each group has the number of its hosts."""

    hosts: int
    levels: dict[Level, int]
    states: dict[State, int]
    findings: list[FindingGroup]
    destinations: list[DestinationGroup]
    gateways: list[GatewayGroup]
    settings: list[SettingGroup]
    lost: list[LossGroup]
    not_curable: list[ReasonGroup]
    waves: list[WaveGroup]


class Meta(TypedDict):
    """The run. started, ended: ISO 8601 with time zone."""

    collection: str | None
    ansible_core: str
    python: str
    playbooks: list[str]
    started: str
    ended: str
    check_mode: bool


class MergedFile(TypedDict):
    """A report that was taken in. error: why it was not, or not as a whole."""

    path: str
    hosts: int
    ended: str | None
    error: str | None


class Clash(TypedDict):
    """A host of which several reports tell. counts: the one that was made last."""

    host: str
    files: list[str]
    counts: str


class Merged(TypedDict):
    """What the report was put together from. missing: hosts of the inventory that are in none of the files."""

    files: list[MergedFile]
    clashes: list[Clash]
    missing: list[str]


class ChangedLevel(TypedDict):
    host: str
    before: Level
    after: Level


class FindingChange(TypedDict):
    """first_seen: when the first of the earlier reports with it was made, None where it is new."""

    id: str
    hosts: int
    names: list[str]
    first_seen: str | None


class Growing(TypedDict):
    """A destination that is fuller each day, with its saturation on those days and now."""

    host: str
    destination: str
    saturations: list[float]


class Days(TypedDict):
    """What has changed since the last of the days of earlier reports."""

    files: list[MergedFile]
    days: list[str]
    worse: list[ChangedLevel]
    better: list[ChangedLevel]
    new: list[FindingChange]
    gone: list[FindingChange]
    growing: list[Growing]
    appeared: list[str]
    disappeared: list[str]


class Report(TypedDict):
    """schema counts up where a field is removed or means something else. hosts: by name.

    merged, days: where other reports were merged, or earlier ones compared.
    """

    schema: int
    meta: Meta
    summary: Summary
    merged: Merged | None
    days: Days | None
    hosts: list[HostReport]
