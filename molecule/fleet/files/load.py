# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that opens a new connection for each request, to a server of its own that never closes first.

usage: load.py start RATE SECONDS [--bind-first] | load.py stop

While there is a file /root/suffers and tcp_tw_reuse is 1, the server accepts nothing.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

ADDRESS = ("198.18.0.1", 8080)
URL = "http://198.18.0.1:8080/"
PID = Path("/root/load.pid")
SUFFERS = Path("/root/suffers")
REUSE = Path("/proc/sys/net/ipv4/tcp_tw_reuse")
CLIENTS = 8
PATIENCE_MS = 2500  # long enough for a SYN to be sent again, after one second
BACKLOG = 64


def serve(server: socket.socket) -> None:
    suffering = False
    while True:
        if suffering != (SUFFERS.exists() and REUSE.read_text().strip() == "1"):
            suffering = not suffering
            server.listen(1 if suffering else BACKLOG)
        if suffering:
            time.sleep(0.05)
        elif select.select([server], [], [], 0.05)[0]:
            threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()


def answer(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def request_by_curl() -> None:
    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, URL)
    curl.setopt(pycurl.FRESH_CONNECT, 1)
    curl.setopt(pycurl.FORBID_REUSE, 1)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.TIMEOUT_MS, PATIENCE_MS)
    with contextlib.suppress(pycurl.error):
        curl.perform()
    curl.close()


def request_bind_first() -> None:
    with contextlib.suppress(OSError), socket.socket() as client:
        client.bind((ADDRESS[0], 0))
        client.connect(ADDRESS)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.recv(65536)


def start(rate: float, seconds: int, bind_first: bool) -> None:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(ADDRESS)
    server.listen(BACKLOG)
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    PID.write_text(str(os.getpid()))
    signal.alarm(seconds)
    request = request_bind_first if bind_first else request_by_curl

    def ask() -> None:
        while True:
            request()
            time.sleep(CLIENTS / rate)

    for _number in range(CLIENTS):
        threading.Thread(target=ask, daemon=True).start()
    serve(server)


if sys.argv[1] == "start":
    start(float(sys.argv[2]), int(sys.argv[3]), "--bind-first" in sys.argv)
else:
    os.kill(int(PID.read_text()), signal.SIGKILL)
