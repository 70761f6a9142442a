#!/usr/bin/python
# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
---
module: port_usage_info
short_description: Report which destinations use up the ephemeral ports of a host
version_added: 1.0.0
description:
  - Counts the TCP sockets of the network namespace that it runs in and reports, for each destination, how many of
    the ephemeral ports are blocked by live connections and by TIME_WAIT.
  - The limit on new connections is the number of usable ports for each triple of source address, destination address
    and destination port. Saturation is therefore given for each such destination, never for the host.
  - Where ports run out, the kernel is asked for its own verdict, see O(probe). That needs root (CAP_NET_ADMIN); nothing
    else does, and without it the level follows from what was counted.
  - Nothing is changed.
author:
  - netops.ephemeral_ports contributors (@netops)
options:
  method:
    description:
      - How to read the sockets.
      - V(netlink) asks the kernel through NETLINK_SOCK_DIAG, which is several times faster than the alternative and
        also returns ports that are bound but not yet connected (since Linux 6.8).
      - V(procfs) reads C(/proc/net/tcp) and C(/proc/net/tcp6).
      - V(auto) uses netlink, and procfs where netlink is refused, as in some sandboxes.
    type: str
    choices: [auto, netlink, procfs]
    default: auto
  detail:
    description:
      - V(full) reads every socket.
      - V(auto) does so only where it must. Where the counters of C(/proc/net/sockstat) prove that no destination can
        have reached the level V(warning), the answer is V(ok) and costs a fraction. RV(pools) is then empty,
        RV(sockets) and RV(listening_ports) are null, and findings that need more sockets than the listening ones are
        not made.
      - The proof takes all sockets for connections to one destination, and in a container on Linux 4.10 or older those
        of the whole host.
    type: str
    choices: [auto, full]
    default: auto
  max_pools:
    description:
      - How many destinations to return, the most loaded first, at most 1000. RV(level) is computed from all of them.
    type: int
    default: 10
  destination:
    description:
      - Report one destination only, as C(ADDRESS), C(ADDRESS:PORT) or C([IPV6]:PORT), with a literal address.
    type: str
  warning_threshold:
    description:
      - Saturation (more than 0, at most 1) from which on a destination is at level V(warning).
      - The pool of UDP is at V(warning) from 0.8 on, or from here on if that is more.
    type: float
    default: 0.4
  critical_threshold:
    description:
      - Saturation from which on a destination is at level V(critical). At half of the ports the kernel has used up
        those that it tries first, and connect() becomes hundreds of times slower;
        see RV(kernel.two_pass_port_search).
      - UDP has no such half. Its pool is V(critical) from 0.9 on, or from here on if that is more.
    type: float
    default: 0.5
  probe:
    description:
      - Whether to ask the kernel if a connection would get a local port, instead of concluding it from counted sockets.
      - The question is a dry connect (C(TCP_REPAIR)), a connect() that chooses route, source address and port as any
        other, and sends nothing. It is in no counter but C(EstabResets). It can do what any connect() can, reuse a port
        in TIME_WAIT, and so end up to three of those sockets early.
      - V(auto) asks about the O(destination) that is named, about those that are near the level V(warning) whatever
        is thought to be reusable, and about the first one where the counters of C(/proc/net/sockstat) do not prove that
        all is well. These are 10 at most, those first of which the count does not tell, and no search is begun that may
        not end within 0.09 s; RV(not_observed) says how many were left. Without the privilege the count decides.
        Of sources whose clients call bind(), a bind() to port 0 tells, which needs no privilege.
        Where sockets that called bind() may hold every port, one real connect() to port 0 of 127.0.0.1 tells; where it
        cannot be told, the level is V(unknown).
      - V(never) asks nothing.
    type: str
    choices: [auto, never]
    default: auto
  namespaces:
    description:
      - Which network namespaces to observe. V(own), the one that the module runs in, always is.
      - V(all) observes those of containers and pods, too. Or names, each that of a container, a pod
        (C(NAMESPACE/POD)), a unit, of C(ip netns), or an inode.
      - That needs root (CAP_SYS_ADMIN and CAP_SYS_PTRACE). Without it, sockets are counted where C(/proc) shows them,
        and the level is V(unknown), as sysctls of other namespaces cannot be read.
    type: list
    elements: str
    default: [own]
  behind_nat:
    description:
      - That the host is behind a NAT gateway. All sockets are then read, unless there is none, and RV(outside) is
        returned, which the report adds up over the hosts behind that gateway.
      - The variable C(ephemeral_ports_nat) of the host sets it; C(docs/nat.md) of the collection describes that.
    type: dict
    suboptions:
      gateway:
        description: What to call the gateway.
        type: str
        required: true
      inside:
        description:
          - Networks that are not reached through it, besides private ones. IPv6 is not, unless O(behind_nat.outside)
            says so.
        type: list
        elements: str
        default: []
      outside:
        description:
          - Networks that are reached through it although they are private, or IPv6. Where networks overlap, the most
            specific one decides. Loopback, link-local and multicast addresses never are.
        type: list
        elements: str
        default: []
      enough:
        description: Where there are so many sockets at most, they are not read one by one.
        type: int
        default: 0
  path:
    description:
      - The file of M(netops.ephemeral_ports.sysctl_dropin) whose journal is returned with O(detail=full).
    type: path
    default: /etc/sysctl.d/99-zz-ephemeral-ports.conf
  state_dir:
    description: The directory of that journal.
    type: path
    default: /var/lib/netops.ephemeral_ports
