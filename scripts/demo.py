# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole story on this machine, without touching it: ports run out, are diagnosed, fixed, proven, and rolled back.

`make demo` sets up what this needs and runs it. The script starts itself again in private namespaces (see
scripts/private_namespaces.py), runs playbooks/demo.yml there, tells what happens, and checks that it is as promised.
It leaves build/demo/report.json and build/demo/ansible.log, and fails unless every promise was kept.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from private_namespaces import PRIVATE

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "demo"
HOME, LOG, REPORT = BUILD / "home", BUILD / "ansible.log", BUILD / "report.json"

# The only thing that differs from what a kernel starts with: few ports, so that they run out in two seconds.
NARROW = "net.ipv4.ip_local_port_range=32768 33267"
DESTINATION = ("198.18.0.1", 8080)

# What an administrator may have left there.
FOREIGN_FILE = Path("/etc/sysctl.d/50-keepalive.conf")

SETTINGS = Path("/proc/sys/net/ipv4")
NAMESPACES = (Path("/proc/self/ns/net"), Path("/proc/self/ns/mnt"))

# What happens in each play of playbooks/demo.yml.
ACTS = (
    "Exhaust: 300 new connections per second to one server, with 500 local ports",
    "Diagnose: which destination ran out of ports, and why",
    "Remediate: through one sysctl.d drop-in",
    "Prove: the same load again",
    "Prove: the ports right after it",
    "Repeat: a second run finds nothing to change",
    "Roll back: everything as it was",
)

MODULE = "netops.ephemeral_ports."

Event = Mapping[str, Any]


def check_set_up() -> None:
    if importlib.util.find_spec("ansible") is None or importlib.util.find_spec("pycurl") is None:
        sys.exit("demo: ansible-core or pycurl is missing here. `make demo` sets up what is needed, and runs this.")


def enter() -> None:
    """Become this script in private namespaces; it recognises them by the names of those outside."""
    os.environ["DEMO_OUTSIDE"] = " ".join(str(path.readlink()) for path in NAMESPACES)
    launcher = ROOT / "scripts" / "private_namespaces.py"
    os.execv(sys.executable, [sys.executable, str(launcher), "--sysctl", NARROW, "--", sys.executable, __file__])


def is_inside() -> bool:
    outside = os.environ.get("DEMO_OUTSIDE", "").split()
    return bool(outside) and not {str(path.readlink()) for path in NAMESPACES} & set(outside)


def snapshot() -> dict[str, str]:
    """Every readable IPv4 setting, and every file where the fix leaves some: path to type, mode and content."""
    found = {}
    private = [parent / name for parent, names in PRIVATE.items() for name in names]
    below = [one for root in (SETTINGS, *private) for one in root.rglob("*")]
    for path in [*below, *(one for one in private if one.is_file())]:
        mode = path.lstat().st_mode
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = read(path)
        else:
            content = ""
        found[str(path)] = f"{mode:o} {content}"
    return found


def read(path: Path) -> str:
    try:
        return path.read_bytes().hex() if path.is_relative_to("/etc") else path.read_text()
    except OSError as error:  # some settings can only be written
        return f"errno {error.errno}"


