# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the dry connect says, against what a real connect() then meets. Every test has a network of its own."""

from __future__ import annotations

import ctypes
import errno
import socket
import time
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sockstat import read_sockstat
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import probe
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.probe import ADDRESS, PORT, ROUTE

from .inside import namespaces, private
from .network import BIND, Network, bind_for_real, connect_for_real, packed, peers_without_timestamps, set_sysctls

HOST, OTHER, THIRD = "198.18.0.1", "198.18.0.2", "198.18.0.3"
HOST6, OTHER6 = "fd99::1", "fd99::2"
BOTH_FAMILIES = pytest.mark.parametrize(("host", "other"), [(HOST, OTHER), (HOST6, OTHER6)])
ADDRESSES = (HOST, OTHER, THIRD, HOST6, OTHER6)
LOW, HIGH = 40000, 40009
PORTS = HIGH - LOW + 1
NO_PRIVILEGE = (ctypes.c_uint32 * 6)()
CAPABILITY_VERSION_3 = 0x20080522


def ask(address: str, port: int, source: str | None = None) -> probe.Answer:
    return probe.dry_connect(source and packed(source), packed(address), port)


def counted() -> dict[str, str]:
    """All that a segment would be counted in."""
    found = {}
    for name in ("snmp", "netstat"):
        lines = [line.split() for line in Path("/proc/net", name).read_text().splitlines()]
        for heads, values in zip(lines[::2], lines[1::2], strict=True):
            found.update({heads[0] + head: value for head, value in zip(heads, values, strict=True)})
    for name in ("snmp6", "dev", "arp"):
        found[name] = Path("/proc/net", name).read_text()
    return found


def give_up_privileges() -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    namespaces.check(namespaces.libc.capset(header, NO_PRIVILEGE), "capset")


@BOTH_FAMILIES
@private
def test_a_free_port_is_found(host: str, other: str) -> None:
    with Network(LOW, HIGH, *ADDRESSES):
        answer = ask(other, 443, host)
        assert (answer.errno, answer.lacks, answer.source) == (0, None, packed(host))
        assert answer.port in range(LOW, HIGH + 1)
        assert answer.search_us is not None
        # Without a source it is that of the route, which for an address of this host is the address.
        assert ask(other, 443).source == packed(other)


@BOTH_FAMILIES
@pytest.mark.parametrize("state", ["time_wait", "fin_wait2", "close_wait"])
@private
def test_all_ports_of_a_destination_are_in_use(host: str, other: str, state: str) -> None:
    with Network(LOW, HIGH, *ADDRESSES, tcp_tw_reuse=0) as network:
        assert getattr(network, f"leave_{state}")((host, 443), PORTS) == PORTS
        answer = ask(host, 443)
        assert (answer.errno, answer.lacks, answer.source, answer.port) == (errno.EADDRNOTAVAIL, PORT, None, None)
        assert answer.search_us is not None
        assert connect_for_real((host, 443)) == errno.EADDRNOTAVAIL
        # The same ports serve any other port, address and source.
        others = [(host, 444, None), (other, 443, None), (host, 443, other)]
        assert [ask(*one).errno for one in others] == [0, 0, 0]
        assert [connect_for_real((address, port), source) for address, port, source in others] == [0, 0, 0]
        # They are no binder's, and yet bind() to that source finds none of them.
        assert probe.binders_hold_all() is False
        assert probe.dry_bind(packed(host)).errno == errno.EADDRINUSE == bind_for_real(host)
        assert probe.dry_bind(packed(host)).lacks == PORT
        assert probe.dry_bind(packed(other)).errno == 0 == bind_for_real(other)


@BOTH_FAMILIES
@private
def test_all_ports_are_held_by_binders(host: str, other: str) -> None:
    """Those of one source are enough: no connect() gets a port, whatever its source and destination."""
    with Network(LOW, HIGH, *ADDRESSES) as network:
        for number in range(PORTS):
            assert ask(other, 443).errno == 0, number
            assert probe.binders_hold_all() is False, number
            assert len(network.open((host, 8000 + number), 1, (host, 0), BIND)) == 1
        for address in ADDRESSES:
            answer = ask(address, 443)
            assert (answer.errno, answer.lacks) == (errno.EADDRNOTAVAIL, PORT)
            assert connect_for_real((address, 443)) == errno.EADDRNOTAVAIL
        assert probe.binders_hold_all() is True
        assert probe.dry_bind(packed(host)).errno == errno.EADDRINUSE
        assert probe.dry_bind(packed(other)).errno == 0  # bind() to another source may share them


@private
def test_no_address_to_connect_from_is_no_want_of_a_port() -> None:
    with Network(LOW, HIGH, *ADDRESSES):
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        answer = ask("::1", 9092)
        assert (answer.errno, answer.lacks, answer.search_us) == (errno.EADDRNOTAVAIL, ADDRESS, None)
        assert connect_for_real(("::1", 9092)) == errno.EADDRNOTAVAIL
        # A source that this host does not have, as after an address has moved away.
        answer = ask(HOST, 443, "198.18.0.99")
        assert (answer.errno, answer.lacks) == (errno.EADDRNOTAVAIL, ADDRESS)
        assert probe.dry_bind(packed("198.18.0.99")).lacks == ADDRESS


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
@private
def test_no_route(address: str) -> None:
    with Network(LOW, HIGH, HOST):
        answer = ask(address, 443)
        assert (answer.errno, answer.lacks, answer.port) == (errno.ENETUNREACH, ROUTE, None)