extends_documentation_fragment:
  - netops.ephemeral_ports.attributes
  - netops.ephemeral_ports.attributes.reads
  - netops.ephemeral_ports.attributes.action_group
seealso:
  - plugin: netops.ephemeral_ports.remediation_plan
    plugin_type: filter
    description: Decides from this module's result what to set.
  - module: netops.ephemeral_ports.sysctl_dropin
"""

EXAMPLES = r"""
- name: Observe the ephemeral ports
  netops.ephemeral_ports.port_usage_info:
  register: usage

- name: Stop where a destination has less than half of its ports left
  ansible.builtin.assert:
    that: usage.level in ["ok", "warning"]
    fail_msg: "{{ usage.pools[0] }}"

- name: Observe the network namespaces of all containers and pods, too
  netops.ephemeral_ports.port_usage_info:
    namespaces: all

- name: Observe one upstream, through procfs
  netops.ephemeral_ports.port_usage_info:
    destination: 192.0.2.10:8080
    method: procfs
"""

RETURN = r"""
kind:
  description: Always V(usage).
  type: str
  returned: success
  sample: usage
namespace:
  description:
    - The network namespace that was observed. Where C(own) is true it is that of the module, and the rest is null.
    - C(name) is that of C(ip netns), C(pid) and C(program) are the oldest process in it, and C(owner) is whose that is,
      a pod, container, machine or unit. C(cookie) tells it from a later one with that inode; it is null before
      Linux 5.14, and where it was not entered.
  type: dict
  returned: success
  sample: {own: true, inode: 4026531840, cookie: null, name: null, owner: null, pid: null, program: null}
level:
  description:
    - The worst level of all destinations, in all network namespaces that were observed, V(exhausted), V(critical),
      V(warning), V(unknown) or V(ok).
    - V(unknown) says that connections may fail although ports are left by the count, and that the kernel was not asked.
  type: str
  returned: success
  sample: critical
own_level:
  description: The worst level in the network namespace in which the module ran.
  type: str
  returned: success
  sample: critical
namespaces:
  description:
    - What was observed in other network namespaces, see O(namespaces), the worst first and 100 at most.
    - Each has RV(namespace), RV(level), RV(findings), RV(sysctls), RV(port_range), RV(listening_ports), RV(sockets),
      RV(blocked_at_most), RV(pools), RV(probe), RV(counters), RV(method), RV(complete), RV(not_observed), RV(outside),
      RV(claims) and RV(journal) of its own.
      Where only C(/proc) could be read, RV(sysctls) are null, and the range is assumed to be the default.
  type: list
  elements: dict
  returned: success
  sample: []
