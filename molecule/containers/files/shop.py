# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program does that opens a connection for each request: it closes first, and TIME_WAIT keeps the port."""

import contextlib
import ctypes
import socket
import threading
import time

SERVER = ("127.0.0.1", 8080)
KEPT = 5
PR_SET_NAME = 15


def serve(server: socket.socket) -> None:
    while True:
        peer, _address = server.accept()
        peer.recv(1)
        peer.close()


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"shop")
    server = socket.socket()
    server.bind(SERVER)
    server.listen(100)
    kept = [(socket.create_connection(SERVER), server.accept()) for _turn in range(KEPT)]
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    while kept:
        with contextlib.suppress(OSError):
            socket.create_connection(SERVER).close()
        time.sleep(0.01)


main()
