# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short cut around the sockets."""

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_thresholds
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.sockstat import proves_ok

SMALL = st.integers(0, 300)


@given(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, st.integers(1, 5000), st.sampled_from([0.1, 0.4, 1.0]))
def test_the_short_cut_is_never_wrong(
    live: int, live6: int, time_wait: int, listening: int, bound: int, elsewhere: int, size: int, warning: float
) -> None:
    """Where the counters prove it, no destination is at warning: all sockets at one, every holder in the range."""
    sockstat = {
        "TCP": {"inuse": live + listening, "tw": time_wait, "alloc": live + live6 + listening + bound + elsewhere},
        "TCP6": {"inuse": live6},
    }
    usable = size - listening - bound
    if proves_ok(sockstat, size, check_thresholds(warning, 1.0)):
        assert live + live6 + time_wait < usable * warning