namespaces_observed:
  description: How many other network namespaces were observed. All of them count for RV(level).
  type: int
  returned: success
  sample: 0
namespaces_set:
  description:
    - In how many other network namespaces M(netops.ephemeral_ports.namespace_sysctls) has set something, by its journal
      in O(state_dir). 0 unless O(detail=full), and for everybody but root.
  type: int
  returned: success
  sample: 0
findings:
  description:
    - What is wrong or worth knowing, the most severe first.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: The identifier, which is described in C(docs/findings.md) of the collection.
      type: str
    severity:
      description: V(critical), V(warning) or V(info).
      type: str
    summary:
      description: What was found, in a sentence.
      type: str
    remedy:
      description: What helps, and where no sysctl does.
      type: str
    destination:
      description: The destination that is concerned, if one is.
      type: str
    evidence:
      description: The numbers from which it was concluded.
      type: dict
  sample:
    - id: reuse-loopback-only
      severity: warning
      summary: tcp_tw_reuse is 2, which covers 127.0.0.0/8 and ::1 only, not 192.0.2.10:8080.
      remedy: Set it to 1; the role timewait_remediate does.
      destination: 192.0.2.10:8080
      evidence: {tcp_tw_reuse: 2, destinations: 1}
kernel:
  description: What the running kernel can do, and how that was determined.
  type: dict
  returned: success
  contains:
    release:
      description: The kernel release.
      type: str
    version:
      description: Major, minor and patch number of the release.
      type: list
      elements: int
    tcp_tw_recycle:
      description: Whether C(tcp_tw_recycle) can be set from here.
      type: dict
    tcp_tw_reuse:
      description: The modes of C(tcp_tw_reuse) that this kernel tells apart.
      type: dict
    reuse_delay:
      description: The age in milliseconds from which on a port in TIME_WAIT can be reused, where reuse is effective.
      type: dict
    time_wait:
      description:
        - For how long TIME_WAIT lasts, in milliseconds. C(net.ipv4.tcp_tw_timeout) where the kernel has it, as those of
          some vendors do; otherwise 60000, unless a socket was seen to have more left.
      type: dict
    two_pass_port_search:
      description: Whether connect() tries every second port first.
      type: dict
  sample:
    release: 6.12.107
    version: [6, 12, 107]
    tcp_tw_recycle:
      supported: false
      how: "net.ipv4.tcp_tw_recycle does not exist: Linux removed it in 4.12"
    tcp_tw_reuse:
      modes: [0, 1, 2]
      how: net.ipv4.tcp_tw_reuse exists; 2 means loopback only since 4.18, this is 6.12
    reuse_delay:
      milliseconds: 1000
      how: "fixed: the next full second, so at most 1 s, on Linux 4.19 to 6.13 and el8"
    time_wait:
      milliseconds: 60000
      how: "fixed: this kernel has no net.ipv4.tcp_tw_timeout"
    two_pass_port_search:
      supported: true
      how: Linux searches ports in two passes since 4.6; this is 6.12
sysctls:
  description: Running values, null where the kernel has no such key or hides it from a container.
  type: dict
  returned: success
  sample:
    net.ipv4.ip_local_port_range: "32768 60999"
    net.ipv4.ip_local_reserved_ports: ""
    net.ipv4.tcp_tw_reuse: "2"
    net.ipv4.tcp_tw_recycle: null
port_range:
  description:
    - The range of ephemeral ports. C(reserved) and C(held) count ports inside of the range that connect() skips,
      because they are reserved, or because a listener or another socket was bound to them. Of connections that were
      bound first the kernel does not tell; which half of the ports they are in does (C(docs/how-ports-run-out.md)).
    - C(usable) is what remains, less one where the size is odd. Where RV(method) is V(sockstat), C(held) is null.
  type: dict
  returned: success
  sample: {low: 32768, high: 60999, size: 28232, reserved: 0, held: 0, usable: 28232}
