# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a load in names, numbers and plain sentences. Pure."""

import errno
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .load import Limits, LoadResult
from .options import without_secrets

_COULDNT_CONNECT = 7
EXHAUSTION = (_COULDNT_CONNECT, errno.EADDRNOTAVAIL)

NO_FREE_PORT = "no free local port towards this destination (ephemeral port exhaustion)"
NO_SOURCE = (
    "no local address to connect from, so not port exhaustion (is IPv6 switched off, or has the host no address of it?)"
)

# By (curl code, errno); errno None stands for any other one.
MEANINGS: Dict[Tuple[int, Optional[int]], str] = {
    EXHAUSTION: NO_FREE_PORT,
    (_COULDNT_CONNECT, errno.ECONNREFUSED): "nobody listens on this address and port; not port exhaustion",
    (_COULDNT_CONNECT, errno.ETIMEDOUT): "the handshake was not answered; packets are lost or dropped on the way",
    (_COULDNT_CONNECT, errno.EHOSTUNREACH): "the host cannot be reached, or a firewall says so",
    (_COULDNT_CONNECT, errno.ENETUNREACH): "there is no route to this destination",
    (_COULDNT_CONNECT, errno.EACCES): "a local firewall or security policy forbids this connection",
    (_COULDNT_CONNECT, errno.EPERM): "a local firewall or security policy forbids this connection",
    (6, None): "the name of the host could not be resolved",
    (22, None): "the server answered with HTTP status 400 or higher",
    (28, None): "no answer in time; packets are lost or dropped on the way, or the server is slow",
    (35, None): "the TLS handshake failed",
    (52, None): "the server closed the connection without an answer",
    (56, errno.ECONNRESET): "the server, or something on the way, reset the connection",
    (60, None): "the certificate of the server is not trusted",
}

# Other names in pycurl for the same codes: of other interfaces, of other protocols, or outdated.
_OTHER_NAMES = ("E_MULTI_", "E_CALL_", "E_FTP_", "E_HTTP_NOT_FOUND")


class Counters(NamedTuple):
    """Host counters at one moment: sockets in TIME_WAIT (None where there is no sockstat), and ports that connect()
    reused since boot."""

    time_wait: Optional[int]
    tw_recycled: int


def curl_names(constants: Mapping[str, Any]) -> Dict[int, str]:
    """Curl code to libcurl's name, such as {7: "CURLE_COULDNT_CONNECT"}, from pycurl's E_* constants."""
    names: Dict[int, str] = {}
    for name in sorted(constants):
        if name.startswith("E_") and not name.startswith(_OTHER_NAMES):
            names.setdefault(constants[name], "CURL" + name)
    return names


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest of ordered (ascending, not empty) that percent of them do not exceed."""
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def connect_times(seconds: Sequence[float]) -> Dict[str, Optional[float]]:
    """p50, p90, p99 and max in milliseconds; all None without a success."""
    ordered = sorted(seconds)
    points = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    if not ordered:
        return dict.fromkeys(points)
    return {name: round(percentile(ordered, percent) * 1000, 3) for name, percent in points.items()}


def describe_errors(
    errors: Mapping[Tuple[int, int], int], names: Mapping[int, str], has_source: bool = True
) -> List[Dict[str, Any]]:
    """One record for each (curl code, errno), the most frequent first. meaning is None where it is not known."""
    records = []
    for (code, number), count in sorted(errors.items(), key=lambda item: (-item[1], item[0])):
        meaning = MEANINGS.get((code, number), MEANINGS.get((code, None)))
        records.append(
            {
                "curl_code": code,
                "curl_name": names.get(code),
                "errno": number,
                "errno_name": errno.errorcode.get(number),
                "count": count,
                "meaning": meaning if has_source or (code, number) != EXHAUSTION else NO_SOURCE,
            }
        )
    return records


def report(
    url: str,
    asked: Limits,
    result: LoadResult,
    names: Mapping[int, str],
    before: Counters,
    after: Counters,
    has_source: bool = True,
) -> Dict[str, Any]:
    """One stress as the module returns it; the number is called failures because Ansible keeps "failed" for itself.

    has_source: whether this host has an address to connect from; an EADDRNOTAVAIL is for want of a port only then.
    """
    failures = sum(result.errors.values())
    attempted = result.succeeded + failures
    return {
        "kind": "load",
        "url": without_secrets(url),
        "asked": {"total": asked.total, "rate": asked.rate},
        "attempted": attempted,
        "succeeded": result.succeeded,
        "failures": failures,
        "errors": describe_errors(result.errors, names, has_source),
        "port_exhaustion": result.errors.get(EXHAUSTION, 0) if has_source else 0,
        "seconds": round(result.seconds, 3),
        "rate": round(attempted / result.seconds, 1),
        "connect_ms": connect_times(result.connect_seconds),
        "cut_off": result.cut_off,
        "time_wait": None
        if before.time_wait is None or after.time_wait is None
        else _change(before.time_wait, after.time_wait),
        "tw_recycled": _change(before.tw_recycled, after.tw_recycled),
        "stopped_by": result.stopped_by,
    }


def why_no_proof(result: Mapping[str, Any], max_failed: int) -> Optional[str]:
    """One sentence for a task that fails since too many connections failed, or too few were opened to tell."""
    if result["failures"] > max_failed:
        return _summarise_failures(result, max_failed)
    if result["stopped_by"] != "total":
        return (
            f"{result['attempted']} of {result['asked']['total']} connections to {result['url']} were opened within "
            "time_limit: a load that is less than what was asked for proves nothing"
        )
    return None


def _summarise_failures(result: Mapping[str, Any], max_failed: int) -> str:
    top = result["errors"][0]
    detail = "{count} x curl error {curl_code} ({curl_name}), errno {errno} ({errno_name}): {meaning}".format(**top)
    return (
        f"{result['failures']} of {result['attempted']} connections to {result['url']} failed, "
        f"more than max_failed={max_failed}: {detail}"
    )


def _change(before: int, after: int) -> Dict[str, int]:
    return {"before": before, "after": after, "delta": after - before}
