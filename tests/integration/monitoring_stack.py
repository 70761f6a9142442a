# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus, Alertmanager, node_exporter and ansible-rulebook as users have them, in one private network namespace."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .debian import BUILD, give_up, unpacked
from .private_host import Host

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter")
RULES = ROOT / "monitoring/rules/ephemeral_ports.yml"
RULEBOOK = ROOT / "extensions/eda/rulebooks/ephemeral_ports.yml"
TOKEN = "a-token-of-this-test"
PATIENCE_S = 180


def programs() -> Path:
    return unpacked("monitoring", PACKAGES) / "usr/bin"


def rulebook_environment() -> Path:
    """A virtual environment with ansible-rulebook, made once."""
    if not shutil.which("java"):
        give_up("no Java, which ansible-rulebook needs")
    wanted = (ROOT / "requirements/eda.txt").read_text()
    place = BUILD / "eda"
    if not (place / "made-of").exists() or (place / "made-of").read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        pip = [place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "--requirement", ROOT / "requirements/eda.txt"], check=False, capture_output=True, text=True
        )
        if done.returncode:
            give_up(f"ansible-rulebook cannot be installed: {done.stderr[-500:]}")
        (place / "made-of").write_text(wanted)
    return place / "bin"


@contextlib.contextmanager
def repeated(run: Callable[[], object], seconds: float) -> Iterator[None]:
    """Again and again, as by a timer."""
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(seconds):
            run()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def wait_for(what: str, function: Callable[[], Any], tell: Callable[[], str] = str) -> Any:
    """What the function gives, as soon as that is true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := function()):
        assert time.monotonic() < end, f"{what} did not come: {tell()}"
        time.sleep(0.2)
    return found


class Stack:
    """What runs in the namespace of this host. Each program writes to a log of its own."""

    def __init__(self, host: Host, home: Path, directories: dict[str, Path], inventory: Path) -> None:
        self.host, self.home, self.directories, self.inventory = host, home, directories, inventory

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for number, (name, directory) in enumerate(self.directories.items()):
                stack.enter_context(self._program(f"node_exporter.{name}", self._node_exporter(directory, number)))
            stack.enter_context(self._program("rulebook", self._rulebook()))
            stack.enter_context(self._program("alertmanager", self._alertmanager()))
            stack.enter_context(self._program("prometheus", self._prometheus()))
            for port in (5000, 9090, 9093):
                wait_for(f"port {port}", lambda port=port: self._listens(port), self.logs)
            yield

    @contextlib.contextmanager
    def prometheus_alone(self) -> Iterator[None]:
        """With what it reads from: nobody is alerted."""
        with contextlib.ExitStack() as stack:
            for number, (name, directory) in enumerate(self.directories.items()):
                stack.enter_context(self._program(f"node_exporter.{name}", self._node_exporter(directory, number)))
            stack.enter_context(self._program("prometheus", self._prometheus()))
            wait_for("port 9090", lambda: self._listens(9090), self.logs)
            yield

    @contextlib.contextmanager
    def _program(self, name: str, command: Sequence[str | Path]) -> Iterator[None]:
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(BUILD), "ANSIBLE_HOST_KEY_CHECKING": "False"}
        with (self.home / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [*self.host.enter, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=environment,
            )
            try:
                yield
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _node_exporter(self, directory: Path, number: int) -> list[str | Path]:
        options = ["--collector.disable-defaults", "--collector.textfile"]
        place = f"--collector.textfile.directory={directory}"
        return [
            programs() / "prometheus-node-exporter",
            *options,
            place,
            f"--web.listen-address=127.0.0.1:{9100 + number}",
        ]

    def _prometheus(self) -> list[str | Path]:
        targets = [
            {"targets": [f"127.0.0.1:{9100 + number}"], "labels": {"instance": name}}
            for number, name in enumerate(self.directories)
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
            "scrape_configs": [{"job_name": "node", "static_configs": targets}],
        }
        data = f"--storage.tsdb.path={self.home}/data"
        return [
            programs() / "prometheus",
            self._config("prometheus", config),
            data,
            "--web.listen-address=127.0.0.1:9090",
        ]

    def _alertmanager(self) -> list[str | Path]:
        webhook = {
            "url": "http://127.0.0.1:5000/endpoint",
            "send_resolved": True,
            "http_config": {"authorization": {"credentials": TOKEN}},
        }
        config = {
            "route": {
                "receiver": "rulebook",
                "group_by": ["alertname", "inventory_hostname"],
                "group_wait": "1s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "rulebook", "webhook_configs": [webhook]}],
        }
        # It ends unless its templates are where Debian installs them.
        share = unpacked("monitoring", PACKAGES) / "usr/share"
        mount = f"mount -t overlay overlay -o lowerdir={share}:/usr/share /usr/share"
        command = [programs() / "prometheus-alertmanager", self._config("alertmanager", config)]
        rest = [
            f"--storage.path={self.home}/alerts",
            "--web.listen-address=127.0.0.1:9093",
            "--cluster.listen-address=",
        ]
        return ["sh", "-c", f'{mount} && exec "$@"', "sh", *command, *rest]

    def _rulebook(self) -> list[str | Path]:
        variables = {"ephemeral_ports_webhook_token": TOKEN, "ephemeral_ports_remediate": True}
        (self.home / "vars.yml").write_text(json.dumps(variables))
        command = [rulebook_environment() / "ansible-rulebook", "--rulebook", RULEBOOK, "--inventory", self.inventory]
        path = f"PATH={rulebook_environment()}:{os.environ['PATH']}"
        return ["env", path, *command, "--vars", self.home / "vars.yml", "--verbose"]

    def _config(self, name: str, config: dict[str, Any]) -> str:
        file = self.home / f"{name}.yml"
        file.write_text(json.dumps(config))
        return f"--config.file={file}"

    def _listens(self, port: int) -> bool:
        done = self.host.run("curl", "--silent", f"http://127.0.0.1:{port}/", check=False)
        return done.returncode == 0

    def ask(self, url: str) -> Any:
        done = self.host.run("curl", "--silent", "--globoff", url, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def levels(self, instance: str) -> list[int]:
        """Each level that Prometheus has seen, in order."""
        url = f'http://127.0.0.1:9090/api/v1/query?query=ephemeral_ports_level{{instance="{instance}"}}[10m]'
        result = self.ask(url)["data"]["result"]
        return [int(value) for _time, value in result[0]["values"]] if result else []

    def query(self, expression: str, at: float, course: tuple[float, float] | None = None) -> Any:
        """at: seconds since 1970. course: from when on, and each so many seconds; else that moment alone."""
        url = f"http://127.0.0.1:9090/api/v1/query?time={at}"
        if course:
            url = f"http://127.0.0.1:9090/api/v1/query_range?start={course[0]}&step={course[1]}&end={at}"
        done = self.host.run("curl", "--silent", "--get", "--data-urlencode", f"query={expression}", url)
        return json.loads(done.stdout)

    def alerts(self) -> list[dict[str, str]]:
        return [alert["labels"] for alert in self.ask("http://127.0.0.1:9093/api/v2/alerts") or []]

    def post(self, *alerts: dict[str, Any], token: str = TOKEN) -> str:
        """Status of the rulebook's answer."""
        done = self.host.run(
            *("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"),
            *("--header", f"Authorization: Bearer {token}", "--header", "Content-Type: application/json"),
            *("--data", json.dumps({"alerts": alerts}), "http://127.0.0.1:5000/endpoint"),
        )
        return done.stdout

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.home.glob("*.log")
        )