listening_ports:
  description:
    - Local ports of services, TCP and UDP, in ascending order. Null where RV(method) is V(sockstat).
    - UDP has no listeners. Its sockets that are not connected count as services, but for C(udp_clients), where one user
      has at least 16 on ports without pattern, as resolvers and relays do that choose their own ports.
  type: dict
  returned: success
  sample: {tcp: [22, 443], udp: [123], udp_clients: []}
sockets:
  description: Number of TCP sockets in each state, IPv4 and IPv6 together. Null where RV(method) is V(sockstat).
  type: dict
  returned: success
  sample: {ESTABLISHED: 12, TIME_WAIT: 26837, LISTEN: 4}
time_wait_at_services:
  description:
    - How many of the sockets in TIME_WAIT are on ports that connect() does not choose, those of services as a rule.
      They block no port. Null where RV(method) is V(sockstat).
  type: int
  returned: success
  sample: 0
blocked_at_most:
  description: A number of blocked ports that no destination exceeds, from the counters of C(/proc/net/sockstat).
  type: int
  returned: success
  sample: 26861
pools:
  description:
    - The pools with the most blocked ports, the worst level first. V4-mapped addresses count as IPv4.
    - One for each destination, of the kind V(connect), and one for each local address from which clients connect after
      they called bind() with port 0, of the kind V(bind).
    - One of the kind V(udp) where there are so many UDP sockets that they may be near the level V(warning).
    - Those of the kind V(snat) are of NAT, the ports that this host gives to connections whose source address it
      translates. There is one for each translated address, destination, protocol, zone and range that ports are given
      from, as far as there are so many entries of connection tracking that one may be near a level, or with
      O(detail=full) or a O(destination). It takes root to read them. They are V(warning) from 50%, and V(critical) from
      75%, or before that where searches for a port begin to fail.
  type: list
  elements: dict
  returned: success
  contains:
    kind:
      description: Who takes ports out of it, V(connect), V(bind), V(udp), or V(snat) for NAT.
      type: str
    source:
      description:
        - The local address, null for a O(destination) that no socket belongs to, and for UDP. Of NAT, the address that
          sources are translated to.
      type: str
    address:
      description: The remote address, null where a port is chosen before there is a destination.
      type: str
    port:
      description: The remote port, or null.
      type: int
    usable:
      description:
        - Local ports that can be taken at all. Ports that clients chose by bind() are not, as far as can be told, save
          by those who have them.
      type: int
    blocked:
      description:
        - Local ports that a new connection to this destination could not take now. For bind(), ports with any socket of
          this source, whatever its state and destination. For UDP, ports that any UDP socket has. For NAT, those that
          were given, to connections that are closed too.
      type: int
    time_wait:
      description: Connections in TIME_WAIT. Of NAT by UDP, those of one exchange.
      type: int
    reusable:
      description: Those of them whose port can be reused already, and so is not blocked.
      type: int
    live:
      description: Connections in any other state.
      type: int
    states:
      description:
        - Those of them by state, as C(CLOSE_WAIT) or C(SYN_SENT). States that none is in are missing. Of NAT, as
          conntrack(8) names them.
      type: dict
    live_by:
      description:
        - Who has these live connections, the one with the most first and 5 at most. Null of pools at level V(ok),
          unless O(destination) names them, and where RV(method) is V(procfs).
        - C(owner) is the container, pod or unit in which the socket was made, as the kernel tells (since Linux 5.8), or
          in which its process is; null where that is none. C(program), C(pid) (of the process with the most of them)
          and C(processes), their number, are null where no process was found. That needs root, for processes of
          others, and ends after a second.
        - Connections of which nothing is known are left out. Those in TIME_WAIT belong to nobody any more; who makes
          them, M(netops.ephemeral_ports.port_users_info) tells.
      type: list
      elements: dict
    syn_resent:
      description: Those of them in C(SYN_SENT) that have sent their SYN again, as nobody answered.
      type: int
    hold_seconds:
      description:
        - For how long a closed connection blocks its port, C(time_wait_seconds) or the reuse delay. Without TCP
          timestamps a port is never reused; C(net.ipv4.tcp_timestamps) stands for those of each connection.
      type: float
    time_wait_seconds:
      description:
        - For how long TIME_WAIT lasts, as RV(kernel.time_wait) says. Where C(tcp_tw_recycle) shortens it, by 3.5 round
          trips with their margin, what the connections of this destination show.
      type: float
    longest_left_seconds:
      description:
        - What any of the connections in TIME_WAIT has left of it. None was closed since C(time_wait_seconds) less this.
          Null where there are none.
      type: float
    saturation:
      description: Blocked ports divided by usable ports, from 0 to 1.
      type: float
    level:
      description: V(ok), V(unknown), V(warning), V(critical) or V(exhausted).
      type: str
    probe:
      description:
        - What the kernel said to a dry connect, or to a bind(), null where it was not asked. RV(pools[].level) follows
          it, and what was counted otherwise.
        - C(errno) is 0 where a port was found; C(source) and C(port) are what was chosen. C(lacks) tells what was not
          found, V(port), V(address) (there is none to connect from, as where IPv6 is switched off) or V(route).
        - C(search_us) is how long the search for a port took, in microseconds, the median of C(asked) dry connects.
      type: dict
    rate:
      description:
        - Connections closed per second in the last second, 10 s and 60 s, as the ages of the TIME_WAIT sockets tell.
        - Where ports are reused after C(hold_seconds), averages over longer times are too low.
      type: dict
    trend:
      description:
        - V(rising), V(steady) or V(falling), the last 10 s compared with the 50 s before, or the rate of C(forecast)
          with the last 10 s where it differs clearly; null where too little is known.
      type: str
    forecast:
      description:
        - What comes if connections go on to be closed as lately. C(rate) is how many are closed per second now, and
          C(slope) by how much that grows each second, as the ages of those in TIME_WAIT tell since the load last
          changed at once; 0 where it is not sure. A slope is followed for 3.5 times as long as it was seen.
        - C(saturation) is that of the steady state at that rate, and above 1 where more ports are wanted than there
          are. While no port is left it is at least 1, as attempts that fail are not seen.
        - C(seconds_to_critical) and C(seconds_to_exhausted) are 0 where it is so already, and null where it is not to
          be expected. C(critical_between) and C(exhausted_between) are null where that is exact to 10% or 2 s; where
          the data are thin they are the earliest and the latest time (two standard errors), the latest null where it
          may never be.
      type: dict
    nat:
      description:
        - What only a pool of the kind V(snat) has, null for others.
        - C(ports) are those that NAT chooses from. C(by_rule) tells whether a rule of nftables or iptables says so;
          otherwise these are the ports of plain masquerade, as where such a rule may not be read. C(addresses) is how
          many addresses the rule translates to, null where it is not known, and C(flags) are V(random), V(fully-random)
          and V(persistent).
        - C(search_fails) is how likely the kernel, which tries 248 ports at most, finds none for a connection whose own
          port is taken. C(dropped) counts connections that were dropped while entries were read, C(idle) open ones of
          which nothing was heard for two hours.
      type: dict
  sample:
    - kind: connect
      source: 192.0.2.1
      address: 192.0.2.10
      port: 8080
      usable: 28232
      blocked: 26837
      time_wait: 26830
      reusable: 0
      live: 7
      states: {ESTABLISHED: 7}
      live_by:
        - {owner: podman web, program: php-fpm, pid: 4711, processes: 2, live: 7}
      syn_resent: 0
      hold_seconds: 60.0
      time_wait_seconds: 60.0
      longest_left_seconds: 59.8
      saturation: 0.9506
      level: critical
      probe: {errno: 0, lacks: null, source: 192.0.2.1, port: 41873, search_us: 4811.3, asked: 1}
      rate: {last_1s: 460.2, last_10s: 452.8, last_60s: 447.2}
      trend: steady
      forecast:
        rate: 453.1
        slope: 0.0
        saturation: 0.9626
        seconds_to_critical: 0.0
        critical_between: null
        seconds_to_exhausted: null
        exhausted_between: null
      nat: null
