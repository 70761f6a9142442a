# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task says of a host in the terminal, before Ansible says that it is ok; no other task is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ansible import constants as C  # noqa: N812 - its usual name
from ansible.plugins.loader import callback_loader
from ansible.utils.display import Display

# Stdout callbacks of ansible-core for people. What derives from one of them is for people, too.
PACKAGES = ("ansible.plugins.callback", "ansible_collections.ansible.builtin.plugins.callback")
FOR_PEOPLE = [f"{package}.{name}" for package in PACKAGES for name in ("default", "minimal", "oneline")]


@cache
def is_for_people(stdout_callback: str) -> bool:
    """Whether text may follow what that callback prints: a program that reads JSON would trip over it."""
    kind = callback_loader.get(stdout_callback, class_only=True)
    return kind is not None and any(base.__module__ in FOR_PEOPLE for base in kind.__mro__)


def say(host: str, lines: Sequence[str]) -> None:
    """In one piece, so that hosts which answer at the same time do not mix."""
    if is_for_people(C.DEFAULT_STDOUT_CALLBACK):
        Display().display("\n".join([f"{host}:", *(f"    {line}" if line else "" for line in lines)]))
