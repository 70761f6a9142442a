# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from .hosts import OLD_HOST, Case, check_decision, check_second_run

CASES: list[Case] = [
    ("timestamps off", {"tcp_timestamps": "0"}, {}, "tcp_timestamps", "1", "set", "switched on again"),
    ("timestamps 2", {"tcp_timestamps": "2"}, {}, "tcp_timestamps", "2", "keep", ""),
    ("timestamps alone", {"tcp_timestamps": "0"}, {"tcp_timestamps": "leave"}, "tcp_timestamps", None, "keep", ""),
    ("inert reuse", {"tcp_timestamps": "0"}, {"tcp_timestamps": "leave"},
     "tcp_tw_reuse", "2", "refuse", "does nothing while tcp_timestamps is 0"),
    ("timestamps hidden", {"tcp_timestamps": None}, {}, "tcp_timestamps", None, "unsupported", "Set it on the host"),
    ("reuse with hidden timestamps", {"tcp_timestamps": None}, {}, "tcp_tw_reuse", "1", "set", ""),
    ("reuse on", {"tcp_tw_reuse": "1"}, {}, "tcp_tw_reuse", "1", "keep", "if the peer has TCP timestamps"),
    ("reuse delay", {"tcp_tw_reuse_delay": "250"}, {}, "tcp_tw_reuse", "1", "set", "0.25 s"),
    ("reuse for all", {}, {}, "tcp_tw_reuse", "1", "set", "not 60 s, if the peer has TCP timestamps"),
    ("own reuse", {}, {"tcp_tw_reuse": 0}, "tcp_tw_reuse", "0", "set", "You chose"),
    ("own reuse 2", {}, {"tcp_tw_reuse": 2}, "tcp_tw_reuse", "2", "keep", "You chose"),
    ("reuse 2 on 4.9", {**OLD_HOST, "release": "4.9.229"}, {"tcp_tw_reuse": 2},
     "tcp_tw_reuse", "0", "refuse", "takes 2 for 1"),
    ("reuse hidden", {**OLD_HOST, "release": "4.9.229", "tcp_tw_reuse": None}, {},
     "tcp_tw_reuse", None, "unsupported", "Set it on the host"),
    ("recycle gone", {}, {}, "tcp_tw_recycle", None, "unsupported", "removed in 4.12"),
    ("recycle gone, asked", {}, {"tcp_tw_recycle": 1, "accept_risk": ["tcp_tw_recycle"]},
     "tcp_tw_recycle", None, "unsupported", "removed in 4.12"),
    ("recycle hidden, asked", {**OLD_HOST, "release": "4.9.229", "tcp_tw_recycle": None},
     {"tcp_tw_recycle": 1, "accept_risk": ["tcp_tw_recycle"]}, "tcp_tw_recycle", None, "unsupported", "Not visible"),
    ("recycle off", {**OLD_HOST, "release": "3.10.0-1160.el7"}, {}, "tcp_tw_recycle", None, "keep", "off"),
    ("recycle on", {**OLD_HOST, "release": "3.10.0-1160.el7", "tcp_tw_recycle": "1"}, {},
     "tcp_tw_recycle", None, "keep", "choose 0"),
    ("recycle off again", {**OLD_HOST, "release": "3.10.0-1160.el7", "tcp_tw_recycle": "7"}, {"tcp_tw_recycle": "0"},
     "tcp_tw_recycle", "0", "set", "You chose"),
    ("recycle unaccepted", {**OLD_HOST, "release": "3.10.0-1160.el7"}, {"tcp_tw_recycle": 1},
     "tcp_tw_recycle", None, "refuse", "name tcp_tw_recycle in accept_risk"),
    ("recycle accepted", {**OLD_HOST, "release": "3.10.0-1160.el7"},
     {"tcp_tw_recycle": 1, "accept_risk": "tcp_tw_recycle"}, "tcp_tw_recycle", "1", "set", "You chose"),
    ("our reuse, left", {"tcp_tw_reuse": "1", "own": {"tcp_tw_reuse": ("2", "1")}}, {"tcp_tw_reuse": "leave"},
     "tcp_tw_reuse", None, "release", "It goes back to 2"),
    ("our timestamps, left", {"tcp_timestamps": "1", "own": {"tcp_timestamps": ("0", "1")}},
     {"tcp_timestamps": "leave"}, "tcp_tw_reuse", "2", "refuse", "does nothing while tcp_timestamps is 0"),
    ("our timestamps, auto again", {"tcp_timestamps": "2", "own": {"tcp_timestamps": ("1", "2")}}, {},
     "tcp_timestamps", "1", "set", "they are on"),
    ("our recycle, left", {**OLD_HOST, "release": "3.10.0-1160.el7", "own": {"tcp_tw_recycle": ("1", "0")}}, {},
     "tcp_tw_recycle", None, "release", "goes back to 1"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_decision(case: Case) -> None:
    check_decision(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_second_run_sets_nothing(case: Case) -> None:
    check_second_run(case)
