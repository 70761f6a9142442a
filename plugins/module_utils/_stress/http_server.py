# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny HTTP/1.1 server that never closes first, so that TIME_WAIT stays with its clients.

It runs in a forked child of its own: a client that is measured should not share its interpreter with the server.
"""

import errno
import ipaddress
import os
import select
import signal
import socket
from contextlib import contextmanager, suppress
from typing import Dict, Iterator

from .._common.errors import OptionError
from .._common.text import format_endpoint

_BACKLOG = 4096  # the kernel lowers it to net.core.somaxconn
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_END_OF_REQUEST = b"\r\n\r\n"
_LONGEST_REQUEST = 65536


@contextmanager
def keep_alive_server(address: str, port: int) -> Iterator[str]:
    """Serve on a local address while the block runs; yields the URL. Port 0 lets the kernel choose.

    The child is killed and reaped at the end of the block. It also ends by itself when the parent is gone for whatever
    reason: it then reads the end of a pipe of which only the parent holds the other end.
    """
    listener = _listen(address, port)
    url = f"http://{format_endpoint(address, listener.getsockname()[1])}/"
    lifeline, parents_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run_child(listener, lifeline, parents_end)
    try:
        listener.close()
        os.close(lifeline)
        yield url
    finally:
        os.close(parents_end)
        with suppress(ProcessLookupError, ChildProcessError):  # where SIGCHLD is ignored, the kernel has reaped it
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _listen(address: str, port: int) -> socket.socket:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise OptionError(f"serve must be an IPv4 or IPv6 address, not {address!r}") from None
    if parsed.is_unspecified or parsed.is_multicast:
        raise OptionError(f"serve must be an address that a client can connect to, not {address}")
    listener = socket.socket(socket.AF_INET if parsed.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OptionError(_why_not(address, port, error)) from error
    return listener


def _why_not(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"serve: {address} is not a local address"
    if error.errno == errno.EADDRINUSE:
        return f"serve_port: port {port} of {address} is in use"
    if error.errno == errno.EACCES:
        return f"serve_port: port {port} needs privilege, it is below net.ipv4.ip_unprivileged_port_start"
    return f"serve, serve_port: cannot listen on port {port} of {address}: {error.strerror}"


def _run_child(listener: socket.socket, lifeline: int, parents_end: int) -> None:
    """Serve until the parent is gone; never returns, since nothing of the parent may run twice."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.close(parents_end)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # whoever waits for the end of the parent's output must not wait for the child
            os.dup2(nowhere, standard)
        _serve(listener, lifeline)
    finally:
        os._exit(0)


def _serve(listener: socket.socket, lifeline: int) -> None:
    poll = select.epoll()
    poll.register(lifeline, select.EPOLLIN)
    poll.register(listener.fileno(), select.EPOLLIN)
    clients: Dict[int, _Client] = {}
    while True:
        for number, _events in poll.poll():
            if number == lifeline:
                return
            if number != listener.fileno():
                if not clients[number].answer():
                    clients.pop(number).connection.close()
                continue
            for connection in _accept(listener):
                clients[connection.fileno()] = _Client(connection)
                poll.register(connection.fileno(), select.EPOLLIN)


def _accept(listener: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            connection, _peer = listener.accept()
        except OSError:  # no more for now
            return
        connection.setblocking(False)
        yield connection


class _Client:
    """One connection, and the part of a request that has come so far."""

    __slots__ = ("connection", "pending")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pending = b""

    def answer(self) -> bool:
        """Answer every complete request; False when the connection is over. Requests have no body here."""
        try:
            received = self.connection.recv(_LONGEST_REQUEST)
            requests = (self.pending + received).split(_END_OF_REQUEST)
            self.pending = requests.pop()
            if requests:
                self.connection.send(RESPONSE * len(requests))
        except OSError:
            return False
        return bool(received) and len(self.pending) <= _LONGEST_REQUEST
