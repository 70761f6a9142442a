# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node ports of a Kubernetes node: kube-proxy serves them without a listening socket."""

import glob
import os
import re
from typing import Iterable, Tuple

from ..._boot.files import read_text
from ..._kernel.ports import MAX_PORT, PortSet
from .claim import Claim

KUBERNETES = "kubernetes"
# The default of kube-apiserver's --service-node-port-range.
_DEFAULT = (30000, 32767)
# kubelet; kube-proxy's health check and metrics.
_PORTS = (10250, 10256, 10249)
_MARKS = (
    "var/lib/kubelet",
    "etc/kubernetes/manifests",
    "var/lib/rancher/k3s",
    "var/lib/rancher/rke2",
    "var/snap/microk8s",
    "var/lib/k0s",
)
_CONFIGURATION = (
    "etc/kubernetes/manifests/kube-apiserver.yaml",
    "etc/rancher/k3s/config.yaml",
    "etc/rancher/k3s/config.yaml.d/*.yaml",
    "etc/systemd/system/k3s.service",
    "etc/systemd/system/k3s.service.env",
    "etc/rancher/rke2/config.yaml",
    "etc/rancher/rke2/config.yaml.d/*.yaml",
    "var/snap/microk8s/current/args/kube-apiserver",
    "etc/k0s/k0s.yaml",
)
# As a flag, quoted or not, on one line or on two (units), or as a key of YAML; kube-apiserver takes 30000+2768 too.
_RANGE = re.compile(r"service-node-port-range[\s'\"=:\\]+([0-9]{1,5})([-+])([0-9]{1,5})")
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


def find(listening: Iterable[int], has_chains: bool, root: str = "/") -> Tuple[Claim, ...]:
    """listening: TCP ports of listeners. has_chains: whether kube-proxy's chains are there."""
    marked = any(os.path.isdir(os.path.join(root, mark)) for mark in _MARKS)
    if not (marked or has_chains or not set(_PORTS).isdisjoint(listening)):
        return ()
    for pattern in _CONFIGURATION:
        for path in sorted(glob.glob(os.path.join(root, pattern))):
            for match in _RANGE.finditer(_COMMENT.sub("", read_text(path))):
                low, number = int(match.group(1)), int(match.group(3))
                high = number if match.group(2) == "-" else low + number - 1
                if low <= high <= MAX_PORT:
                    return (Claim(KUBERNETES, PortSet([(low, high)]), path),)
    return (Claim(KUBERNETES, PortSet([_DEFAULT]), ""),)
