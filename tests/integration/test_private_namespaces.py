# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher of the demo: what is done inside stays inside, for root and for others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import private_namespaces as namespaces
import pytest

from .inside import in_child
from .private_host import private_host

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "scripts" / "private_namespaces.py"
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
SYSCTL_D = Path("/etc/sysctl.d")

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

LOOK = """
set -e
id -u
ls -A /etc/sysctl.d /var/lib/netops.ephemeral_ports | grep -v :$ || :
touch /etc/sysctl.d/mine.conf /var/lib/netops.ephemeral_ports/mine
echo 20000 20099 > /proc/sys/net/ipv4/ip_local_port_range
cat /proc/sys/net/ipv4/tcp_tw_reuse
"""


@pytest.fixture(params=["as it is", "as nobody"])
def launcher(request: pytest.FixtureRequest) -> list[str]:
    """The launcher as this user, and as an ordinary user where this one is root."""
    if request.param == "as it is":
        return [sys.executable, str(LAUNCHER)]
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root with setpriv can become somebody else")
    python = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")
    if python is None:
        pytest.skip("there is no Python that everybody may run")
    return [*NOBODY, python, "-c", LAUNCHER.read_text()]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd="/")


def test_inside_is_private(launcher: list[str]) -> None:
    before = RANGE.read_text(), sorted(SYSCTL_D.iterdir())
    done = run(*launcher, "--sysctl", "net.ipv4.tcp_tw_reuse=1", "--", "sh", "-c", LOOK)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1"]), done.stderr
    assert (RANGE.read_text(), sorted(SYSCTL_D.iterdir())) == before


LOOK_HOME = "ls -A ~root; [ ! -e ~root/mine ] || touch ~root/written"


def test_root_inside_has_the_home_of_the_user_outside(launcher: list[str]) -> None:
    """Else Ansible could not write there. Root itself keeps its own."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "mine").touch()
        home.chmod(0o777)
        done = run("env", f"HOME={home}", *launcher, "--", "sh", "-c", LOOK_HOME)
        seen, written = "mine" in done.stdout.split(), (home / "written").exists()
    is_root = os.geteuid() == 0 and launcher[0] not in NOBODY
    assert (seen, written) == (not is_root, not is_root), done.stderr


# Inside: waits until the one outside has removed or replaced what it has of its own, and changes everything.
WAIT_AND_CHANGE = """
echo ready; read go
mkdir -p /etc/sysctl.d /var/lib/netops.ephemeral_ports
touch /etc/sysctl.d/leaked.conf /var/lib/netops.ephemeral_ports/leaked
echo leaked >> /etc/sysctl.conf
ls -A /etc/sysctl.d /var/lib/netops.ephemeral_ports
"""

# Outside, where "the machine" is private itself, has both directories, and loses and makes them anew. It touches
# nothing before it has seen that it is private.
MACHINE = """
import pathlib, shutil, subprocess, sys
mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
assert {"/etc", "/var/lib"} <= {line.split()[1] for line in mounts if line.startswith("tmpfs ")}, "not private"
places = [pathlib.Path(one) for one in ("/etc/sysctl.d", "/var/lib/netops.ephemeral_ports", "/etc/sysctl.conf")]
places[2].write_text("own")
command = [sys.executable, "-c", sys.argv[1], "--", "sh", "-c", sys.argv[2]]
inside = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert inside.stdout.readline() == "ready\\n"
for place in places[:2]:
    shutil.rmtree(place)
    if sys.argv[3:]:
        place.mkdir()
