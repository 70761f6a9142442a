# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the kernel is asked, and kernels that have no dry connect. What a real one says: tests/integration."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import UnsupportedError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import probe

HOST = socket.inet_aton("198.18.0.1")
EXHAUSTED = errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    ("took_us", "asked", "median"),
    [
        ([9.0, 7.0, 8.0, 1.0], 3, 8.0),
        ([1900.0, 50.0, 40.0], 3, 50.0),
        ([1500.0, 700.0, 1.0], 2, 1500.0),
        ([6000.0, 1.0], 1, 6000.0),  # a search that takes long is not repeated
    ],
)
def test_the_search_is_timed_by_a_median_and_within_bounds(
    took_us: list[float], asked: int, median: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = iter(probe._Attempt(0, (HOST, 40000), one) for one in took_us)
    monkeypatch.setattr(probe, "_try_connect", lambda *_: next(attempts))
    assert probe.dry_connect(None, HOST, 443) == probe.Answer(0, None, HOST, 40000, median, asked)


def test_the_newest_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a question that was answered by an error is not repeated."""
    attempts = iter([probe._Attempt(0, (HOST, 40000), 5.0), probe._Attempt(errno.EINVAL, None, 9.0)])
    monkeypatch.setattr(probe, "_try_connect", lambda *_: next(attempts))
    assert probe.dry_connect(None, HOST, 443) == probe.Answer(errno.EINVAL, None, None, None, None, 2)


class Kernel:
    """Stands for a socket of a kernel that takes some options and not others."""

    def __init__(self, refused: dict[int, int], entered: int) -> None:
        self.refused, self.entered = refused, entered

    def __call__(self, *_arguments: object) -> Kernel:
        return self

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def setblocking(self, _blocking: bool) -> None:
        pass

    def bind(self, _address: object) -> None:
        pass

    def setsockopt(self, _level: int, option: int, _value: int) -> None:
        if option in self.refused:
            raise OSError(self.refused[option], "refused")

    def getsockopt(self, _level: int, _option: int) -> int:
        return self.entered

    def connect(self, _address: Any) -> None:
        raise OSError(errno.ENETUNREACH, "refused")

    def connect_ex(self, _address: Any) -> int:
        raise AssertionError("this would be a real connect()")


@pytest.mark.parametrize(
    ("refused", "entered", "source", "error"),
    [
        ({probe._TCP_REPAIR: errno.EPERM}, 0, None, probe.NotAllowedError),
        ({probe._TCP_REPAIR: errno.ENOPROTOOPT}, 0, None, UnsupportedError),
        ({probe._IP_BIND_ADDRESS_NO_PORT: errno.ENOPROTOOPT}, 1, HOST, UnsupportedError),
        ({}, 0, None, UnsupportedError),  # taken, but without effect
    ],
)
def test_a_kernel_that_has_none_is_never_connected_for_real(
    refused: dict[int, int], entered: int, source: bytes | None, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", Kernel(refused, entered))
    with pytest.raises(error):
        probe.dry_connect(source, HOST, 443)


def test_a_family_that_the_kernel_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    for answer in (probe.dry_connect(None, bytes(16), 443), probe.dry_bind(bytes(16))):
        assert (answer.errno, answer.lacks, answer.search_us) == (errno.EAFNOSUPPORT, probe.ADDRESS, None)


@pytest.mark.parametrize(
    ("seconds", "asked"),
    [
        ([0.001] * 200, 89),
        ([0.008] * 20, 11),
        ([0.02] * 20, 4),  # a fifth would end too late
        ([0.001, 0.05, 0.001], 2),  # the next one may take as long
        ([0.2, 0.001], 1),
    ],
)
def test_no_search_is_begun_that_may_not_end_in_time(
    seconds: list[float], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    searches = iter(seconds)

    def ask(*question: object) -> object:
        nonlocal now
        now += next(searches)
        return question

    monkeypatch.setattr(probe.time, "monotonic", lambda: now)
    monkeypatch.setattr(probe, "dry_connect", ask)
    questions = [(None, HOST, port) for port in range(1, 200)]
    assert list(probe.dry_connects(questions)) == questions[:asked]


def test_a_question_that_cannot_be_asked_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_source: object, _address: object, port: int) -> int:
        if port == 1:
            raise UnsupportedError("")
        return port

    monkeypatch.setattr(probe, "dry_connect", ask)
    assert probe.dry_connects([(None, HOST, 1), (None, HOST, 2)]) == {(None, HOST, 2): 2}
