# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces of a host, found and entered on the real kernel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import private_namespaces
import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import NamespaceError, OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.text import place_name
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import namespaces, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.keys import PORT_RANGE
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sockstat import read_sockstat
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.tcp import LISTEN
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.inet_diag import SockDiag
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import observe as observing
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from .inside import private
from .neighbours import (
    EXHAUSTED,
    alone,
    become_nobody,
    become_nobody_is_possible,
    drop_sys_admin,
    exhausted,
    inode_of,
    neighbour,
    observe,
    of,
    running,
)


@private
def test_inside_all_that_is_read_is_of_that_namespace() -> None:
    home = namespaces.own_inode(), sysctl.read(PORT_RANGE), read_sockstat()["TCP"]["inuse"]
    with neighbour() as process:
        with namespaces.inside(of(process)):
            assert namespaces.own_inode() == inode_of(process)
            assert sysctl.read(PORT_RANGE) == "20000\t20999"
            assert read_sockstat()["TCP"]["inuse"] == 3
        assert (namespaces.own_inode(), sysctl.read(PORT_RANGE), read_sockstat()["TCP"]["inuse"]) == home


@private
def test_home_again_whatever_goes_wrong_inside() -> None:
    home = namespaces.own_inode()
    with neighbour() as process, contextlib.suppress(ZeroDivisionError), namespaces.inside(of(process)):
        raise ZeroDivisionError
    assert namespaces.own_inode() == home


@private
def test_one_that_is_only_mounted() -> None:
    """As ip netns add and CNI leave one, with no process in it."""
    place = Path("/var/lib/netops.ephemeral_ports/blue net")
    place.touch()
    with neighbour() as process:
        subprocess.run(["mount", "--bind", f"/proc/{process.pid}/ns/net", place], check=True)
        inode = of(process).inode
    (found,) = (one for one in namespaces.find_others() if one.inode == inode)
    assert found == namespaces.Namespace(inode, str(place), None)
    with namespaces.inside(found):
        assert sysctl.read(PORT_RANGE) == "20000\t20999"


@private
def test_one_that_ended_between_finding_and_entering() -> None:
    with neighbour() as process:
        found = of(process)
    home = namespaces.own_inode()
    with pytest.raises(NamespaceError) as error, namespaces.inside(found):
        pass
    assert error.value.ended
    assert namespaces.own_inode() == home


