# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a function of host code ends with, however it came to the host: one result or one clear error."""

from typing import Any, Callable, Dict

from .errors import Error, format_os_error

Function = Callable[[Dict[str, Any], bool], Dict[str, Any]]


def answer(function: Function, options: Dict[str, Any], check: bool) -> Dict[str, Any]:
    """What function(options, check_mode) returns; where it refuses, the reason as `msg` of what has `failed`."""
    try:
        return function(options, check)
    except Error as error:
        return {**error.result, "failed": True, "msg": str(error)}
    except ValueError as error:  # of what cannot be a path, such as one with a NUL in it
        return {"failed": True, "msg": str(error)}
    except OSError as error:
        return {"failed": True, "msg": format_os_error(error)}
