# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of an action or a module, checked on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils._common.errors import OptionError
from ..module_utils._common.shell import refuse_booleans

Spec = Mapping[str, Mapping[str, Any]]


class Options:
    """Made once, before there are workers: the validator takes longer to be made than to be used."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._validator = ArgumentSpecValidator(spec)

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """With defaults. Raises OptionError."""
        refuse_booleans(self.spec, given)
        checked = self._validator.validate(_plain(given))
        if checked.error_messages:
            raise OptionError("; ".join(checked.error_messages))
        return dict(checked.validated_parameters)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever somebody gave
    """Without what ansible-core attaches to values. The validator makes a deep copy, which is dear with that."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str.__str__(value) if isinstance(value, str) else value