@private
def test_one_of_another_users_user_namespace() -> None:
    """As rootless podman makes them."""
    command = ["unshare", "--user", "--map-root-user", "--net", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print("ready", file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"
        with namespaces.inside(of(process)):
            assert namespaces.own_inode() == inode_of(process)
        process.stdin.close()


@alone
def test_without_privilege_namespaces_are_told_apart_but_not_entered() -> None:
    become_nobody_is_possible()
    with neighbour() as one, neighbour() as other:
        read_sockstat()  # what Python loads for it may be out of reach later
        become_nobody()
        hidden = {found.pid: found for found in namespaces.find_others() if found.inode is None}
        assert {one.pid, other.pid} <= set(hidden)
        with pytest.raises(NamespaceError, match="Permission denied") as error, namespaces.inside(hidden[one.pid]):
            pass
        assert not error.value.ended
        assert read_sockstat(f"/proc/{one.pid}")["TCP"]["inuse"] == 3


@alone
def test_a_neighbour_without_ports_is_found_from_the_host() -> None:
    with exhausted() as process, neighbour("1024 65535"):  # the counters count sockets of the whole machine, too
        alone = observe()
        assert alone["level"] == "ok"
        assert {"what": "namespaces", "number": 2, "why": "elsewhere"} in alone["not_observed"]
        usage = observe(namespaces=["all"])
        assert (usage["level"], usage["own_level"], usage["namespaces_observed"]) == ("exhausted", "ok", 2)
        worst, idle = usage["namespaces"]
        assert worst["namespace"]["inode"] == inode_of(process)
        assert worst["port_range"]["usable"] == 100
        assert worst["pools"][0]["probe"]["errno"] == 99
        assert (idle["level"], idle["method"], idle["pools"]) == ("ok", "sockstat", [])
        assert not any(one["what"] == "namespaces" for one in usage["not_observed"])
        first, *lines = describe(usage)
        assert first.startswith(
            f"EXHAUSTED in {place_name(worst['namespace'])}: no local port is left towards 127.0.0.1:443"
        )
        assert [line for line in lines if line.startswith("OK in this network namespace: no ")]
        assert "in 2 other network namespaces" in " ".join(" ".join(lines).split())

        named = observe(namespaces=[str(inode_of(process))])
        assert [one["namespace"] for one in named["namespaces"]] == [worst["namespace"]]
        assert {"what": "namespaces", "number": 1, "why": "elsewhere"} in named["not_observed"]


@alone
def test_a_name_that_no_namespace_has_fails() -> None:
    with pytest.raises(OptionError, match="namespaces: this host has no network namespace 'web9'"):
        observe(namespaces=["web9"])


@alone
def test_without_privilege_nothing_unread_is_called_ok() -> None:
    become_nobody_is_possible()
    with exhausted(), neighbour():
        observe(namespaces=["all"], detail="full")  # what Python loads for it may be out of reach later
        become_nobody()
        usage = observe(namespaces=["all"])
        assert (usage["own_level"], usage["namespaces_observed"]) == ("ok", 2)
        assert usage["level"] == "unknown"
        assert {one["level"] for one in usage["namespaces"]} == {"unknown"}
        assert {one["sysctls"][PORT_RANGE] for one in usage["namespaces"]} == {None}
        assert max(one["blocked_at_most"] for one in usage["namespaces"]) >= 200
        assert {"what": "namespaces", "number": 2, "why": "not_allowed"} in usage["not_observed"]


@alone
def test_root_that_may_enter_none_is_told_what_is_left_of_those_that_it_observes() -> None:
    """Without CAP_SYS_ADMIN, as in most containers that share the processes of the host."""
    with exhausted(), neighbour():
        observe(namespaces=["all"], detail="full")  # as above
        drop_sys_admin()
        usage = observe(namespaces=["all"])
    assert (usage["level"], usage["namespaces_observed"]) == ("unknown", 2)
    scope = " ".join(" ".join(describe(usage)).split()).partition("Scope: ")[2]
    assert scope.startswith(
        "TCP and UDP in this network namespace, by the kernel's counters, and in 2 other network namespaces. "
        "Not observed: its sockets one by one; what only root with CAP_SYS_ADMIN can read of at least 2 of the others."
    )


@alone
def test_one_of_ip_netns_has_a_name_without_a_process_too() -> None:
    private_namespaces.mount("tmpfs", Path("/run"), "tmpfs", 0, "mode=755")
    subprocess.run(["ip", "netns", "add", "blue"], check=True)
    with running("ip", "netns", "exec", "blue", "python3", "-c", EXHAUSTED):
        (found,) = observe(namespaces=["blue"])["namespaces"]
        assert (found["level"], found["namespace"]["name"]) == ("exhausted", "blue")
        assert found["namespace"]["program"] == "python3"
        assert describe(observe(namespaces=["all"]))[0].startswith("EXHAUSTED in ")
    (found,) = observe(namespaces=["all"])["namespaces"]
    assert (found["namespace"]["pid"], place_name(found["namespace"])) == (None, "netns blue")


@alone
def test_one_of_a_user_namespace_is_observed_as_any_other() -> None:
    """As rootless podman makes them, and as an ordinary user sees them."""
    with running("unshare", "--user", "--map-root-user", "--net", "python3", "-c", EXHAUSTED) as process:
        usage = observe(namespaces=["all"])
        (found,) = usage["namespaces"]
        assert (usage["level"], found["namespace"]["inode"]) == ("exhausted", inode_of(process))
        assert found["pools"][0]["probe"]["errno"] == 99
        assert found["pools"][0]["live_by"][0]["pid"] == process.pid


@contextlib.contextmanager
def ended_when_read(process: subprocess.Popen[str]) -> Iterator[None]:
    """That program ends as its network namespace, already found, is about to be read."""
    read, inode, proc = observing.observe_namespace, inode_of(process), f"/proc/{process.pid}"

    def end_then_read(*arguments: Any, **named: Any) -> dict[str, Any]:
        if namespaces.own_inode() == inode or proc in arguments:
            process.kill()
            process.wait()
        return read(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observing, "observe_namespace", end_then_read)
        yield
    assert process.returncode == -signal.SIGKILL


@alone
def test_one_that_ends_while_it_is_read_from_within_is_read_to_the_end() -> None:
    """Whoever is in it keeps it."""
    with neighbour("1024 65535") as stays, neighbour("1024 65535") as ends:
        both = {inode_of(stays), inode_of(ends)}
        with ended_when_read(ends):
            usage = observe(namespaces=["all"])
        assert {one["namespace"]["inode"] for one in usage["namespaces"]} == both


@alone
def test_one_that_ends_while_it_is_read_from_outside_is_passed_over() -> None:
    def refuse(*_arguments: object) -> Any:
        raise NamespaceError("Operation not permitted", ended=False)

    with neighbour("1024 65535") as stays, neighbour("1024 65535") as ends, pytest.MonkeyPatch.context() as patch:
        patch.setattr(namespaces, "inside", refuse)
        with ended_when_read(ends):
            usage = observe(namespaces=["all"])
        assert [one["namespace"]["inode"] for one in usage["namespaces"]] == [inode_of(stays)]
        assert (usage["level"], usage["own_level"]) == ("unknown", "ok")


@alone
def test_of_200_namespaces_only_the_loaded_one_is_dumped() -> None:
    dumped: list[int] = []
    dump = SockDiag.dump

    def counted(self: SockDiag, states: int, bytecode: bytes = b"") -> Any:
        if states != 1 << LISTEN:
            dumped.append(namespaces.own_inode())
        return dump(self, states, bytecode)

    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    for number in range(200):
        place = Path(f"/var/lib/netops.ephemeral_ports/{number}")
        place.touch()
        private_namespaces.check(private_namespaces.libc.unshare(private_namespaces.CLONE_NEWNET), "unshare")
        private_namespaces.mount("/proc/self/ns/net", place, flags=private_namespaces.MS_BIND)
    private_namespaces.check(private_namespaces.libc.setns(home, private_namespaces.CLONE_NEWNET), "setns")
    with exhausted() as process, pytest.MonkeyPatch.context() as patch:
        patch.setattr(SockDiag, "dump", counted)
        usage = observe(namespaces=["all"])
        assert (usage["level"], usage["namespaces_observed"]) == ("exhausted", 201)
        assert set(dumped) == {inode_of(process)}
        assert len(dumped) <= 3  # live sockets, those in TIME_WAIT, and those of the destination without ports


def podman(*arguments: str) -> list[str]:
    """A container with the machine's own files under an overlay, so that no image is needed."""
    command = ["podman", "run", "--rm", "--interactive", "--ulimit=nofile=20000:20000", "--ulimit=nproc=30000:30000"]
    return [*command, *arguments, "--rootfs", "/:O", os.path.realpath(sys.executable), "-c", EXHAUSTED]


wants_podman = pytest.mark.skipif(not shutil.which("podman") or os.geteuid() != 0, reason="wants podman as root")


@wants_podman
def test_a_container_without_a_network_of_its_own_is_told_beside_the_destination() -> None:
    """With --network=host its ports are those of the host: here a namespace that stands for one."""
    name = f"shares-{os.getpid()}"
    with running("unshare", "--net", *podman("--network=host", "--privileged", f"--name={name}")) as process:
        usage = observe(namespaces=[str(inode_of(process))])
        (found,) = usage["namespaces"]
        assert found["level"] == "exhausted"
        assert found["namespace"]["program"] == "podman"
        (who,) = found["pools"][0]["live_by"]
        assert (who["owner"], who["live"]) == (f"podman {name}", 100)
        told = f"100 live of {who['program']} of podman {name} (pid {who['pid']})"
        assert told in " ".join(" ".join(describe(usage)).split())


@wants_podman
def test_a_container_is_found_by_its_name() -> None:
    name = f"ports-{os.getpid()}"
    command = podman("--network=none", f"--name={name}", "--sysctl=net.ipv4.ip_local_port_range=20000 20099")
    with running(*command, "container"):
        usage = observe(namespaces=[name])
        (found,) = usage["namespaces"]
        assert (found["level"], found["port_range"]["usable"]) == ("exhausted", 100)
        owner = found["namespace"]["owner"]
        assert (owner["kind"], owner["name"]) == ("podman", name)
        assert found["pools"][0]["live_by"][0]["owner"] == f"podman {name}"
        assert describe(usage)[0].startswith(f"EXHAUSTED in podman {name}: no local port is left")
        assert observe(namespaces=[owner["id"]])["namespaces"][0]["level"] == "exhausted"