@private
def test_no_loopback_interface_to_ask_through() -> None:
    namespaces.check(namespaces.libc.unshare(namespaces.CLONE_NEWNET), "unshare")
    assert probe.binders_hold_all() is None
    assert ask("127.0.0.1", 443).lacks == ROUTE


@private
def test_a_port_in_time_wait_is_found_once_it_may_be_reused_and_by_reusing_it() -> None:
    with Network(LOW, HIGH, *ADDRESSES, tcp_tw_reuse=1) as network:
        network.leave_time_wait((HOST, 443), PORTS)
        deadline = time.monotonic() + 20
        while (answer := ask(HOST, 443)).errno:
            assert time.monotonic() < deadline
        left = read_sockstat()["TCP"]["tw"]
        assert PORTS - answer.asked <= left < PORTS
        assert connect_for_real((HOST, 443)) == 0


@private
def test_a_peer_without_timestamps_is_found_out() -> None:
    """However old: what the local sysctls promise does not hold for these."""
    with Network(LOW, HIGH, *ADDRESSES, tcp_tw_reuse=1) as network:
        network.leave_time_wait((HOST, 444), PORTS)
        with peers_without_timestamps():
            network.leave_time_wait((HOST, 443), PORTS)
        deadline = time.monotonic() + 20
        while ask(HOST, 444).errno:  # once these may be reused, the others would be old enough too
            assert time.monotonic() < deadline
        assert ask(HOST, 443).lacks == PORT
        assert connect_for_real((HOST, 443)) == errno.EADDRNOTAVAIL


@private
def test_nothing_is_sent() -> None:
    with Network(LOW, HIGH, *ADDRESSES, tcp_tw_reuse=0) as network:
        network.leave_time_wait((HOST, 443), PORTS)
        before = counted()
        answers = [ask(address, 443) for address in (HOST, OTHER, HOST6, OTHER6)] + [ask(HOST, 443, THIRD)]
        assert [one.errno for one in answers] == [errno.EADDRNOTAVAIL, 0, 0, 0, 0]
        assert probe.dry_bind(packed(HOST)).errno
        after = counted()
        # The end of an established connection without a FIN is all that there is to see of one.
        resets = int(after.pop("Tcp:EstabResets")) - int(before.pop("Tcp:EstabResets"))
        assert resets == sum(one.asked for one in answers if not one.errno)
        assert after == before
        assert read_sockstat()["TCP"]["inuse"] == 1  # the server
        assert probe.binders_hold_all() is False
        assert counted()["Tcp:OutSegs"] == before["Tcp:OutSegs"]
        # That a segment would show here: without privilege one is sent.
        give_up_privileges()
        assert probe.binders_hold_all() is False
        assert counted()["Tcp:OutSegs"] != before["Tcp:OutSegs"]


@private
def test_without_privilege() -> None:
    with Network(LOW, HIGH, *ADDRESSES):
        give_up_privileges()
        for address, source in ((HOST, None), (HOST, OTHER), (HOST6, None)):
            with pytest.raises(probe.NotAllowedError):
                ask(address, 443, source)
        assert probe.dry_bind(packed(HOST)).errno == 0
        assert probe.binders_hold_all() is False


@private
def test_the_order_of_questions_does_not_matter_to_who_asks_next() -> None:
    """A dry bind leaves nothing behind that would keep connect() off the port."""
    with Network(LOW, LOW + 1, *ADDRESSES):
        for _turn in range(20):
            assert probe.dry_bind(packed(HOST)).errno == 0
            assert ask(HOST, 443).errno == 0
        assert connect_for_real((HOST, 443)) == 0


@private
def test_ports_of_listeners_are_nobodys() -> None:
    with Network(LOW, LOW + 1, *ADDRESSES) as network:
        network.listen(HOST, LOW)
        network.listen(HOST, LOW + 1)
        assert ask(OTHER, 443).lacks == PORT
        assert connect_for_real((OTHER, 443)) == errno.EADDRNOTAVAIL
        assert probe.binders_hold_all() is True
        assert probe.dry_bind(packed(OTHER)).errno == 0 == bind_for_real(OTHER)


@private
def test_where_udp_ports_are_used_up_too_the_cause_is_still_told() -> None:
    """A datagram socket tells a lack of ports from a lack of addresses, and takes one that is none of the range."""
    with Network(LOW, LOW + 1, *ADDRESSES, tcp_tw_reuse=0) as network:
        network.leave_time_wait((HOST, 443), 2)
        assert ask(HOST, 443).lacks == PORT
        udp = [socket.socket(type=socket.SOCK_DGRAM) for _turn in range(2)]
        for port, one in enumerate(udp, LOW):
            one.bind(("0.0.0.0", port))
        answer = ask(HOST, 443)
        assert (answer.errno, answer.lacks) == (errno.EADDRNOTAVAIL, probe.PORT)
        set_sysctls(ip_local_port_range=f"{LOW} {HIGH}")
        assert ask(HOST, 443).errno == 0
