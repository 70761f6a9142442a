# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel makes of a text that is written to a sysctl: predicted, and then written and read back."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_value import (
    RefusedError,
    value_after,
)

from .inside import private

CASES = 6000
# Seconds are kept in ticks, whose number in a second is not known here: where they overflow is left out.
MOST_SECONDS = (2**31 - 1) // 1000
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
WRITTEN = (
    keys.PORT_RANGE,
    keys.RESERVED_PORTS,
    keys.UNPRIVILEGED_PORT_START,
    keys.TW_REUSE,
    keys.TW_REUSE_DELAY,
    keys.TIMESTAMPS,
    keys.FIN_TIMEOUT,
    KEEPALIVE,
)

# fmt: off
NUMBERS = [
    "0", "1", "2", "3", "8", "10", "010", "08", "0x10", "0X1f", "0x", "-1", "-0", "--1", "+1", "1_0", "1.5", "255",
    "256", "500", "1000", "1024", "02000", "8080", "9000", "32768", "40000", "60000", "60001", "60999", "65535",
    "65536", "0xffff", "0x10000", "2147483647", "2147483648", "-2147483648", "99999999999999999999",
    "000000000000000000001", "00000000000000000001", "true", "yes", "five", "x", '"5"', "\u0662", "",
]
# fmt: on
BETWEEN = (" ", " ", "\t", "  ", ",", "-", ", ", " - ", ":", "\v", "\f", "\r", "\udca0", "", ",,")
AFTER = ("", "", "", "", " ", " # remark", "# remark", " ; remark", "\r", ",", "-", " x", " 70000")
BEFORE = ("", "", "", "", " ", "\t", "\v", "\udca0", '"', "#")


def random_text(chance: random.Random) -> str:
    words = chance.choices(NUMBERS, k=chance.choice((1, 1, 1, 2, 2, 3, 4)))
    text = words[0] + "".join(chance.choice(BETWEEN) + word for word in words[1:])
    return chance.choice(BEFORE) + text + chance.choice(AFTER)


def written(key: str, text: str) -> str | None:
    """The value afterwards, None where the kernel refuses the text."""
    descriptor = os.open(sysctl.path_of(key), os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("utf-8", "surrogateescape") + b"\n")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return sysctl.with_blanks(sysctl.read(key) or "")


@pytest.mark.parametrize("seed", range(3))
@private
def test_a_text_is_taken_as_predicted(seed: int) -> None:
    chance = random.Random(seed)
    version = features.parse_version(features.release())
    existing = [key for key in WRITTEN if sysctl.read(key) is not None]
    taken = Counter[tuple[str, bool]]()
    for _turn in range(CASES):
        key, text = chance.choice(existing), random_text(chance)
        current = sysctl.read_all(existing)
        try:
            predicted = value_after(key, text, current, version)
        except RefusedError:
            predicted = None
        if predicted and key in (keys.FIN_TIMEOUT, KEEPALIVE) and abs(int(predicted)) > MOST_SECONDS:
            continue
        answer = written(key, text)
        assert predicted == answer, (key, text, current[key], predicted, answer)
        assert answer is not None or sysctl.read_all(existing) == current
        taken[key, answer is not None] += 1
    assert set(taken) == {(key, answer) for key in existing for answer in (True, False)}
