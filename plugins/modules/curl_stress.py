#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove: a bounded load of short libcurl connections."""

DOCUMENTATION = r"""
module: curl_stress
short_description: Open many short HTTP connections with libcurl and count how they fail
version_added: 1.0.0
description:
  - Opens short HTTP connections to one destination, each one new and closed by the client, as applications without
    connection reuse do. Every closed connection stays in TIME_WAIT for 60 seconds and keeps its local port meanwhile.
  - When no port is left towards that destination, connect() fails with errno 99 (EADDRNOTAVAIL) and libcurl
    reports error 7 (CURLE_COULDNT_CONNECT). The module counts failures by both numbers, since a refused connection is
    error 7 too.
  - The load goes to O(url), or to a small server of the module's own on an address of the host, O(serve). It has
    bounds that you must choose, O(total) and O(time_limit).
  - It never follows redirects and never uses a proxy, and reads at most 64 KiB of an answer.
notes:
  - This is load. It uses up ports of the host towards the destination for at least a minute, other clients on the
    host included. Aim it only where that is acceptable.
  - Exhaustion is per destination, address and port. Sockets that one run leaves in TIME_WAIT block ports for the next
    run to the same port for 60 seconds, and none for a run to another port, so give each run its own O(serve_port).
  - To see exhaustion with default kernel settings, serve on a local address outside C(127.0.0.0/8). With
    C(tcp_tw_reuse=2), the default since Linux 4.18, connections to C(127.0.0.0/8) and C(::1) may reuse ports in
    TIME_WAIT.
  - With C(tcp_tw_reuse=1) a port can be used about once per second for each destination. A load as fast as possible
    then still fails beyond that, so compare before and after at the same O(rate).
requirements:
  - pycurl on the managed host, in the interpreter that Ansible uses there. The package is C(python3-pycurl) on Debian,
    Ubuntu, Fedora, SUSE and Enterprise Linux (in EPEL where the distribution itself lacks it).
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.action_group
attributes:
  check_mode:
    support: none
    details: A load cannot be predicted. The task is skipped and nothing is sent.
  diff_mode:
    support: N/A
    details: Changes no configuration.
  idempotent:
    support: full
    details: Never reports a change.
options:
  url:
    description:
      - Where to connect to, an C(http) or C(https) URL. Any answer with a status below 400 is a success.
      - Use a literal IP address to keep name resolution out of the measurement.
      - Exactly one of O(url) and O(serve) must be given.
    type: str
  serve:
    description:
      - An IPv4 or IPv6 address of the managed host itself. The module starts a small HTTP server there, uses it as
        the destination, and stops it at the end.
      - The server keeps connections alive, so that the client closes first and TIME_WAIT stays with the client.
    type: str
  serve_port:
    description:
      - The port of the server that O(serve) starts.
      - V(0) lets the kernel choose one. It chooses from the ephemeral ports, so that one port less is left for
        connections.
    type: int
    default: 0
  total:
    description: How many connections to open, from 1 to 1000000.
    type: int
    required: true
  time_limit:
    description:
      - No connection is started after this many seconds, from 0.001 to 86400.
      - Those under way then have O(connect_timeout) seconds more. What is not finished by then is cut off and counted
        as timed out, curl error 28.
    type: float
    required: true
  rate:
    description:
      - Connections to start per second, at even intervals. V(0) is as fast as possible.
      - A client that was held up does not catch up with a burst, it goes on at this rate.
    type: float
    default: 0
  concurrency:
    description: How many connections may be under way at the same time, from 1 to 1000.
    type: int
    default: 10
  connect_timeout:
    description: How many seconds establishing a connection may take, name resolution included, from 0.001 to 300.
    type: float
    default: 5
  max_failed:
    description:
      - The task fails when more connections than this fail, and when O(time_limit) ends the load before O(total) is
        reached, since a load that is less than what was asked for proves nothing. It returns the same values as
        otherwise.
      - Where ports are short, connect() becomes slow before it fails. A O(time_limit) not much longer than O(total) by
        O(rate) makes the task fail then, too.
      - When not given, failed connections are only reported.
    type: int
seealso:
  - module: netops.ephemeral_ports.port_usage_info
    description: Shows which destination uses up the ports.
  - module: netops.ephemeral_ports.sysctl_dropin
    description: Applies the settings that fix it.
author:
  - netops.ephemeral_ports contributors (@netops)
"""

EXAMPLES = r"""
- name: Check whether this host can keep up 300 new connections per second for a minute
  netops.ephemeral_ports.curl_stress:
    serve: 198.18.0.1
    serve_port: 8080
    total: 18000
    rate: 300
    time_limit: 90
  register: stress

- name: Report what failed, if anything
  ansible.builtin.debug:
    msg: "{{ stress.failures }} of {{ stress.attempted }} failed, {{ stress.port_exhaustion }} for lack of a free port"

- name: Prove that not one of 2000 connections to the upstream fails
  netops.ephemeral_ports.curl_stress:
    url: http://192.0.2.10:8080/healthz
    total: 2000
    rate: 100
    concurrency: 20
    time_limit: 60
    max_failed: 0
"""

