# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators ran into where a range was widened over ports of others: the plan, its words, and the drop-in."""

from __future__ import annotations

import errno
import json
import random
import socket
import subprocess
from pathlib import Path
from typing import Any

import private_namespaces as namespaces
import pytest
from jinja2 import Environment

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import parse_ports, parse_range
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage import run as usage_run
from ansible_collections.netops.ephemeral_ports.plugins.modules import port_usage_info
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.outcome import broken_promises
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._plan.policy import PolicyError
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._template import check_text
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._text.describe import describe

from .conftest import RELEASES
from .dropin import DROPIN, RANGE, RESERVED, STATE, get, present
from .inside import ROOT, private
from .network import Network, connect_for_real, observed
from .options import defaults_of

HOST = "198.18.0.1"
SECOND = DROPIN.with_name("99-zz-second.conf")
OPTIONS = defaults_of(port_usage_info)
LOW, HIGH = 32768, 60999
WIDE = "10240 65535"
TEMPLATE = ROOT / "roles/timewait_remediate/templates/99-zz-ephemeral-ports.conf.j2"
NODE_PORTS = "30000-32767"


class Remediated:
    """A host after a run, and after a second one that has to change nothing."""

    def __init__(self, **policy: object) -> None:
        self.usage = observed()
        self.plan, self.text = _apply(self.usage, policy)
        again, text = _apply(observed(), policy)
        assert text == self.text
        assert not any(setting["action"] == "set" for setting in again["settings"])
        self.settings = {setting["key"]: setting for setting in self.plan["settings"]}

    @property
    def said(self) -> str:
        return " ".join(" ".join(describe(self.plan)).split())

    @property
    def reach(self) -> set[int]:
        """What connect() can take now."""
        port_range, reserved = parse_range(get(RANGE)), parse_ports(get(RESERVED))
        return {port for port in range(port_range.low, port_range.high + 1) if port not in reserved}


def _apply(usage: dict[str, Any], policy: dict[str, object]) -> tuple[dict[str, Any], str]:
    plan: Any = make_plan(usage, policy)
    environment = Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["comment"] = lambda text: f"# {text}"
    text = environment.from_string(TEMPLATE.read_text()).render(remediation_plan=plan, ansible_managed="managed")
    check_text(text, plan)
    result: Any = present(text)
    assert not broken_promises(plan, result["settings"])
    return plan, text


