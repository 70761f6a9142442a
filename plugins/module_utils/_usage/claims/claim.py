# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that belong to somebody who need not listen on them."""

from typing import NamedTuple

from ..._kernel.ports import PortSet


class Claim(NamedTuple):
    """by: KUBERNETES, DOCKER, CNI or NAT. where: the file or directory that says so, or nothing."""

    by: str
    ports: PortSet
    where: str
