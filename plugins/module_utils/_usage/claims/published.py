# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that container engines publish, also of containers that are stopped: what Docker and CNI keep in files.

Podman listens on what it publishes, so that sockets tell. Ports that an engine chooses anew at each start are nobody's.
"""

import contextlib
import glob
import json
import os
from typing import Any, Dict, Iterator, List, Tuple

from ..._boot.files import read_text
from ..._kernel.ports import PortSet, parse_ports
from .claim import Claim

DOCKER, CNI = "docker", "cni"
_DOCKER_ROOTS = ("var/lib/docker", "var/snap/docker/common/var-lib-docker")
_DOCKER_SETTINGS = "etc/docker/daemon.json"
_CNI_RESULTS = "var/lib/cni/results"
# More files are not read.
_MOST = 2000


def find(root: str = "/") -> Tuple[Claim, ...]:
    claims = []
    for directory in sorted({*_DOCKER_ROOTS, *_data_root(root)}):
        ports = PortSet()
        for settings in _read(os.path.join(root, directory, "containers/*/hostconfig.json")):
            for bindings in _dict(_dict(settings).get("PortBindings")).values():
                ports |= _ports(bindings, "HostPort")
        claims.append(Claim(DOCKER, ports, "/" + directory))
    ports = PortSet()
    for result in _read(os.path.join(root, _CNI_RESULTS, "*")):
        ports |= _ports(_dict(_dict(result).get("capabilityArgs")).get("portMappings"), "hostPort")
    claims.append(Claim(CNI, ports, "/" + _CNI_RESULTS))
    return tuple(claim for claim in claims if claim.ports)


def _data_root(root: str) -> List[str]:
    for settings in _read(os.path.join(root, _DOCKER_SETTINGS)):
        path = _dict(settings).get("data-root")
        return [path.strip("/")] if isinstance(path, str) else []
    return []


def _read(pattern: str) -> Iterator[object]:
    for path in sorted(glob.glob(pattern))[:_MOST]:
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(read_text(path))


def _dict(value: object) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _ports(mappings: object, name: str) -> PortSet:
    """A mapping without a port, or with 0, leaves the choice to the engine."""
    found = PortSet()
    for mapping in mappings if isinstance(mappings, list) else []:
        with contextlib.suppress(ValueError):
            found |= parse_ports(str(_dict(mapping).get(name) or ""))
    return found - PortSet([(0, 0)])
