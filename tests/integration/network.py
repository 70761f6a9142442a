# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces made one after another within a process, and sockets in them in the state that a test wants."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import private_namespaces as namespaces

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import observe, options
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info

from .options import defaults_of

Endpoint = tuple[str, int]

# How a client comes by its local port: connect() alone; bind() to port 0, which takes the port from everybody;
# bind() to an address, with which connect() is left to choose the port; connect() to IPv4 from a socket of IPv6.
CONNECT, BIND, BIND_ADDRESS, MAPPED = "connect", "bind", "bind address", "mapped"
# PINNED: bind() to an address and a port that the client chooses itself.
PINNED = "pinned"
_IP_BIND_ADDRESS_NO_PORT = 24
_IP_LOCAL_PORT_RANGE = 51  # since Linux 6.3
_TCP_CLOSE = 7
_CAPABILITY_VERSION_3 = 0x20080522


class Network:
    """A network namespace that this process enters, empty but for lo. Sockets stay open until it is left."""

    def __init__(self, low: int, high: int, *addresses: str, **sysctls: object) -> None:
        namespaces.check(namespaces.libc.unshare(namespaces.CLONE_NEWNET), "unshare")
        namespaces.bring_up(addresses)
        _wait_for(addresses)
        set_sysctls(ip_local_port_range=f"{low} {high}", **sysctls)
        self.low, self.high = low, high
        self.own_range: tuple[int, int] | None = None  # that clients choose for themselves (IP_LOCAL_PORT_RANGE)
        self.kept: list[socket.socket] = []
        self._servers: dict[Endpoint, socket.socket] = {}

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_error: object) -> None:
        for one in itertools.chain(self.kept, self._servers.values()):
            one.close()

    def listen(self, address: str, port: int, backlog: int = 1024) -> socket.socket:
        server = socket.socket(family(address))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(backlog)
        self._servers[address, port] = server
        return server

    def bind(self, address: str, port: int = 0) -> int:
        """A socket that is bound and nothing else; its errno, or 0."""
        client = socket.socket(family(address))
        self.kept.append(client)
        return errno_of(client.bind, (address, port))

    def open_udp(self, number: int, address: str = "0.0.0.0") -> int:
        """UDP sockets, as many as get a port: by turns bound to an address alone, and connected."""
        done = 0
        for turn in range(number):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.kept.append(client)
            call, to = (client.connect, ("127.0.0.1", 53)) if turn % 2 else (client.bind, (address, 0))
            done += errno_of(call, to) == 0
        return done

    def open(
        self, to: Endpoint, number: int = 1, source: Endpoint | None = None, how: str = CONNECT
    ) -> list[tuple[socket.socket, socket.socket]]:
        """Connections to a server that is made if need be, as many as succeed: client and peer of each."""
        server = self._servers.get(to) or self.listen(*to)
        pairs = []
        for _turn in range(number):
            client = client_socket(to, source, how, self.own_range)
            target = (f"::ffff:{to[0]}", to[1]) if how == MAPPED else to
            if client is None or errno_of(client.connect, target):
                break
            peer, _address = server.accept()
            pairs.append((client, peer))
            self.kept += [client, peer]
        return pairs

    def leave_time_wait(self, to: Endpoint, number: int = 1, source: Endpoint | None = None, how: str = CONNECT) -> int:
        """How many connections were opened, and closed by the client first."""
        pairs = self.open(to, number, source, how)
        for client, peer in pairs:
            client.close()
            peer.recv(1)
            peer.shutdown(socket.SHUT_WR)
            _wait_until_closed(peer)
            peer.close()
        return len(pairs)

    def leave_established(
        self, to: Endpoint, number: int = 1, source: Endpoint | None = None, how: str = CONNECT
    ) -> int:
        return len(self.open(to, number, source, how))

    def leave_fin_wait2(self, to: Endpoint, number: int = 1, source: Endpoint | None = None, how: str = CONNECT) -> int:
        pairs = self.open(to, number, source, how)
        for client, _peer in pairs:
            client.shutdown(socket.SHUT_WR)
        return len(pairs)

    def leave_close_wait(
        self, to: Endpoint, number: int = 1, source: Endpoint | None = None, how: str = CONNECT
    ) -> int:
        pairs = self.open(to, number, source, how)
        for client, peer in pairs:
            peer.close()
            client.recv(1)
        return len(pairs)

    def leave_syn_sent(self, to: Endpoint, number: int = 1) -> int:
        """Connects that nobody answers: the server there has no room for any. The first one is accepted."""
        self.listen(*to, backlog=0)
        done = 0
        for _turn in range(number):
            client = socket.socket(family(to[0]))
            client.setblocking(False)
            self.kept.append(client)
            done += client.connect_ex(to) == errno.EINPROGRESS
        return done


