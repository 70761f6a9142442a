#!/usr/bin/env bash
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# In private namespaces, so that nothing of the machine has a part in it.
set -eu
root=${ANSIBLE_COLLECTIONS_PATH%%:*}/ansible_collections/netops/ephemeral_ports
exec python "$root/scripts/private_namespaces.py" --sysctl "net.ipv4.ip_local_port_range=32768 33267" -- \
    ansible-playbook --inventory "$INVENTORY_PATH" play.yml "$@"
