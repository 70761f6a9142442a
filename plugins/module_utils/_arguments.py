# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of module arguments that the argument spec cannot express."""

from typing import Any, Mapping

NUMBER_TYPES = ("int", "float")


class OptionError(Exception):
    """An option has a value that it must not have; the text names the option."""


def refuse_booleans(argument_spec: Mapping[str, Mapping[str, Any]], arguments: Mapping[str, Any]) -> None:
    """Raise OptionError for the first option that wants a number and got a boolean.

    `arguments` are the raw ones as the controller sent them: the argument spec has already turned `true` into 1 or 1.0
    (in YAML, `yes` and `on` are booleans too).
    """
    for name, spec in sorted(argument_spec.items()):
        if spec.get("type") in NUMBER_TYPES and isinstance(arguments.get(name), bool):
            raise OptionError(f"{name} must be a number, not the boolean {str(arguments[name]).lower()}")