RETURN = r"""
kind:
  description: Which kind of result this is, always V(load).
  returned: always
  type: str
  sample: load
url:
  description: The destination, without user, password and query. With O(serve), the URL of the server that was started.
  returned: always
  type: str
  sample: http://198.18.0.1:8080/
asked:
  description: What was asked for, to compare with RV(attempted) and RV(rate).
  returned: always
  type: dict
  contains:
    total:
      description: The option O(total).
      type: int
    rate:
      description: The option O(rate).
      type: float
  sample:
    total: 1500
    rate: 300.0
attempted:
  description: Connections that were started. Each has either succeeded or failed.
  returned: always
  type: int
  sample: 1500
succeeded:
  description: Connections that were established and answered with a status below 400.
  returned: always
  type: int
  sample: 500
failures:
  description: All others.
  returned: always
  type: int
  sample: 1000
errors:
  description: The failures by cause, the most frequent first.
  returned: always
  type: list
  elements: dict
  contains:
    curl_code:
      description: The number of libcurl's error.
      type: int
    curl_name:
      description: Its name in libcurl, null where pycurl does not know it.
      type: str
    errno:
      description: The error of the operating system that libcurl met, 0 for none.
      type: int
    errno_name:
      description: Its name, null for none.
      type: str
    count:
      description: How many connections failed like this.
      type: int
    meaning:
      description: What it means in one sentence, null for errors that the module does not know.
      type: str
  sample:
    - curl_code: 7
      curl_name: CURLE_COULDNT_CONNECT
      errno: 99
      errno_name: EADDRNOTAVAIL
      count: 1000
      meaning: no free local port towards this destination (ephemeral port exhaustion)
port_exhaustion:
  description:
    - Connections that failed with curl error 7 and errno 99 because no local port was free. They are not counted where
      the kernel says that a source address is missing instead, as where IPv6 is switched off.
  returned: always
  type: int
  sample: 1000
seconds:
  description: How long the load lasted.
  returned: always
  type: float
  sample: 4.997
rate:
  description: Attempts per second that were achieved.
  returned: always
  type: float
  sample: 300.2
connect_ms:
  description:
    - How long establishing the successful connections took, in milliseconds without name resolution. Null without a
      success.
    - connect() becomes much slower from half of the ports in use on, long before the first failure.
  returned: always
  type: dict
  contains:
    p50:
      description: The median.
      type: float
    p90:
      description: 90 of 100 took no longer than this.
      type: float
    p99:
      description: 99 of 100 took no longer than this.
      type: float
    max:
      description: The slowest.
      type: float
  sample:
    p50: 0.101
    p90: 0.155
    p99: 0.402
    max: 0.684
cut_off:
  description:
    - Successful connections whose answer was longer than 64 KiB and was not read to its end.
    - What is cut off ends with a reset, and leaves no TIME_WAIT. Aim at a shorter answer.
  returned: always
  type: int
  sample: 0
time_wait:
  description:
    - Sockets in TIME_WAIT, of all destinations, from C(/proc/net/sockstat). Up to Linux 4.10 those of the whole host.
    - Null where there is no such file.
  returned: always
  type: dict
  contains:
    before:
      description: Before the load.
      type: int
    after:
      description: Right after it.
      type: int
    delta:
      description: The difference.
      type: int
  sample:
    before: 0
    after: 500
    delta: 500
tw_recycled:
  description: Ports that connect() reused out of TIME_WAIT, the kernel's counter C(TWRecycled).
  returned: always
  type: dict
  contains:
    before:
      description: Before the load.
      type: int
    after:
      description: Right after it.
      type: int
    delta:
      description: The difference.
      type: int
  sample:
    before: 0
    after: 0
    delta: 0
stopped_by:
  description: V(total) when all connections were started and finished, V(time_limit) when that bound ended the load.
  returned: always
  type: str
  sample: total
"""

from typing import Any, Dict

from ..module_utils._common import shell
from ..module_utils._stress import run

ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "url": {"type": "str"},
    "serve": {"type": "str"},
    "serve_port": {"type": "int", "default": 0},
    "total": {"type": "int", "required": True},
    "time_limit": {"type": "float", "required": True},
    "rate": {"type": "float", "default": 0},
    "concurrency": {"type": "int", "default": 10},
    "connect_timeout": {"type": "float", "default": 5},
    "max_failed": {"type": "int"},
}


def main() -> None:
    shell.run(ARGUMENTS, run.stress, mutually_exclusive=[("url", "serve")], required_one_of=[("url", "serve")])


if __name__ == "__main__":
    main()