def run_playbook() -> Iterator[Event]:
    """Run the story's playbook and yield what its callback tells; all that Ansible prints goes to the log.

    The user's Ansible configuration plays no part, and nothing is written outside build.
    """
    ours = {
        "ANSIBLE_CONFIG": str(HOME / "ansible.cfg"),
        "ANSIBLE_HOME": str(HOME),
        "ANSIBLE_REMOTE_TEMP": str(HOME / "tmp"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "scripts" / "demo_callback"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | ours
    command = [sys.executable, "-m", "ansible", "playbook", f"{MODULE}demo"]
    command += ["--inventory", "localhost,", "--connection", "local", "--extra-vars", "ephemeral_ports_become=false"]
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "ansible.cfg").touch()
    reader, writer = os.pipe()
    with LOG.open("w") as log, os.fdopen(reader) as events:
        process = subprocess.Popen(
            command,
            env={**environment, "DEMO_EVENTS": str(writer)},
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        os.close(writer)
        for line in events:
            yield json.loads(line)
        process.wait()
    shutil.rmtree(HOME)


def describe(result: Event) -> list[str]:
    """What the action says in a terminal for people."""
    sys.path.insert(0, str(ROOT / "build"))
    from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe as in_words

    return in_words(result)


class Story:
    """Tells the run while it goes on, and keeps the results of each play."""

    def __init__(self) -> None:
        self.plays: list[dict[str, Any]] = []
        self.playbook = ""
        self.seen: set[str] = set()

    def on_play(self, event: Event) -> None:
        self.seen.add(self.playbook)
        self.playbook = Path(event["path"]).stem
        self.plays.append({"playbook": self.playbook})
        heading(f"{len(self.plays)}. {ACTS[len(self.plays) - 1]}")
        show(command_line(self.playbook, event["variables"]))

    def on_ok(self, event: Event) -> None:
        action, result = event["action"], event["result"]
        if action == f"{MODULE}diagnosis":
            self.say(result["lines"])
            self.plays[-1]["port_usage_info"] = result["usage"]
        elif action == f"{MODULE}remediation":
            self.say(describe(result))
            self.plays[-1] |= {
                "port_usage_info": result["usage"],
                "plan": result["plan"],
                "sysctl_dropin": result["applied"],
            }
        elif action.startswith(MODULE):
            self.say(describe(result))
            self.plays[-1][action.removeprefix(MODULE)] = result

    def on_failed(self, event: Event) -> None:
        if "kind" in event["result"]:
            self.on_ok(event)
        show([f"FAILED: {event['result'].get('msg')}"])

    def say(self, lines: Sequence[str]) -> None:
        """All that a playbook has to say when it comes first, its verdict when it comes again."""
        show(lines[:1] if self.playbook in self.seen else lines)

    def results(self, kind: str) -> list[dict[str, Any]]:
        """The results of a module, or the plans, in the order of the plays that have one."""
        return [play[kind] for play in self.plays if kind in play]


def show(lines: Sequence[str]) -> None:
    print(textwrap.indent("\n".join(lines), "   "), flush=True)


def heading(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"\n{bold}{text}{plain}")


def command_line(playbook: str, variables: Mapping[str, Any]) -> list[str]:
    """The command with which a user gets the same, in lines of at most about 100 columns."""
    assignments = " ".join(f"-e {name}={value}" for name, value in variables.items())
    command = f"$ ansible-playbook {MODULE}{playbook} -i INVENTORY {assignments}"
    lines = textwrap.wrap(command.replace(" -e ", " -e\0"), 92, subsequent_indent="      ", break_on_hyphens=False)
    return [line.replace("\0", " ") + " \\" for line in lines[:-1]] + [lines[-1].replace("\0", " ")]


def summarise(stress: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """One phase: what the load met, and the ports right after it."""
    at_destination = [d for d in usage["pools"] if (d["address"], d["port"]) == DESTINATION]
    kept = ("attempted", "succeeded", "errors", "port_exhaustion", "rate", "seconds", "connect_ms", "time_wait")
    return {
        **{name: stress[name] for name in kept},
        "failed": stress["failures"],
        "saturation": at_destination[0]["saturation"] if at_destination else 0.0,
        "level": usage["level"],
    }


def make_report(story: Story, differences: Sequence[str]) -> dict[str, Any]:
    usages = [play["port_usage_info"] for play in story.plays if play["playbook"] == "diagnose"]
    before, after = (summarise(*pair) for pair in zip(story.results("curl_stress"), usages, strict=True))
    plans = story.results("plan")
    applied = [play["sysctl_dropin"] for play in story.plays if play["playbook"] == "remediate"]
    return {
        "kernel": usages[0]["kernel"]["release"],
        "destination": "{}:{}".format(*DESTINATION),
        "before": before,
        "after": after,
        "settings": plans[0]["settings"],
        "sustainable_rate": plans[0]["sustainable_rate"],
        "first_run_changed": applied[0]["changed"],
        "second_run_changed": applied[1]["changed"],
        "rolled_back": not differences,
        "differences": list(differences),
    }


def promises(report: Mapping[str, Any]) -> dict[str, bool]:
    """What this demo promises, and whether it was kept."""
    before, after = report["before"], report["after"]
    return {
        "connections failed with curl 7 / errno 99": before["port_exhaustion"] > 0,
        "the diagnosis said so and named the destination": before["level"] == "exhausted" and before["saturation"] == 1,
        "the fix was applied": report["first_run_changed"],
        "the same load passed": after["failed"] == 0 and after["attempted"] == before["attempted"],
        "a second run changed nothing": not report["second_run_changed"],
        "everything is as it was at the start": report["rolled_back"],
    }


def print_table(report: Mapping[str, Any]) -> None:
    before, after, rate = report["before"], report["after"], report["sustainable_rate"]
    rows = [
        ("", "before", "after"),
        ("connections attempted", before["attempted"], after["attempted"]),
        ("connections failed", before["failed"], after["failed"]),
        ("  with curl 7 / errno 99", before["port_exhaustion"], after["port_exhaustion"]),
        (f"ports blocked for {report['destination']}", f"{before['saturation']:.1%}", f"{after['saturation']:.1%}"),
        ("new connections per second, at most", f"{rate['before']:.1f}", f"{rate['after']:.0f}"),
    ]
    for label, *cells in rows:
        print(f"   {label:<40}" + "".join(f"{cell!s:>10}" for cell in cells))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tell() -> int:
    """Run the story; 0 if every promise was kept. Only to be called in private namespaces."""
    REPORT.unlink(missing_ok=True)
    FOREIGN_FILE.write_text("net.ipv4.tcp_keepalive_time = 7200\n")
    started, start = time.monotonic(), snapshot()
    story = Story()
    tellers = {"play": story.on_play, "ok": story.on_ok, "failed": story.on_failed}
    for event in run_playbook():
        tellers[event["event"]](event)
    end = snapshot()
    differences = sorted(name for name in start.keys() | end.keys() if start.get(name) != end.get(name))
    try:
        report = make_report(story, differences)
    except (KeyError, IndexError, ValueError):
        print(f"\nThe story broke off; {shown(LOG)} has all that Ansible said:\n", file=sys.stderr)
        print("\n".join(LOG.read_text().splitlines()[-20:]), file=sys.stderr)
        return 1
    kept = promises(report)
    report["seconds"] = round(time.monotonic() - started, 1)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    heading(f"Compared {len(start)} kernel settings and files with the start: {len(differences)} differ")
    for name in differences:
        print(f"   {name}: {start.get(name)} -> {end.get(name)}")
    heading("Before and after")
    print_table(report)
    print()
    for promise, true in kept.items():
        print(f"   {'yes' if true else 'NO '}  {promise}")
    print(f"\n   {report['seconds']} s; numbers in {shown(REPORT)}, all that Ansible said in {shown(LOG)}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    check_set_up()
    if not is_inside():
        enter()
    sys.exit(tell())
