# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with a real OpenSSH server each, made of namespaces: own network, own sysctls, own sysctl files, own state.

Used by ssh_fleet.py, inside namespaces that end with it. Started as a script, this becomes one such host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import private_namespaces as namespaces

BUILD = Path(__file__).resolve().parents[2] / "build" / "bench" / "openssh"
# Where the kernel lets it, every host gets a table of connections of its own, of a usual size.
TABLE = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")
TABLE_SIZE = 65536
KEYS = ("ip_local_port_range", "ip_local_reserved_ports", "tcp_timestamps", "tcp_tw_reuse")
PASSWD = "root:x:0:0::{home}:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"

SSHD_CONFIG = """\
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/../client_key.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
LogLevel ERROR
Subsystem sftp internal-sftp
"""

SSH_CONFIG = """\
Host *
    User root
    IdentityFile {directory}/client_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {directory}/known_hosts
    StrictHostKeyChecking yes
"""


class Server(NamedTuple):
    """An OpenSSH server program, and where the libraries are that came with it."""

    program: str
    libraries: str = ""


def find_server() -> Server:
    """The one of the machine; else that of Debian's package, unpacked and not installed, so that nothing listens."""
    for place in ("/usr/sbin/sshd", "/usr/local/sbin/sshd"):
        if os.access(place, os.X_OK):
            return Server(place)
    unpacked = BUILD / "usr" / "sbin" / "sshd"
    if not unpacked.exists():
        try:
            _unpack(["openssh-server", "libwrap0"])
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"The benchmark needs an OpenSSH server, and could not get the one of Debian: {error}")
    return Server(str(unpacked), ":".join(str(one) for one in sorted(BUILD.glob("**/lib/*-linux-gnu"))))


def _unpack(packages: Sequence[str]) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["apt-get", "download", "-qq", *packages], check=True, cwd=directory, stderr=subprocess.DEVNULL)
        for archive in Path(directory).glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", str(archive), str(BUILD)], check=True)


class Host:
    """One host. `keeper` is its ssh server, whose namespaces are the host."""

    def __init__(self, number: int, directory: Path, keeper: subprocess.Popen[str]) -> None:
        self.name = directory.name
        self.directory = directory
        self.keeper = keeper
        self.near, self.address = (f"10.{number >> 8}.{number & 255}.{end}" for end in (1, 2))
        self.link = f"veth{number}"

    def run(self, script: str) -> str:
        enter = ["nsenter", f"--target={self.keeper.pid}", "--net", "--mount", "sh", "-ec", script]
        return subprocess.run(enter, check=True, stdout=subprocess.PIPE, text=True).stdout

    def sysctls(self) -> dict[str, str]:
        """The running values of the four keys, with single blanks."""
        lines = self.run(f"cd /proc/sys/net/ipv4; head -n 1 {' '.join(KEYS)}; echo").split("==> ")[1:]
        return {name: " ".join(value.split()) for name, _arrow, value in (line.partition(" <==") for line in lines)}

    def reset(self, values: dict[str, str]) -> None:
        """Back to the given running values, without any sysctl file or state."""
        files = "rm -rf /etc/sysctl.d/* /var/lib/*"
        self.run("; ".join([files, *(f"echo '{value}' > /proc/sys/net/ipv4/{key}" for key, value in values.items())]))


@contextmanager
def fleet(number: int, directory: Path, server: Server) -> Iterator[list[Host]]:
    """So many hosts, with an ssh_config for them in the directory. They end with the context."""
    _make_key(directory / "client_key")
    (directory / "ssh_config").write_text(SSH_CONFIG.format(directory=directory))
    if TABLE.exists():
        TABLE.write_text(str(TABLE_SIZE))
    with ExitStack() as stack:
        hosts = [_launch(one, directory / f"host{one:03}", server, stack) for one in range(1, number + 1)]
        for host in hosts:
            _expect(host, "ready")
            _ip(
                f"link add {host.link} type veth peer name eth0 netns {host.keeper.pid}",
                f"address add {host.near}/30 dev {host.link}",
                f"link set {host.link} up",
            )
            _tell(host, json.dumps({"address": host.address, "server": server}))
        keys = [f"{host.address} {(host.directory / 'host_key.pub').read_text()}" for host in hosts]
        (directory / "known_hosts").write_text("".join(keys))
        yield hosts


def _launch(number: int, directory: Path, server: Server, stack: ExitStack) -> Host:
    for name in ("sysctl.d", "lib", "home", "empty"):
        (directory / name).mkdir(parents=True)
    (directory / "empty_file").touch()
    (directory / "passwd").write_text(PASSWD.format(home=directory / "home"))
    (directory / "shadow").write_text("root:*:1::::::\n")
    _make_key(directory / "host_key")
    command = [sys.executable, __file__, str(directory)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(namespaces.__file__).parent)}
    if server.libraries:
        environment["LD_LIBRARY_PATH"] = server.libraries
    keeper = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    stack.callback(keeper.wait)
    stack.callback(keeper.kill)
    return Host(number, directory, keeper)


def _make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)


def _ip(*lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _expect(host: Host, word: str) -> None:
    assert host.keeper.stdout is not None
    if host.keeper.stdout.readline().strip() != word:
        sys.exit(f"{host.name} could not be made")


def _tell(host: Host, line: str) -> None:
    assert host.keeper.stdin is not None
    host.keeper.stdin.write(f"{line}\n")
    host.keeper.stdin.flush()


def become_host(directory: Path) -> None:
    """Move into namespaces, wait for the network, and become the ssh server."""
    namespaces.enter()
    namespaces.mount("none", "/", flags=namespaces.MS_REC | namespaces.MS_PRIVATE)
    private = {"/etc/sysctl.d": "sysctl.d", "/var/lib": "lib", "/etc/passwd": "passwd", "/etc/shadow": "shadow"}
    # What a distribution ships there is about more than the network, and so about the machine.
    hidden = {"/usr/lib/sysctl.d": "empty", "/usr/local/lib/sysctl.d": "empty", "/etc/sysctl.conf": "empty_file"}
    for target, source in {**private, **hidden}.items():
        if Path(target).exists():
            namespaces.mount(directory / source, target, flags=namespaces.MS_BIND)
    namespaces.mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    Path("/run/sshd").mkdir(mode=0o755)
    namespaces.bring_up([])
    print("ready", flush=True)
    told = json.loads(sys.stdin.readline())
    _ip(f"address add {told['address']}/30 dev eth0", "link set eth0 up")
    config = directory / "sshd_config"
    config.write_text(SSHD_CONFIG.format(address=told["address"], directory=directory))
    program = Server(*told["server"]).program
    os.execv(program, [program, "-D", "-e", "-f", str(config)])


if __name__ == "__main__":
    become_host(Path(sys.argv[1]))