outside:
  description:
    - What the host has beyond its NAT gateway, over all its own addresses. Null without O(behind_nat), and where
      sockets were not read; no destination then has more of them than RV(blocked_at_most).
  type: dict
  returned: success
  contains:
    destinations:
      description:
        - Those with the most sockets, 50 at most.
        - C(live) are connections in any state but TIME_WAIT, C(syn_resent) those of them that have sent their SYN again
          and wait. C(closed) tells how many were closed here in each interval of 1.024 s, the newest first, within
          C(known_seconds); intervals without any at its end are left out. C(usable) are the local ports that there are
          for it.
      type: list
      elements: dict
    left_out:
      description:
        - How many destinations are not among them, with how many C(sockets), and the C(most) that one of them has.
      type: dict
  sample:
    destinations:
      - address: 203.0.113.7
        port: 443
        usable: 28232
        live: 12
        syn_resent: 0
        closed: [4, 5, 5]
        known_seconds: 59.392
    left_out: {destinations: 0, sockets: 0, most: 0}
gateway:
  description:
    - The NAT gateway that the inventory names for the host (C(ephemeral_ports_nat)), with its numbers. It is put there
      on the controller, never by the host. Null where there is none.
  type: dict
  returned: success
  sample: {name: nat-eu1, preset: aws_nat_gateway, ports: 55000, addresses: 1, ports_per: gateway, hold_seconds: 60.0,
    drops_from: 1.0, inside: [], outside: []}
