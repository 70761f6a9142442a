# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real kernels answered, played back: /proc trees and sock_diag dumps of six kernels from 3.10 to 6.18.

All were recorded after the same 55 connections over loopback with ports 40000 to 40199; recordings/README.md has the
true counts. Netlink is played back with the filtering that the kernel would have done.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.netops.ephemeral_ports.plugins.module_utils import _kernel, _sock_diag, _sysctl

ROOT = Path(__file__).parent / "recordings"
KERNELS = ["3.10.108", "4.4.178", "4.9.229", "5.10.0", "6.12.107", "6.18.44"]
OLD_KERNELS = KERNELS[:3]

FILES = {socket.AF_INET: "sock_diag.inet.bin", socket.AF_INET6: "sock_diag.inet6.bin"}
CHUNK = 7  # messages per answer


def sysctls(kernel: str) -> dict[str, str | None]:
    return _sysctl.read_all(_kernel.KEYS, str(ROOT / kernel / "proc/sys"))


def release(kernel: str) -> str:
    return _kernel.release(str(ROOT / kernel / "proc/sys"))


class Playback(_sock_diag.SockDiag):
    """Answers as the kernel answered, in small pieces; `stretch` makes every n-th message longer than the others."""

    def __init__(self, kernel: str, stretch: int = 0) -> None:
        self.interrupted = False
        self.kernel = kernel
        self.stretch = stretch

    def dump(self, family: int, states: int, only: bytes = b"") -> Iterator[memoryview]:
        wanted = [
            message
            for message in messages((ROOT / self.kernel / FILES[family]).read_bytes())
            if states >> message[17] & 1 and (not only or accepts(only, int.from_bytes(message[20:22], "big")))
        ]
        if self.stretch:
            wanted = [longer(message) if index % self.stretch == 0 else message for index, message in enumerate(wanted)]
        for start in range(0, len(wanted), CHUNK):
            yield memoryview(b"".join(wanted[start : start + CHUNK]))


def messages(data: bytes) -> Iterator[bytes]:
    """The messages about sockets in a recorded dump."""
    while data:
        length, kind = struct.unpack_from("=IH", data)
        if kind == 20:
            yield data[:length]
        data = data[length + 3 & ~3 :]


def longer(message: bytes) -> bytes:
    """The message with one more attribute, as some sockets have."""
    attribute = struct.pack("=HHI", 8, 99, 0)
    return struct.pack("=I", len(message) + len(attribute)) + message[4:] + attribute


def accepts(code: bytes, port: int) -> bool:
    """Run a socket filter as inet_diag_bc_run() does, for a local port."""
    offset = 0
    while offset < len(code):
        operation, if_true, if_false = struct.unpack_from("=BBH", code, offset)
        if operation in (2, 3):
            value = struct.unpack_from("=H", code, offset + 6)[0]
            holds = port >= value if operation == 2 else port <= value
        else:
            holds = False  # INET_DIAG_BC_JMP
        offset += if_true if holds else if_false
    return offset == len(code)
