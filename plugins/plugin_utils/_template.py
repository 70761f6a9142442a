# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may serve as the template of a drop-in, and whether its text is what was planned.

A template is the role's own or the user's. Files into which the controller writes what hosts say can never be one: a
host could have written the template.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_ISREG

from ansible import constants as C  # noqa: N812 - its usual name

from ..module_utils._common.errors import OptionError
from ..module_utils._dropin import syntax
from ..module_utils._kernel import sysctl
from ._model import Plan

LARGEST = 1_048_576
SYSTEM = (Path("/proc"), Path("/sys"), Path("/dev"))
REPORTS = ("report.json", "report.html", "report.csv")
REPORT_VARIABLE, REPORT_ENVIRONMENT = "ephemeral_ports_report", "EPHEMERAL_PORTS_REPORT"


def said_by_hosts(variables: Mapping[str, object]) -> list[Path]:
    """Files and directories of this controller in which there is what hosts said: reports, log, caches."""
    places = (
        variables.get(REPORT_VARIABLE),
        os.environ.get(REPORT_ENVIRONMENT),
        C.DEFAULT_LOG_PATH,
        C.CACHE_PLUGIN_CONNECTION,
        C.DEFAULT_LOCAL_TMP,
    )
    return [Path(place).expanduser().resolve() for place in places if place and isinstance(place, str)]


def check_source(path: Path, forbidden: Iterable[Path]) -> None:
    """Raises ValueError for a file that cannot be a template."""
    real = path.resolve()
    if any(real.is_relative_to(place) for place in SYSTEM):
        raise ValueError(f"is {real}, which belongs to the kernel")
    if real.name in REPORTS or any(real.is_relative_to(place) for place in forbidden):
        raise ValueError(f"is {real}, where there is what hosts said: a report, a log or a cache")
    status = real.stat()
    if not S_ISREG(status.st_mode):
        raise ValueError(f"is {real}, which is no regular file")
    if status.st_size > LARGEST:
        raise ValueError(f"is {real} and has {status.st_size} bytes, more than {LARGEST}")


def check_text(text: object, plan: Plan) -> None:
    """Raises ValueError unless the text carries what was planned: a template may add comments, and keys of its own."""
    if not isinstance(text, str):
        raise ValueError(f"gives {text!r:.60}, which is not a text")
    try:
        values = {one.key: one.value for one in syntax.parse(text)}
    except OptionError as error:
        raise ValueError(str(error)) from error
    for setting in plan["settings"]:
        key, wanted, given = setting["key"], setting["wanted"], values.get(setting["key"])
        if wanted is not None and given is None:
            raise ValueError(f"leaves out {key}, which the plan sets to {wanted or 'empty'}")
        if wanted is None and given is not None:
            raise ValueError(f"sets {key} to {given}, which the plan does not set")
        if wanted is not None and given is not None and not sysctl.same(key, wanted, given):
            raise ValueError(f"sets {key} to {given or 'empty'}; the plan says {wanted or 'empty'}")
