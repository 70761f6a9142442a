# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an action may take, by an option. In the keyword `timeout` it would be one more template for each host."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTimeError(BaseException):
    """No Exception, so that nothing on the way takes it for a failure of its own."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raises OutOfTimeError. 0: no limit. A task that has less left by its own keyword keeps that."""
    left = signal.alarm(0)
    if seconds <= 0 or 0 < left <= seconds:
        signal.alarm(left)
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTimeError(f"it did not answer within {seconds} s")

    before, began = signal.signal(signal.SIGALRM, end), time.monotonic()
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.alarm(max(1, left - int(time.monotonic() - began)))
