# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of the ways to ask, run by observe.py as `python -I -S ask.py PLUGINS WAY [LOW HIGH]`: a process of its own.

netlink and procfs print what floor.c prints: sockets per destination with their ages, then sockets per state. module
makes the whole result of port_usage_info; healthy does so without a dump, and prints the microseconds of CPU that it
took the first time and the median of many.
"""

import sys
import time

TURNS = 101
# The options of port_usage_info, but for its detail.
DEFAULTS = {
    "method": "auto",
    "max_pools": 10,
    "destination": None,
    "warning_threshold": 0.4,
    "critical_threshold": 0.5,
    "probe": "auto",
    "namespaces": ["own"],
}


def histogram(way: str, low: str, high: str) -> None:
    from socket import AF_INET, AF_INET6, inet_ntop

    from module_utils._kernel.ports import PortRange, PortSet
    from module_utils._sockets import inet_diag, procfs

    reader = inet_diag if way == "netlink" else procfs
    table = reader.read_sockets(PortRange(int(low), int(high)), PortSet())
    for destination in set(table.live) | set(table.time_wait):
        source, address, port = destination
        family = AF_INET if len(source) == 4 else AF_INET6
        # Of 235 ticks of 256 ms, a socket younger than 1 s has 230 or more left, one younger than 10 s 195.
        total, *within = (table.time_wait.count(destination, least) for least in (0, 230, 195))
        live = table.live[destination]
        print(inet_ntop(family, source), inet_ntop(family, address), port, total, live, *within, total)
    print(*(table.states[state] for state in range(16)))


def result(detail: str) -> None:
    """What port_usage_info returns, without Ansible around it."""
    from module_utils._usage.observe import observe
    from module_utils._usage.options import check_options

    checked = check_options({**DEFAULTS, "detail": detail})
    spent = []
    for _turn in range(TURNS if detail == "auto" else 1):
        begin = time.process_time()
        usage = observe(checked)
        spent.append(time.process_time() - begin)
    print(usage["method"], spent[0] * 1e6, sorted(spent)[len(spent) // 2] * 1e6)


def main() -> None:
    plugins, way, *port_range = sys.argv[1:]
    sys.path.insert(0, plugins)
    if way == "sockstat":
        from module_utils._kernel.sockstat import read_sockstat

        print(read_sockstat()["TCP"]["tw"])
    elif way in ("module", "healthy"):
        result("full" if way == "module" else "auto")
    else:
        histogram(way, *port_range)


if __name__ == "__main__":
    main()
