# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source that tests run in a private namespace: make connections, and look at them."""

from __future__ import annotations

# `connect` opens and closes connections to a server that never closes first; `observe` takes the module's options.
TOOLS = """
import json, socket, sys, time
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import observe as observation
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.options import check_options
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info

DEFAULTS = {name: spec.get("default") for name, spec in port_usage_info.ARGUMENTS.items()}
kept = []

def observe(**params):
    return observation.observe(check_options({**DEFAULTS, "detail": "full", **params}))

def listen(address, port, family=socket.AF_INET):
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(1024)
    return server

def connect(server, number, address, port, family=socket.AF_INET, source=None, keep=False):
    done = 0
    for _ in range(number):
        client = socket.socket(family)
        if source:
            client.bind(source)
        try:
            client.connect((address, port))
        except OSError as error:
            return done, error.errno
        peer, _ = server.accept()
        if keep:
            kept.extend([client, peer])
        else:
            client.close()
            peer.recv(1)
            peer.close()
        done += 1
    return done, 0
"""
