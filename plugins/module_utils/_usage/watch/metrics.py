# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A usage as metrics, with few enough samples for a monitoring that keeps them for months.

Of each network namespace the pools that are most used are told one by one, of the others their number alone. Of a
namespace in which nothing is wrong only what all have is told.
"""

from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, cast

from ..._common.text import format_destination, place_name, recent_rate
from ..._kernel.namespaces import OWN
from ..places import places
from .exposition import Family, Sample

if TYPE_CHECKING:
    from ....plugin_utils._model import Usage

PREFIX = "ephemeral_ports_"
# Levels as numbers, so that an alert can compare them and a panel can show the worst of many.
LEVELS = {"unknown": -1, "ok": 0, "warning": 1, "critical": 2, "exhausted": 3}

# Names of labels that are taken.
LABELS = (
    *("namespace", "kind", "source", "destination", "state", "finding", "severity", "what", "why"),
    *("inode", "program", "owner", "owner_kind", "version"),
)

_ABOUT = {
    "level": "Worst level of a network namespace: 0 ok, 1 warning, 2 critical, 3 exhausted, -1 unknown.",
    "range_ports": "Ports of net.ipv4.ip_local_port_range.",
    "reserved_ports": "Ports of the range that are in net.ipv4.ip_local_reserved_ports.",
    "held_ports": "Ports of the range that bound sockets hold.",
    "usable_ports": "Ports that connect() can choose from.",
    "sockets": "Sockets by state.",
    "namespace_info": "A network namespace and whose it is; always 1.",
    "findings": "Findings by their identifier, which docs/findings.md explains.",
    "not_observed": "What the level says nothing about, and how many of them at least.",
    "pool_level": "Level of a pool: 0 ok, 1 warning, 2 critical, 3 exhausted, -1 unknown.",
    "pool_usable_ports": "Ports that this pool can take.",
    "pool_blocked_ports": "Ports that cannot be used for another connection now.",
    "pool_saturation_ratio": "Blocked by usable ports.",
    "pool_sockets": "Sockets of a pool by state.",
    "pool_closed_per_second": "Connections closed per second lately.",
    "pool_hold_seconds": "For how long a closed connection blocks its port.",
    "pool_critical_in_seconds": "Seconds until the pool is critical if this goes on; absent where not expected.",
    "pool_exhausted_in_seconds": "Seconds until no port is left if this goes on; absent where not expected.",
    "pool_probe_errno": "Errno of a dry connect, 0 where a port was found; absent where the kernel was not asked.",
    "pool_probe_seconds": "How long the kernel searched for a port.",
    "pools_left_out": "Pools that are less used than those above, and not told one by one.",
    "run_success": "Whether the last run could observe this host.",
    "run_timestamp_seconds": "When the last run ended.",
    "run_duration_seconds": "How long the last run took.",
    "run_cpu_seconds": "What the last run took of the processors.",
    "info": "Version of the collection; always 1.",
}


class Metrics:
    """Samples by the name of their family."""

    def __init__(self) -> None:
        self._samples: Dict[str, List[Sample]] = {name: [] for name in _ABOUT}

    def add(self, name: str, value: Optional[float], **labels: str) -> None:
        """Nothing where there is no value."""
        if value is not None:
            self._samples[name].append(Sample(labels, value))

    def families(self) -> List[Family]:
        return [Family(name, about, self._samples[name]) for name, about in _ABOUT.items()]


def add_usage(metrics: Metrics, usage: Mapping[str, Any], most_pools: int) -> None:
    """Take in what port_usage_info returns. most_pools: of each namespace and kind."""
    for name, place in _named(places(cast("Usage", usage))):
        _add_namespace(metrics, place, name, most_pools)
    for one in usage["not_observed"]:
        metrics.add("not_observed", one["number"] or 0, what=one["what"], why=one["why"])


def _named(found: Iterable[Mapping[str, Any]]) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    """Each namespace by a name of its own: two of the same name are told apart by their inodes."""
    taken: Set[str] = set()
    for one in found:
        name = place_name(one["namespace"]) or OWN
        if name in taken:
            name = f"{name} ({one['namespace']['inode']})"
        taken.add(name)
        yield name, one


def _add_namespace(metrics: Metrics, usage: Mapping[str, Any], name: str, most_pools: int) -> None:
    namespace, ports = usage["namespace"], usage["port_range"]
    metrics.add("level", LEVELS[usage["level"]], namespace=name)
    metrics.add("usable_ports", ports["usable"], namespace=name)
    metrics.add("range_ports", ports["size"], namespace=name)
    if namespace["own"] or usage["level"] != "ok" or usage["findings"]:
        metrics.add("reserved_ports", ports["reserved"], namespace=name)
        metrics.add("held_ports", ports["held"], namespace=name)
        for state, number in sorted((usage["sockets"] or {}).items()):
            metrics.add("sockets", number, namespace=name, state=state)
    if not namespace["own"]:
        owner = namespace["owner"] or {"kind": "", "name": ""}
        whose = {"inode": str(namespace["inode"] or ""), "program": namespace["program"] or ""}
        metrics.add("namespace_info", 1, namespace=name, owner_kind=owner["kind"], owner=owner["name"], **whose)
    for identifier, severity, number in _counted(usage["findings"]):
        metrics.add("findings", number, namespace=name, finding=identifier, severity=severity)
    _add_pools(metrics, usage["pools"], name, most_pools)


def _counted(findings: Iterable[Mapping[str, Any]]) -> List[Tuple[str, str, int]]:
    counts: Dict[Tuple[str, str], int] = {}
    for finding in findings:
        key = finding["id"], finding["severity"]
        counts[key] = counts.get(key, 0) + 1
    return [(identifier, severity, number) for (identifier, severity), number in sorted(counts.items())]


def _add_pools(metrics: Metrics, pools: Sequence[Mapping[str, Any]], namespace: str, most: int) -> None:
    """The pools come with the worst first."""
    told: Dict[str, int] = {}
    for pool in pools:
        told[pool["kind"]] = told.get(pool["kind"], 0) + 1
        if told[pool["kind"]] <= most:
            labels = {"source": pool["source"] or "", "destination": format_destination(pool)}
            _add_pool(metrics, pool, {"namespace": namespace, "kind": pool["kind"], **labels})
    for kind, number in told.items():
        metrics.add("pools_left_out", max(0, number - most), namespace=namespace, kind=kind)


def _add_pool(metrics: Metrics, pool: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    forecast, answer = pool["forecast"], pool["probe"]
    metrics.add("pool_level", LEVELS[pool["level"]], **labels)
    for name in ("usable", "blocked"):
        metrics.add(f"pool_{name}_ports", pool[name], **labels)
    metrics.add("pool_saturation_ratio", pool["saturation"], **labels)
    for state, number in [("TIME_WAIT", pool["time_wait"]), *sorted(pool["states"].items())]:
        metrics.add("pool_sockets", number, state=state, **labels)
    metrics.add("pool_closed_per_second", recent_rate(pool), **labels)
    metrics.add("pool_hold_seconds", pool["hold_seconds"], **labels)
    metrics.add("pool_critical_in_seconds", forecast["seconds_to_critical"], **labels)
    metrics.add("pool_exhausted_in_seconds", forecast["seconds_to_exhausted"], **labels)
    if answer:
        metrics.add("pool_probe_errno", answer["errno"], **labels)
        metrics.add("pool_probe_seconds", answer["search_us"] and answer["search_us"] / 1e6, **labels)


def add_run(metrics: Metrics, success: bool, ended: float, seconds: float, cpu: float, version: str) -> None:
    """ended: seconds since 1970. What the run itself cost is told even where it failed."""
    metrics.add("run_success", int(success))
    metrics.add("run_timestamp_seconds", round(ended, 3))
    metrics.add("run_duration_seconds", round(seconds, 6))
    metrics.add("run_cpu_seconds", round(cpu, 6))
    metrics.add("info", 1, version=version)
