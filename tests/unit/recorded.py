# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real kernels answered, played back: /proc trees and sock_diag dumps of six kernels from 3.10 to 6.18.

All were recorded after the same 55 connections over loopback with ports 40000 to 40199; recordings/README.md has the
true counts. Netlink is played back as the kernel answers to one request for both families, listeners first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys, netlink, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import inet_diag

ROOT = Path(__file__).parent / "recordings"
KERNELS = ["3.10.108", "4.4.178", "4.9.229", "5.10.0", "6.12.107", "6.18.44"]
OLD_KERNELS = KERNELS[:3]

FILES = ("sock_diag.inet.bin", "sock_diag.inet6.bin")
STATE_AT, LISTEN = 17, 10
CHUNK = 7  # messages per answer


def sysctls(kernel: str) -> dict[str, str | None]:
    return sysctl.read_all(keys.NAMES, str(ROOT / kernel / "proc/sys"))


def release(kernel: str) -> str:
    return features.release(str(ROOT / kernel / "proc/sys"))


class Playback(inet_diag.SockDiag):
    """Answers as the kernel answered, in small pieces; `stretch` makes every n-th message longer than the others."""

    def __init__(self, kernel: str, stretch: int = 0) -> None:
        self.interrupted = False
        self.kernel = kernel
        self.stretch = stretch

    def dump(self, states: int, bytecode: bytes = b"") -> Iterator[tuple[bytes, int]]:  # noqa: ARG002 - part of the call
        """All of them, whatever a program would pick out."""
        recorded = (one for name in FILES for one in messages((ROOT / self.kernel / name).read_bytes()))
        wanted = [one for one in recorded if states >> one[STATE_AT] & 1]
        wanted.sort(key=lambda one: one[STATE_AT] != LISTEN)
        if self.stretch:
            wanted = [longer(message) if index % self.stretch == 0 else message for index, message in enumerate(wanted)]
        for start in range(0, len(wanted), CHUNK):
            yield from netlink.split(b"".join(wanted[start : start + CHUNK]), inet_diag.ALIKE)


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
