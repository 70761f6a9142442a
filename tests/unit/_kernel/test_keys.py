# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of keys against recorded kernels, each seen from its initial network namespace."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import features, keys

from ..recorded import KERNELS, release, sysctls


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_has_the_keys_that_the_table_says(kernel: str) -> None:
    version = features.parse_version(release(kernel))
    expected = {
        key.name
        for key in keys.TABLE
        if not key.vendor
        and (key.since is None or version >= features.parse_version(key.since))
        and (key.removed is None or version < features.parse_version(key.removed))
    }
    assert {name for name, value in sysctls(kernel).items() if value is not None} == expected


def test_each_key_has_one_row_and_each_constant_a_key() -> None:
    assert len(keys.ROWS) == len(keys.TABLE)
    constants = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    assert constants <= set(keys.NAMES)
