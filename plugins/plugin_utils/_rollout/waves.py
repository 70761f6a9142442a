# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sizes of the waves. Ansible takes a size that it cannot use for the whole fleet, or crashes. Pure."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")
_SHARE = re.compile(r"([1-9][0-9]?|100)%\Z")
_EXAMPLE = 'as in [1, "10%", "100%"]'


def read_waves(given: object) -> list[str]:
    """The sizes, as Ansible's serial takes them. Raises ValueError that says what would do."""
    sizes = given if isinstance(given, (list, tuple)) else [given]
    if not sizes:
        raise ValueError(f"there must be at least one wave, {_EXAMPLE}")
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, str)) or not _is_size(str(size)):
            raise ValueError(
                f"{size!r:.80} is not the size of a wave; "
                f"give numbers of hosts from 1 on, or shares from 1% to 100%, {_EXAMPLE}"
            )
    return [str(size) for size in sizes]


def _is_size(text: str) -> bool:
    return bool(_NUMBER.match(text) or _SHARE.match(text))
