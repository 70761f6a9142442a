# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ephemeral-ports: what port_usage_info observes, for who sits on the host, and for monitoring.

It never changes anything but the file that --metrics names. Its exit status is that of a monitoring plugin, so that
Icinga and its like can run it as it is.
"""

import argparse
import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, cast

from ..._common.errors import Error, format_os_error
from ..._common.layout import one_line
from ..._kernel import keys
from ..._kernel.counters import PROC
from ..._kernel.ports import ports_in_force
from ..._nat import source_rules
from ..._sockets.known import OWN
from ..nat import FEW
from ..observe import observe
from ..options import MAX_POOLS, ScanOptions, check_options
from ..snat import may_translate
from ..sockstat import proves_ok
from ..udp import may_be_near
from ..words import describe_usage
from . import metrics, quiet
from .exposition import write
from .whole_file import replace

if TYPE_CHECKING:
    from ....plugin_utils._model import Usage

# Few sockets come and go everywhere.
_SOME = 500

OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATUS = {"ok": OK, "warning": WARNING, "critical": CRITICAL, "exhausted": CRITICAL, "unknown": UNKNOWN}

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


def main(version: str, arguments: Sequence[str]) -> int:
    """The exit status: 0 ok, 1 warning, 2 critical or exhausted, 3 unknown, or it failed.

    With --metrics it is 0 once the file is written, whatever the level: that is for the alerts to judge.
    """
    start = time.monotonic()
    given = _parser(version).parse_args(arguments)
    try:
        options = _options(given)
        if given.metrics is not None:
            return _write_metrics(options, given, arguments, version, start)
        if given.watch is not None:
            from . import live  # loads much that no other way needs

            return live.watch(lambda: _words(observe(options)), given.watch)
        usage = observe(options)
    except (Error, OSError) as error:
        return _failed(error)
    except KeyboardInterrupt:
        return UNKNOWN
    sys.stdout.write(json.dumps(usage) if given.json else "\n".join(_words(usage)))
    sys.stdout.write("\n")
    return STATUS[usage["level"]]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "NoReturn":
        """As argparse does it, but for the status, which would say that this host is critical."""
        self.exit(UNKNOWN, f"{self.format_usage()}{self.prog}: {message}\n")


def _parser(version: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ephemeral-ports",
        description="Say which destinations use up the ephemeral ports of this host. No setting is changed.",
        epilog="Exit status: 0 ok, 1 warning, 2 critical or exhausted, 3 unknown. Root sees and asks more.",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--json", action="store_true", help="what port_usage_info returns, as one line")
    way.add_argument("--metrics", nargs="?", const="-", metavar="FILE", help="for Prometheus; a FILE is replaced whole")
    way.add_argument("--watch", nargs="?", const=2.0, type=float, metavar="SECONDS", help="anew each 2 s, until Ctrl-C")
    parser.add_argument("--namespaces", nargs="+", default=["own"], metavar="NAME", help="own, all, or names")
    parser.add_argument("--destination", metavar="ADDRESS:PORT", help="nothing but this one")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="pools told one by one (10)")
    parser.add_argument(
        "--warning", type=float, default=0.4, metavar="SHARE", help="level from this saturation on (0.4)"
    )
    parser.add_argument("--critical", type=float, default=0.5, metavar="SHARE", help="the same (0.5)")
    parser.add_argument("--probe", choices=["auto", "never"], default="auto", help="whether to ask the kernel")
    parser.add_argument("--label", type=_label, action="append", default=[], metavar="NAME=VALUE", help="for --metrics")
    parser.add_argument("--version", action="version", version=f"ephemeral-ports {version}")
    return parser


def _label(text: str) -> Tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _LABEL.match(name):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, with a NAME of letters, digits and _")
    if name in metrics.LABELS:
        raise argparse.ArgumentTypeError(f"{text!r}: {name} is a label that the metrics have already")
    return name, value


def _options(given: argparse.Namespace) -> ScanOptions:
    """Raises OptionError."""
    asked = {
        "method": "auto",
        "detail": "auto",
        "max_pools": given.top if given.metrics is None else MAX_POOLS,
        "destination": given.destination,
        "warning_threshold": given.warning,
        "critical_threshold": given.critical,
        "probe": given.probe,
        "namespaces": given.namespaces,
    }
    return check_options(asked)


def _words(usage: Mapping[str, Any]) -> List[str]:
    return [one_line(line) for line in describe_usage(cast("Usage", usage))]


def _write_metrics(
    options: ScanOptions, given: argparse.Namespace, arguments: Sequence[str], version: str, start: float
) -> int:
    """A run that failed says so in the file: what the one before it wrote is true no longer."""
    collected, status, usage = metrics.Metrics(), OK, None
    counts = quiet.counts()
    try:
        usage = observe(options)
        metrics.add_usage(collected, usage, given.top)
    except (Error, OSError) as error:
        status = _failed(error)
    seconds = time.monotonic() - start
    metrics.add_run(collected, status == OK, time.time(), seconds, time.process_time(), version)
    text = write(collected.families(), metrics.PREFIX, dict(given.label))
    if given.metrics == "-":
        sys.stdout.write(text)
    else:
        try:
            quiet.forget(given.metrics)
            replace(given.metrics, text.encode())
        except OSError as error:
            raise Error(f"{given.metrics} cannot be written: {error.strerror}") from error
        most = most_that_prove_ok(options, usage, counts, _translates) if usage else None
        if most:
            quiet.remember(given.metrics, [version, *arguments], keys.NAMES, most)
    return status


def _translates() -> bool:
    return may_translate(source_rules.read(PROC), PROC)


def most_that_prove_ok(
    options: ScanOptions, usage: Mapping[str, Any], counts: Mapping[str, int], translates: Callable[[], bool]
) -> Optional[Dict[str, int]]:
    """Counts of which the kernel's own prove as much as they did now: twice as many, and some; None if not.

    translates: whether NAT may have a range of ports that these entries of conntrack could fill.
    """
    if usage["method"] != "sockstat" or usage["level"] != "ok" or options.namespaces != (OWN,) or usage["pools"]:
        return None
    most = {name: 2 * number + _SOME for name, number in counts.items()}
    if translates():
        most["conntrack"] = FEW - 1
    sockstat: Dict[str, Dict[str, int]] = {}
    for name, number in most.items():
        what, _blank, field = name.partition(" ")
        sockstat.setdefault(what, {})[field] = number
    port_range, reserved = ports_in_force(usage["sysctls"])
    usable = usage["port_range"]["usable"]
    proven = proves_ok(sockstat, usable, options.thresholds)
    return most if proven and not may_be_near(sockstat, port_range, reserved, options.thresholds) else None


def _failed(error: Exception) -> int:
    reason = format_os_error(error) if isinstance(error, OSError) else str(error)
    sys.stderr.write(f"ephemeral-ports: {reason}\n")
    return UNKNOWN