def _wait_until_closed(peer: socket.socket) -> None:
    """Until its last FIN is acknowledged, and so the client in TIME_WAIT: on a busy machine not at once, even on lo."""
    deadline = time.monotonic() + 20
    while peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_CLOSE:
        assert time.monotonic() < deadline, "the last FIN is not acknowledged"


def _wait_for(addresses: tuple[str, ...]) -> None:
    """IPv6 addresses are of no use at first (tentative), even on lo where nobody is asked for them."""
    deadline = time.monotonic() + 20
    for address in addresses:
        while bind_for_real(address):
            assert time.monotonic() < deadline, address


def client_socket(
    to: Endpoint, source: Endpoint | None = None, how: str = CONNECT, own_range: tuple[int, int] | None = None
) -> socket.socket | None:
    """A socket about to connect; None where bind() finds no port."""
    client = socket.socket(socket.AF_INET6 if how == MAPPED else family(to[0]))
    if own_range:
        with contextlib.suppress(OSError):  # kernels that do not know it
            both = struct.pack("I", own_range[1] << 16 | own_range[0])
            client.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, both)
    if how == BIND_ADDRESS:
        client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    if how == PINNED:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source and errno_of(client.bind, source):
        client.close()
        return None
    return client


def connect_for_real(to: Endpoint, source: str | None = None) -> int:
    """The errno of a connect() and 0 where a port was found; the connection is not waited for and soon reset."""
    client = client_socket(to, (source, 0) if source else None, BIND_ADDRESS)
    if client is None:
        return errno.EADDRNOTAVAIL
    with client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        failed = client.connect_ex(to)
    return 0 if failed == errno.EINPROGRESS else failed


def send_for_real() -> int:
    """The errno of a UDP socket that wants a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        return errno_of(client.sendto, b"", ("127.0.0.1", 53))


def bind_for_real(source: str) -> int:
    with socket.socket(family(source)) as client:
        return errno_of(client.bind, (source, 0))


def observed(privileged: bool = True, **changed: object) -> dict[str, Any]:
    """The usage of the network that this process is in, with all sockets read unless options say otherwise."""
    wanted = options.check_options({**defaults_of(port_usage_info), "detail": "full", **changed})
    return observe.observe(wanted) if privileged else without_capabilities(lambda: observe.observe(wanted))


def without_capabilities(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a function returns to a process that may do nothing that root may, in the same network."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
            namespaces.check(namespaces.libc.capset(header, bytes(24)), "capset")
            with os.fdopen(writer, "w") as stream:
                json.dump(function(), stream)
            code = 0
        except BaseException:  # noqa: BLE001, RUF100 - a child must not go on as the test
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    assert os.waitpid(pid, 0)[1] == 0, "see its traceback"
    found: dict[str, Any] = json.loads(text)
    return found


@contextlib.contextmanager
def peers_without_timestamps() -> Iterator[None]:
    """Connections opened meanwhile have none, as with a peer that does not use them."""
    set_sysctls(tcp_timestamps=0)
    try:
        yield
    finally:
        set_sysctls(tcp_timestamps=1)


def set_sysctls(**values: object) -> None:
    for name, value in values.items():
        Path("/proc/sys/net/ipv4", name).write_text(f"{value}\n")


def has_sysctl(name: str) -> bool:
    return Path("/proc/sys/net/ipv4", name).exists()


def packed(address: str) -> bytes:
    return socket.inet_pton(family(address), address)


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def errno_of(call: object, *arguments: object) -> int:
    assert callable(call)
    try:
        call(*arguments)
    except OSError as error:
        return error.errno or errno.EIO
    return 0
