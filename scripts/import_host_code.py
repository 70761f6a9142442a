# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import every Python file of the given plugin directories, as a managed host would.

Runs with the oldest Python that managed hosts may have, where ansible-core and pycurl need not exist: `ansible` is
replaced by a stand-in, everything else has to come from the standard library.

usage: python3.6 scripts/import_host_code.py DIRECTORY...
"""

import importlib
import pathlib
import platform
import sys
import types

COLLECTION = "ansible_collections.netops.ephemeral_ports"


class StandIn(types.ModuleType):
    """A module that has every name."""

    __path__ = ()

    def __getattr__(self, name):  # noqa: ANN001, ANN204 - the oldest Python runs it, and mypy does not read it
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def main(directories):  # noqa: ANN001, ANN201 - the same
    for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
        sys.modules[name] = StandIn(name)
    sys.path.insert(0, "build")
    count = 0
    for directory in directories:
        for file in sorted(pathlib.Path(directory).rglob("[!.]*.py")):
            importlib.import_module(".".join((COLLECTION,) + file.with_suffix("").parts))  # noqa: RUF005 - nor does it know a shorter way
            count += 1
    print("Python {}: {} files imported".format(platform.python_version(), count))  # noqa: UP032 - the same


if __name__ == "__main__":
    main(sys.argv[1:])
