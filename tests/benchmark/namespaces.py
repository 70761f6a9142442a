# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to observe every network namespace of a host, beside a loop of nsenter and ss.

    python3 tests/benchmark/namespaces.py

Makes 1, 50 and 200 network namespaces where nobody else's can be seen, then gives one of them 200,000 sockets in
TIME_WAIT. Prints a table in Markdown, and ends with 1 where a target of the project was missed: less than a millisecond
of CPU for an idle namespace, and one dump where one is loaded. Needs root, gcc and unshare(1).
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from observe import OUTPUT, PLUGINS, build

NUMBERS = (1, 50, 200)
SOCKETS = 200_000
ROUNDS = 7
IDLE_MS, DUMPS = 1.0, 1.5

MEMBER = "import sys; print('ready', flush=True); sys.stdin.read()"
LOOP = """
for link in /proc/[0-9]*/ns/net; do readlink "$link" | tr '\\n' ' '; echo "$link"; done | sort -u -k1,1 |
while read -r _inode link; do nsenter --net="$link" ss -Htan state time-wait | wc -l; done
"""
SYSCTLS = {
    "tcp_rfc1337": "1",
    "tcp_tw_reuse": "0",
    "tcp_max_tw_buckets": "1000000",
    "ip_local_port_range": "1024 65535",
}


@contextlib.contextmanager
def namespaces(number: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _each in range(number):
            command = ["unshare", "--net", sys.executable, "-I", "-S", "-c", MEMBER]
            wait_for(stack.enter_context(subprocess.Popen(command, **PIPES)))
        yield
        # Closing their standard input ends them.


@contextlib.contextmanager
def loaded() -> Iterator[None]:
    write = "".join(f"echo {value} > /proc/sys/net/ipv4/{key}; " for key, value in SYSCTLS.items())
    addresses = "for last in 1 2 3 4; do ip address add 198.18.0.$last/32 dev lo; done; "
    fill = f"exec {OUTPUT / 'populate'} client {SOCKETS} 1 600"
    command = ["unshare", "--net", "sh", "-c", f"ip link set lo up; {addresses}{write}{fill}"]
    with subprocess.Popen(command, **PIPES) as process:
        wait_for(process)
        yield


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def wait_for(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", "a namespace could not be made"


def observe(*wanted: str) -> None:
    from module_utils._usage.observe import observe as observe_host
    from module_utils._usage.options import check_options

    options = {
        "method": "auto",
        "detail": "auto",
        "max_pools": 10,
        "destination": None,
        "warning_threshold": 0.4,
        "critical_threshold": 0.5,
        "probe": "auto",
        "namespaces": list(wanted),
    }
    observe_host(check_options(options))


def loop() -> None:
    subprocess.run(["sh", "-c", LOOP], check=True, stdout=subprocess.DEVNULL)


def milliseconds(work: Callable[[], None]) -> float:
    """CPU of this process and of those that it waited for, the median of some rounds."""
    spent = []
    for _round in range(ROUNDS):
        before = _cpu()
        work()
        spent.append((_cpu() - before) * 1000)
    return statistics.median(spent)


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    if "--inside" not in sys.argv:
        build()
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
        sys.exit(subprocess.run([*unshare, sys.executable, __file__, "--inside"], check=False).returncode)
    sys.path.insert(0, str(PLUGINS))
    observe("all")  # imports
    missed = False
    print("| other namespaces | own alone, ms | all, ms | each, ms | nsenter and ss, ms | theirs / ours |")
    print("|---:|---:|---:|---:|---:|---:|")
    for number in NUMBERS:
        with namespaces(number):
            own, every, theirs = (milliseconds(work) for work in (lambda: observe("own"), lambda: observe("all"), loop))
        each = (every - own) / number
        missed |= each >= IDLE_MS
        print(f"| {number} | {own:.2f} | {every:.2f} | {each:.3f} | {theirs:.0f} | {theirs / every:.1f} |")
    idle = every
    with loaded():
        alone = milliseconds(lambda: observe("all"))
        with namespaces(NUMBERS[-1]):
            every, theirs = milliseconds(lambda: observe("all")), milliseconds(loop)
    dumps = (every - idle) / alone
    print(
        f"\n{SOCKETS // 1000} k sockets in one: {alone:.0f} ms alone, {every:.0f} ms beside {NUMBERS[-1]} idle ones, "
        f"which is {dumps:.2f} dumps more than without it; nsenter and ss {theirs:.0f} ms ({theirs / every:.1f} times)"
    )
    sys.exit(missed or dumps >= DUMPS)


if __name__ == "__main__":
    main()