counters:
  description:
    - What the kernel has counted since this network namespace was made. Two results of a host give rates, with
      RV(uptime) for the time between them.
    - Only those that the kernel has. C(ActiveOpens) are connections opened from here, C(AttemptFails) those that were
      refused or given up, C(TCPSynRetrans) SYNs sent again, C(TWRecycled) ports reused. What PAWS dropped begins with
      C(PAWS).
    - A connect() that finds no local port (errno 99) is in none of them.
  type: dict
  returned: success
  sample: {ActiveOpens: 180233, AttemptFails: 12, TCPSynRetrans: 31, TW: 175010, TWRecycled: 0, PAWSEstab: 2}
uptime:
  description: Seconds since the host was booted.
  type: float
  returned: success
  sample: 86400.25
probe:
  description:
    - Whether the kernel was asked, V(asked), or why not, V(not_needed), V(not_allowed) without the privilege,
      V(not_supported) by this kernel, or V(never) as the option says.
  type: str
  returned: success
  sample: asked
method:
  description: How the sockets were read, V(netlink) or V(procfs), or V(sockstat) where they need not be.
  type: str
  returned: success
  sample: netlink
reserved_in_files:
  description:
    - All ports that a line of any sysctl file reserves, in force or not, also where the kernel refuses the line.
  type: str
  returned: success
  sample: 15432,30000-32767
port_lines:
  description:
    - The lines of sysctl files that set C(ip_local_reserved_ports) or C(ip_local_port_range). C(value) is how a line
      begins, C(means) what it is meant to say, and C(refused) whether the kernel does not take it, as with a remark or
      blanks in a list of ports.
  type: list
  elements: dict
  returned: success
  sample:
    - key: net.ipv4.ip_local_reserved_ports
      file: /etc/sysctl.d/50-site.conf
      line: 3
      value: "30000-32767 # node ports"
      means: 30000-32767
      refused: true
