# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four hosts behind a router that translates, and a server beyond it: six network namespaces of one process."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import private_namespaces as namespaces
import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import counters

from .ctnetlink import ASSURED, CONFIRMED, FIXED_TIMEOUT, SEEN_REPLY, Ctnetlink, endpoints, status

SERVER = ("192.0.2.10", 443)
CLIENTS = ("web1", "web2", "web3", "web4")
PORTS = 400
_CLONE_NEWNET = namespaces.CLONE_NEWNET
# A packet within a machine takes no time; a busy machine does.
_ANSWERED_S = 5.0


class NatFleet:
    """Network namespaces by name: router, server and clients. Their files stay open as long as this lives."""

    def __init__(self) -> None:
        if not shutil.which("iptables"):
            pytest.skip("there is no iptables here")
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.spaces = {name: self._make() for name in ("router", "server", *CLIENTS)}
        self.kept: list[socket.socket] = []
        self._join("router", "wan", "192.0.2.1", "server", SERVER[0])
        for number, name in enumerate(CLIENTS, 1):
            self._join("router", f"lan{number}", f"10.1.{number}.1", name, f"10.1.{number}.2")
            with self.inside(name):
                _run("ip", "route", "add", "default", "via", f"10.1.{number}.1")
        with self.inside("router"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            rule = ["-t", "nat", "-A", "POSTROUTING", "-o", "wan", "-p", "tcp", "-j", "MASQUERADE"]
            done = subprocess.run(
                ["iptables", *rule, "--to-ports", f"2000-{2000 + PORTS - 1}"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(done.stderr.strip())
            self._tracking = Ctnetlink()
        with self.inside("server"):
            self.server = socket.socket()
            self.server.bind(SERVER)
            self.server.listen(1024)

    def close(self) -> None:
        self._enter(self.home)
        for one in (*self.kept, self.server, self._tracking):
            one.close()
        for space in (self.home, *self.spaces.values()):
            os.close(space)

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        self._enter(self.spaces[name])
        try:
            yield
        finally:
            self._enter(self.home)

    def connect(self, name: str) -> tuple[socket.socket, socket.socket] | None:
        """Client and peer of a connection; None where the router dropped its SYN."""
        before = self.dropped()
        with self.inside(name):
            client = self.begin()
        waiting = time.monotonic() + _ANSWERED_S
        while not select.select([self.server], [], [], 0.02)[0]:
            if self.dropped() > before:
                client.close()
                return None
            assert time.monotonic() < waiting, "neither answered nor dropped"
        peer, _address = self.server.accept()
        assert select.select([], [client], [], _ANSWERED_S)[1]
        client.setblocking(True)
        return client, peer

    def begin(self) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(SERVER)
        return client

    def hang(self, name: str, number: int) -> None:
        """Connections whose SYNs the router drops, until each has sent its SYN again."""
        with self.inside(name):
            self.kept += [self.begin() for _turn in range(number)]
            again = time.monotonic() + 30
            while counters.read_counters()["TCPSynRetrans"] < number:
                assert time.monotonic() < again, "no SYN was sent again"
                time.sleep(0.05)

    def close_by_client(self, name: str) -> bool:
        """A connection that the client closes first; whether there was one."""
        pair = self.connect(name)
        if pair:
            client, peer = pair
            endpoint = client.getsockname()
            client.close()
            peer.recv(1)
            peer.close()
            self._hold(endpoint)
        return pair is not None

    def keep(self, name: str, number: int) -> int:
        """How many connections were opened, and stay open."""
        done = 0
        for _turn in range(number):
            pair = self.connect(name)
            self.kept += pair or ()
            done += pair is not None
        return done

    def held(self) -> int:
        """Entries of the router: all are of connections to the server."""
        return self._conntrack().entries

    def dropped(self) -> int:
        return self._conntrack().insert_failed

    def interpreter(self, directory: Path, name: str, python: str) -> Path:
        """A Python that runs in the network of a client."""
        path = directory / f"python-{name}"
        path.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{os.getpid()}/fd/{self.spaces[name]} {python} "$@"\n')
        path.chmod(0o755)
        return path

    def _hold(self, client: tuple[str, int]) -> None:
        """Let the router keep the port of a closed connection for its time: Linux does up to 6.4, clouds do. Later it
        gives away those of connections in TIME_WAIT, unless their time is fixed.
        """
        fixed = status(SEEN_REPLY | ASSURED | CONFIRMED | FIXED_TIMEOUT)
        self._tracking.tell(socket.AF_INET, endpoints(1, client, SERVER) + fixed)

    def _conntrack(self) -> counters.Conntrack:
        with self.inside("router"):
            found = counters.read_conntrack()
        assert found
        return found

    def _make(self) -> int:
        namespaces.check(namespaces.libc.unshare(_CLONE_NEWNET), "unshare")
        _run("ip", "link", "set", "lo", "up")
        space = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._enter(self.home)
        return space

    def _join(self, one: str, device: str, address: str, other: str, other_address: str) -> None:
        with self.inside(one):
            peer = f"/proc/{os.getpid()}/fd/{self.spaces[other]}"
            done = subprocess.run(
                ["ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", peer],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(done.stderr.strip())
            _run("ip", "address", "add", f"{address}/24", "dev", device)
            _run("ip", "link", "set", device, "up")
        with self.inside(other):
            _run("ip", "address", "add", f"{other_address}/24", "dev", "eth0")
            _run("ip", "link", "set", "eth0", "up")

    def _enter(self, space: int) -> None:
        namespaces.check(namespaces.libc.setns(space, _CLONE_NEWNET), "setns")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def nat_fleet() -> Iterator[NatFleet]:
    made = NatFleet()
    try:
        yield made
    finally:
        made.close()