def udp(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((HOST, port))
    return one


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


@private
def test_a_kubernetes_node() -> None:
    """kubelet and kube-proxy listen; nobody listens on the node ports."""
    with Network(LOW, HIGH, HOST) as network:
        for port in (10249, 10250, 10256):
            network.listen(HOST, port)
        host = Remediated()
    assert host.usage["claims"] == [{"by": "kubernetes", "ports": NODE_PORTS, "where": ""}]
    assert get(RANGE) == WIDE
    assert get(RESERVED) == f"10249-10250,10256,{NODE_PORTS}"
    assert f"#   {NODE_PORTS}: node ports of Kubernetes (the default)\n" in host.text
    assert "30000-32767 are node ports of Kubernetes (the default)" in host.said
    assert "52525 usable ports per destination instead of 28232" in host.said
    assert "at most 52525 new connections/s" in host.said
    assert "55296" not in host.said
    assert host.plan["sustainable_rate"]["usable_after"] == 52525 == len(host.reach)


@pytest.mark.parametrize(
    ("path", "text", "ports"),
    [
        ("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n", NODE_PORTS),
        ("/etc/rancher/k3s/config.yaml", 'service-node-port-range: "20000-20999"\n', "20000-20999"),
    ],
)
@private
def test_a_kubernetes_node_by_its_files(path: str, text: str, ports: str) -> None:
    with Network(LOW, HIGH, HOST):
        Path("/var/lib/rancher/k3s" if "k3s" in path else "/var/lib/kubelet").mkdir(parents=True)
        write(path, text)
        host = Remediated()
        assert get(RESERVED) == ports
        reserved = parse_ports(ports)
        assert not [port for port in host.reach if port in reserved]
        released = observed()
    assert make_plan({**released, "claims": []}, {})["dropin"][0]["wanted"] == ports  # what is reserved stays so


IPTABLES = """*nat
:KUBE-NODEPORTS - [0:0]
-A KUBE-NODEPORTS -p tcp --dport 30080 -j ACCEPT
-A PREROUTING -p tcp --dport 35300 -j DNAT --to-destination 198.18.0.2:80
-A PREROUTING -p udp --dport 20000:20009 -j DNAT --to-destination 198.18.0.2
-A PREROUTING -p tcp -m multiport --dports 45000,45010:45012 -j DNAT --to-destination 198.18.0.2
-A PREROUTING -p tcp ! --dport 46000 -j DNAT --to-destination 198.18.0.2
-A OUTPUT -p tcp -j DNAT --to-destination 198.18.0.2
COMMIT
"""
IP6TABLES = """*nat
-A PREROUTING -p tcp --dport 47000 -m comment --comment web -j REDIRECT --to-ports 8443
COMMIT
"""
NFT = """table inet own {
  set web { type inet_service; elements = { 41000, 41002 } }
  set many { type inet_service; flags interval; elements = { 42000-42010, 42020 } }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    tcp dport 35300 dnat ip to 198.18.0.2:80
    tcp dport { 45000, 45010-45012 } dnat ip to 198.18.0.2
    udp dport 20000-20009 redirect to :53
    tcp dport @web dnat ip to 198.18.0.2
    tcp dport @many redirect
    tcp dport != { 46000, 46001 } dnat ip to 198.18.0.2
    dnat ip to tcp dport map { 43000 : 198.18.0.2, 43001 : 198.18.0.3 }
    ip daddr . tcp dport { 198.18.0.1 . 44000, 198.18.0.1 . 44010-44012 } dnat ip to 198.18.0.2
    ip saddr { 198.18.0.7, 198.18.0.8 } tcp dport 44500 dnat ip to 198.18.0.2
    ip daddr { 198.18.0.7 } dnat ip to 198.18.0.2
  }
}
table ip kube-proxy {
  chain services {
    tcp dport 30080 accept
  }
}
"""
OF_NFT = "20000-20009,35300,41000,41002,42000-42010,42020,43000-43001,44000,44010-44012,44500,45000,45010-45012"
OF_IPTABLES = "20000-20009,35300,45000,45010-45012"


@pytest.mark.parametrize(
    ("scripts", "ports"),
    [
        ({"iptables-nft-restore": IPTABLES}, OF_IPTABLES),
        ({"iptables-legacy-restore": IPTABLES, "ip6tables-legacy-restore": IP6TABLES}, f"{OF_IPTABLES},47000"),
        ({"nft": NFT}, OF_NFT),
        ({"iptables-legacy-restore": IPTABLES, "nft": NFT}, OF_NFT),
    ],
    ids=lambda one: "+".join(one) if isinstance(one, dict) else "",
)
@pytest.mark.parametrize("release", RELEASES)
@private
def test_rules_of_kubernetes_and_dnat(release: str, scripts: dict[str, str], ports: str, debian: Path) -> None:
    """By the release's own programs: what they have the kernel keep differs."""
    root = debian / release
    namespaces.mount("tmpfs", root / "run", "tmpfs")
    with Network(LOW, HIGH, HOST):
        for program, script in scripts.items():
            (root / "run/rules").write_text(script)
            command = ["chroot", root, f"/usr/sbin/{program}", *(["-f"] if program == "nft" else []), "/run/rules"]
            made = subprocess.run(command, capture_output=True, check=False, text=True)
            if "not supported" in made.stderr or "does not exist" in made.stderr:
                pytest.skip(made.stderr)  # by this kernel
            assert made.returncode == 0, made.stderr
        host = Remediated()
    assert [one["by"] for one in host.usage["claims"]] == ["kubernetes", "nat"]
    assert host.usage["claims"][1]["ports"] == ports
    assert get(RESERVED) == str(parse_ports(f"{ports},{NODE_PORTS}"))


@private
def test_a_range_that_a_file_chose() -> None:
    """As Nomad has it, which gives its jobs ports below."""
    with Network(49152, 65535, HOST) as network:
        write("/etc/sysctl.d/10-nomad.conf", f"# jobs have 20000-32000\n{RANGE} = 49152 65535\n")
        network.listen(HOST, 23771)
        host = Remediated()
        assert get(RANGE) == "49152 65535"
        assert RANGE not in host.text
        assert host.settings[RANGE]["action"] == "keep"
        assert "/etc/sysctl.d/10-nomad.conf:2 chose 49152 65535, so auto does not widen it" in host.said
        assert "choose ip_local_port_range: 10240 65535." in host.said
        overruled = Remediated(ip_local_port_range=WIDE, reserve=["20000-32000"])
    assert get(RANGE) == WIDE
    assert not set(range(20000, 32001)) & overruled.reach


@private
def test_udp_sockets_of_a_client_on_random_ports() -> None:
    """A resolver or relay that picks its own ports: none of them is a service, and 10 in a row are one."""
    ports = random.Random(13).sample(range(10240, 32767, 7), 400)
    with Network(LOW, HIGH, HOST):
        sockets = [udp(port) for port in [*ports, *range(20000, 20010)]]
        host = Remediated()
        for one in sockets:
            one.close()
    assert len(host.usage["listening_ports"]["udp_clients"]) > 390
    reserved = parse_ports(get(RESERVED))
    assert all(port in reserved for port in range(20000, 20010))
    assert len(reserved) < 20
    assert "UDP ports without pattern were taken for a client's; name them if they are services" in host.said


@private
def test_few_udp_sockets_are_services() -> None:
    with Network(LOW, HIGH, HOST):
        sockets = [udp(port) for port in (15000, 20000, 40000)]
        Remediated()
        for one in sockets:
            one.close()
    assert get(RESERVED) == "15000,20000"


@private
def test_a_published_port_in_the_range() -> None:
    """It listens where the range reaches already: an outgoing connection would take it while the service restarts."""
    with Network(LOW, HIGH, HOST) as network:
        network.listen(HOST, 35300)
        host = Remediated()
    assert get(RESERVED) == "35300"
    assert 35300 not in host.reach
    assert "35300 belong to services that listen" in host.said
    assert "#   35300: services that listened" in host.text


@private
def test_a_port_published_by_a_stopped_container() -> None:
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": "35301"}], "81/tcp": [{"HostPort": "0"}], "82/udp": None}
    write("/var/lib/docker/containers/abc/hostconfig.json", json.dumps({"PortBindings": bindings}))
    write("/var/lib/docker/containers/bad/hostconfig.json", "{")
    with Network(LOW, HIGH, HOST):
        host = Remediated()
    assert host.usage["claims"] == [{"by": "docker", "ports": "35301", "where": "/var/lib/docker"}]
    assert get(RESERVED) == "35301"
    assert "published by Docker (/var/lib/docker)" in host.said


@pytest.mark.parametrize("text", ["30000-32767 # NodePorts", "30000-32767 ;", '"30000-32767"', "30000 - 32767"])
@private
def test_a_reservation_that_the_kernel_refuses(text: str) -> None:
    write("/etc/sysctl.d/50-site.conf", f"\n{RESERVED} = {text}\n")
    with Network(LOW, HIGH, HOST):
        with pytest.raises(OSError, match="Invalid argument") as refused:
            Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text(f"{text}\n")
        assert refused.value.errno == errno.EINVAL
        host = Remediated()
        after = observed()
    (finding,) = host.usage["findings"]
    assert finding["id"] == "reservation-refused"
    assert "/etc/sysctl.d/50-site.conf:2" in finding["summary"]
    assert after["findings"] == []
    (line,) = (one for one in host.usage["port_lines"] if one["file"] != str(DROPIN))
    assert (line["file"], line["line"], line["means"], line["refused"]) == (
        "/etc/sysctl.d/50-site.conf",
        2,
        NODE_PORTS,
        True,
    )
    assert get(RESERVED) == NODE_PORTS
    assert f"the kernel refuses the line /etc/sysctl.d/50-site.conf:2, which means {NODE_PORTS}" in host.said
    assert f"#   {NODE_PORTS}: /etc/sysctl.d/50-site.conf:2 reserves them\n" in host.text


@private
def test_a_slip_that_leaves_no_port() -> None:
    with Network(LOW, HIGH, HOST) as network:
        with pytest.raises(PolicyError, match=r"reserve: 10240-65535 leaves no usable port of 10240 65535"):
            Remediated(reserve=["10240-65535"])
        network.listen(HOST, 443)
        assert connect_for_real((HOST, 443)) == 0
    assert get(RANGE) == f"{LOW} {HIGH}"


@private
def test_a_second_dropin_reserves_a_port_that_the_first_has_opened() -> None:
    """There are more ports than before this collection, so nothing has to be accepted."""
    with Network(LOW, HIGH, HOST):
        Remediated()
        state_dir = str(STATE)
        usage = usage_run.run({**OPTIONS, "detail": "full", "path": str(SECOND), "state_dir": state_dir}, False)
        assert [(one["path"], sorted(one["applied"])) for one in usage["other_dropins"]] == [
            (str(DROPIN), sorted(usage["other_dropins"][0]["applied"]))
        ]
        plan: Any = make_plan(usage, {"reserve": [40000]}, str(SECOND))
        content = "".join(f"{one['key']} = {one['wanted']}\n" for one in plan["dropin"])
        present(content, path=str(SECOND), on_conflict="warn")
        assert (get(RANGE), get(RESERVED)) == (WIDE, "40000")
        own = usage_run.run({**OPTIONS, "detail": "full", "path": str(DROPIN), "state_dir": state_dir}, False)
        assert [one["path"] for one in own["other_dropins"]] == [str(SECOND)]


@private
def test_every_port_is_in_the_range() -> None:
    with Network(LOW, HIGH, HOST):
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1 65535")
        host = Remediated()
    assert get(RANGE) == "1 65535"
    assert host.settings[RANGE]["action"] == "keep"
