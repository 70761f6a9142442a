# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tuned does to sysctls when it starts, by its own code: of a release that scripts/sysctl_loaders has unpacked."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

PACKAGES = "usr/lib/python3/dist-packages"


class Storage:
    """Where it keeps the values of before: in memory."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class RealTuned:
    """The code of tuned below a directory; imported once, so that one process knows one release."""

    def __init__(self, root: Path) -> None:
        sys.path.insert(0, str(root / PACKAGES))
        import tuned.consts
        import tuned.plugins.plugin_sysctl
        import tuned.profiles
        import tuned.profiles.variables
        import tuned.utils.global_config

        logging.getLogger("tuned").setLevel(logging.CRITICAL)
        self.tuned: Any = tuned

    def start(self) -> None:
        """Apply the active profile, as the service does at boot: what fails, fails alone (tuned.units.manager)."""
        names = Path("/etc/tuned/active_profile").read_text().split()
        tuned = self.tuned
        directories = getattr(tuned.consts, "CFG_DEF_PROFILE_DIRS", None) or getattr(
            tuned.consts, "LOAD_DIRECTORIES", ["/usr/lib/tuned", "/etc/tuned"]
        )
        config = tuned.utils.global_config.GlobalConfig()
        variables = tuned.profiles.variables.Variables()
        loader = tuned.profiles.Loader(
            tuned.profiles.Locator(directories),
            tuned.profiles.Factory(),
            tuned.profiles.Merger(),
            config,
            variables,
        )
        for name, unit in loader.load(names).units.items():
            if unit.type == "sysctl" and unit.enabled:
                with contextlib.suppress(ValueError):
                    self.apply(name, unit.options, config, variables)

    def apply(self, name: str, options: dict[str, str], config: Any, variables: Any) -> None:
        plugin = object.__new__(self.tuned.plugins.plugin_sysctl.SysctlPlugin)
        plugin.__dict__.update(
            _storage=Storage(),
            _global_cfg=config,
            _variables=variables,
            _cmd=self.tuned.utils.commands.commands(),
            _has_dynamic_options=True,
        )
        instance = type("Instance", (), {"name": name, "options": options, "_sysctl": None})()
        plugin._instance_init(instance)
        plugin._instance_apply_static(instance)
