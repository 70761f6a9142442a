# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a host's other network namespaces are wanted."""

from __future__ import annotations

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Namespace
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets import known
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.known import Known
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._sockets.owners import Owner

BLUE = Known(Namespace(11, "/run/netns/blue", None), "blue", None)
WEB = Known(Namespace(12, None, 300), None, Owner("podman", "web1", "a" * 64))
POD = Known(Namespace(13, "/run/netns/cni-7", 400), "cni-7", Owner("pod", "shop/web", "uid", "nginx"), "pause")
EVERY = [BLUE, WEB, POD]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["all"], EVERY),
        (["own"], []),
        (["own", "all"], EVERY),
        (["blue"], [BLUE]),
        (["web1"], [WEB]),
        (["podman web1"], [WEB]),
        (["a" * 64], [WEB]),
        (["shop/web", "11"], [BLUE, POD]),
        (["pod shop/web"], [POD]),
    ],
)
def test_those_that_are_wanted(wanted: list[str], found: list[Known]) -> None:
    assert known.choose(EVERY, wanted) == found


def test_a_name_that_none_has() -> None:
    with pytest.raises(OptionError) as error:
        known.choose(EVERY, ["blue", "web9"])
    assert str(error.value) == "namespaces: this host has no network namespace 'web9'; it has blue, cni-7, web1"
    with pytest.raises(OptionError, match="has no network namespace 'blue'; it has none but its own"):
        known.choose([], ["blue"])
    many = [Known(Namespace(number, None, 1), None, None) for number in range(10, 25)]
    with pytest.raises(OptionError, match=r"it has 10, 11, .*, 19 and 5 more"):
        known.choose(many, ["blue"])


def test_what_they_are_called_in_messages() -> None:
    assert [one.title() for one in EVERY] == ["netns blue", "podman web1", "pod shop/web"]
    assert Known(Namespace(14, None, 5), None, None, "cat").title() == "network namespace 14 of cat, pid 5"


def test_a_name_that_two_have_means_both_and_kind_or_id_one_of_them() -> None:
    other = Known(Namespace(15, None, 6), None, Owner("lxc", "web1", "web1"))
    assert known.choose([*EVERY, other], ["web1"]) == [WEB, other]
    assert known.choose([*EVERY, other], ["podman web1"]) == known.choose([*EVERY, other], ["a" * 64]) == [WEB]