replaced = places[2].with_name("new")
replaced.write_text("own")
replaced.replace(places[2])
print(inside.communicate("go\\n")[0].count("leaked"))
print([str(one) for place in places[:2] for one in place.rglob("*")], places[2].read_text())
"""


@pytest.mark.parametrize("again", [(), ("made again",)])
def test_nothing_leaks_when_the_directories_go(again: tuple[str, ...]) -> None:
    """As a rollback on the machine removes the state directory: a cover on that very directory would go with it."""
    source = LAUNCHER.read_text()
    done = run(sys.executable, str(LAUNCHER), "--", sys.executable, "-c", MACHINE, source, WAIT_AND_CHANGE, *again)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["2", "[] own"]), done.stdout + done.stderr


def test_system_tools_are_found() -> None:
    """An ordinary user of Debian has no /usr/sbin on the path, where sysctl(8) is."""
    done = run("env", "PATH=/usr/bin:/bin", sys.executable, str(LAUNCHER), "--", "sh", "-c", "echo $PATH")
    assert done.stdout == "/usr/bin:/bin:/usr/sbin:/sbin\n", done.stderr


def test_addresses_are_local(launcher: list[str]) -> None:
    serve = "import socket; [socket.create_server((a, 0)) for a in ('127.0.0.1', '198.18.0.1', '198.18.0.2')]"
    addresses = ["--address", "198.18.0.1", "--address", "198.18.0.2"]
    python = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin") or sys.executable
    done = run(*launcher, *addresses, "--", python, "-c", serve)
    assert done.returncode == 0, done.stderr


def test_exit_code_and_signals_are_the_commands() -> None:
    assert run(sys.executable, str(LAUNCHER), "--", "sh", "-c", "exit 7").returncode == 7
    assert run(sys.executable, str(LAUNCHER), "--", "sh", "-c", "kill -9 $$").returncode == -9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sysctl", "net.ipv4.none=1", "--", "true"], "cannot set 'net.ipv4.none=1' in the private namespaces"),
        (["--sysctl", "net.ipv4.tcp_tw_reuse=9", "--", "true"], "tcp_tw_reuse=9' in the private namespaces: Invalid"),
        (["--", "no-such-command"], "private_namespaces: no-such-command: No such file"),
    ],
)
def test_failures_are_told(arguments: list[str], message: str) -> None:
    done = run(sys.executable, str(LAUNCHER), *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_where_user_namespaces_are_switched_off() -> None:
    """In a user namespace of our own the limit can be zero without touching the machine's."""
    inner = " ".join([*NOBODY, "/usr/bin/python3", "-"])
    script = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {inner} -- true < '{LAUNCHER}'"
    # The second shell starts when root is mapped, and so has root's capabilities.
    command = ["unshare", "--user", "sh", "-c", 'read go; exec sh -c "$0"', script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        own = Path("/proc/self/ns/user").readlink()
        while Path(f"/proc/{process.pid}/ns/user").readlink() == own:
            assert process.poll() is None, process.communicate()[1]
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{kind}").write_text("0 0 65536\n")
        _output, errors = process.communicate("go\n", timeout=300)
    assert process.returncode == 1
    assert "User namespaces are switched off for ordinary users here (user.max_user_namespaces = 0)." in errors
    assert "as root instead" in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a chroot")
def test_no_private_host_in_a_chroot(tmp_path: Path) -> None:
    def body() -> None:
        namespaces.check(namespaces.libc.unshare(namespaces.CLONE_NEWNS), "unshare")
        namespaces.mount("none", Path("/"), flags=namespaces.MS_REC | namespaces.MS_PRIVATE)
        inner = tmp_path / "root"
        inner.mkdir()
        namespaces.mount(str(inner), inner, flags=namespaces.MS_BIND)
        for one in Path("/").iterdir():
            if one.is_symlink():
                (inner / one.name).symlink_to(one.readlink())
            elif one.is_dir():
                (inner / one.name).mkdir()
                beyond = 0 if one in inner.parents else namespaces.MS_REC
                namespaces.mount(str(one), inner / one.name, flags=namespaces.MS_BIND | beyond)
        os.chroot(inner)
        with pytest.raises(pytest.fail.Exception, match="this is a chroot"), private_host(tmp_path):
            pass

    code, text = in_child(body)
    assert not code, text
