# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stress, from checked options to the result of curl_stress."""

import sys
from contextlib import ExitStack
from typing import Any, Dict, Mapping

from .._common.errors import LoadFailedError, UnsupportedError
from .._kernel import counters
from .._kernel.sockstat import read_sockstat
from .._sockets import probe
from . import load, report
from . import options as stress_options
from .http_server import keep_alive_server

_NO_PYCURL = (
    "pycurl is missing for the Python of this host, {interpreter}: {error}. Install the package python3-pycurl (Debian,"
    " Ubuntu, Fedora, SUSE, Enterprise Linux with EPEL), or set ansible_python_interpreter to a Python that has it"
)


def stress(options: Mapping[str, Any], _check: bool) -> Dict[str, Any]:
    """Raises OptionError, UnsupportedError, or LoadFailedError, which has the result."""
    stress_options.check(options)
    if load.IMPORT_ERROR:
        raise UnsupportedError(_NO_PYCURL.format(interpreter=sys.executable, error=load.IMPORT_ERROR))
    result = {"changed": False, **run_load(options)}
    max_failed = options["max_failed"]
    why = None if max_failed is None else report.why_no_proof(result, max_failed)
    if why:
        raise LoadFailedError(why, **result)
    return result


def run_load(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Run the load, with counters read before and after. Raises OptionError where this host cannot run it like that."""
    limits = load.Limits(**{name: options[name] for name in load.Limits._fields})
    load.allow_open_files(limits.concurrency)
    with ExitStack() as stack:
        url = options["url"]
        if url is None:
            url = stack.enter_context(keep_alive_server(options["serve"], options["serve_port"]))
        before = read_counters()
        result = load.churn(url, limits)
        after = read_counters()
    names = report.curl_names(load.constants())
    has_source = report.EXHAUSTION not in result.errors or _has_source(url, limits.connect_timeout)
    return report.report(url, limits, result, names, before, after, has_source)


def _has_source(url: str, time_limit: float) -> bool:
    """False only where the kernel says for each address of the URL that there is none to connect from."""
    said = [probe.has_source(address) for address in load.addresses(url, time_limit)]
    return not said or any(one is not False for one in said)


def read_counters() -> report.Counters:
    return report.Counters(
        time_wait=read_sockstat().get("TCP", {}).get("tw"),
        tw_recycled=counters.read_netstat().get("TcpExt", {}).get("TWRecycled", 0),
    )