claims:
  description:
    - Ports that belong to somebody who need not listen on them. Null unless O(detail=full).
    - C(by) is V(kubernetes) for the node ports of a Kubernetes node, V(docker) and V(cni) for ports that containers
      publish, and V(nat) for DNAT rules, which only root sees. C(where) is the file or directory that says
      so; it is empty for the default node ports.
  type: list
  elements: dict
  returned: success
  sample:
    - {by: kubernetes, ports: 30000-32767, where: ""}
journal:
  description:
    - What M(netops.ephemeral_ports.sysctl_dropin) has set here by O(path), so that a plan can tell ours from what an
      administrator has set. RV(reserved_in_files) and RV(port_lines) are those without it. Of another network namespace
      it is what M(netops.ephemeral_ports.namespace_sysctls) has set in it.
    - Null unless O(detail=full), for everybody but root, and where nothing was applied.
  type: dict
  returned: success
  contains:
    path:
      description: The file, with links followed. Null for another network namespace, which no file sets.
      type: str
    applied:
      description: Of each key the value C(before) the first apply, and the one C(applied).
      type: dict
    asked:
      description: The reserved ports that were asked for by name.
      type: str
  sample:
    path: /etc/sysctl.d/99-zz-ephemeral-ports.conf
    applied:
      net.ipv4.tcp_tw_reuse: {before: "2", applied: "1"}
    asked: 8080,30000-32767
other_dropins:
  description:
    - What M(netops.ephemeral_ports.sysctl_dropin) has set by other files than O(path), as in RV(journal), so that a
      plan can tell how many ports there were before. Empty unless O(detail=full), and for everybody but root.
  type: list
  elements: dict
  returned: success
  sample: []
not_observed:
  description:
    - What RV(level) says nothing about.
  type: list
  elements: dict
  returned: success
  contains:
    what:
      description:
        - V(sockets), one by one; V(udp); V(destinations) that the kernel was not asked about although it would have
          told more than the count; V(nat), entries of connection tracking; V(namespaces), other network namespaces of
          this host, and with V(not_allowed) also those of RV(namespaces) of which only C(/proc) could be read.
      type: str
    number:
      description: How many. Null where it is not known. Of namespaces it is the least, unless C(why) is V(elsewhere).
      type: int
    why:
      description:
        - V(counters), those of C(/proc/net/sockstat) tell enough; V(elsewhere), it has to be observed from there;
          V(time), it would take too long; V(not_allowed), only root may; V(not_supported) by this kernel.
      type: str
  sample:
    - {what: sockets, number: null, why: counters}
    - {what: namespaces, number: 3, why: elsewhere}
complete:
  description:
    - False where sockets changed in each of several dumps. Null for V(procfs), which does not tell, and V(sockstat).
  type: bool
  returned: success
  sample: true
"""

from typing import Any, Dict

from ..module_utils._common import shell
from ..module_utils._dropin.journal import DROPIN, STATE_DIR

ARGUMENTS: Dict[str, Any] = {
    "method": {"type": "str", "choices": ["auto", "netlink", "procfs"], "default": "auto"},
    "detail": {"type": "str", "choices": ["auto", "full"], "default": "auto"},
    "max_pools": {"type": "int", "default": 10},
    "destination": {"type": "str"},
    "warning_threshold": {"type": "float", "default": 0.4},
    "critical_threshold": {"type": "float", "default": 0.5},
    "probe": {"type": "str", "choices": ["auto", "never"], "default": "auto"},
    "namespaces": {"type": "list", "elements": "str", "default": ["own"]},
    "behind_nat": {
        "type": "dict",
        "options": {
            "gateway": {"type": "str", "required": True},
            "inside": {"type": "list", "elements": "str", "default": []},
            "outside": {"type": "list", "elements": "str", "default": []},
            "enough": {"type": "int", "default": 0},
        },
    },
    "path": {"type": "path", "default": DROPIN},
    "state_dir": {"type": "path", "default": STATE_DIR},
}


def main() -> None:
    from ..module_utils._usage.run import run  # not needed by the controller, which reads ARGUMENTS

    shell.run(ARGUMENTS, run, supports_check_mode=True)


if __name__ == "__main__":
    main()
