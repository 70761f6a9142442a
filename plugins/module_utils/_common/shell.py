# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module does around its function: check the arguments, end with one result or one clear error."""

import atexit
import gc
from typing import Any, Mapping

# AnsibleModule has turned `true` into 1 for an option that wants a number; only the raw arguments still tell.
from ansible.module_utils.basic import AnsibleModule, _load_params

from .answer import Function, answer
from .errors import OptionError

_NUMBERS = ("int", "float")

Options = Mapping[str, Mapping[str, Any]]


def run(arguments: Options, function: Function, **spec: object) -> None:
    """Be a module with these options: function(options, check_mode) gives its result, with warnings to show apart.

    spec: what else AnsibleModule takes.
    """
    _keep_all()
    module = AnsibleModule(argument_spec=arguments, **spec)
    try:
        refuse_booleans(arguments, _load_params())
    except OptionError as error:
        module.fail_json(msg=str(error))
    result = answer(function, module.params, module.check_mode)
    for sentence in result.pop("warnings", ()):
        module.warn(sentence)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


def _keep_all() -> None:
    """All that Ansible has brought stays: the garbage collector would go through it in vain, and again at the end."""
    freeze = getattr(gc, "freeze", None)  # from Python 3.7 on
    if freeze is not None:
        freeze()
        atexit.register(freeze)


def refuse_booleans(arguments: Options, given: Mapping[str, Any]) -> None:
    """Raise OptionError for the first option that wants a number and got a boolean, as `yes` and `on` are in YAML.

    given: the options as the controller sent them.
    """
    for name, spec in sorted(arguments.items()):
        if spec.get("type") in _NUMBERS and isinstance(given.get(name), bool):
            raise OptionError(f"{name} must be a number, not the boolean {str(given[name]).lower()}")
