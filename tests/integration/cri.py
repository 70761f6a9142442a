# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as kubelet makes them, without Kubernetes and without a registry: containerd, runc and CNI of Debian, over CRI.

CRI is gRPC, of which four calls are needed: HTTP/2 and protobuf are written out here as far as those want them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import struct
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .debian import unpacked

PACKAGES = ("containerd", "runc", "containernetworking-plugins", "busybox-static")
IMAGE = "localhost/pause:1"
# Where the collection looks for the names of pods, too.
STATE = Path("/run/containerd")
SOCKET = STATE / "containerd.sock"
TIMEOUT_S = 120

CONFIG = """
version = 2
root = "{root}/root"
state = "{state}"
[grpc]
address = "{state}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{programs}/usr/lib/cni"
conf_dir = "{root}/net.d"
"""
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "198.18.64.0/24"}]]},
        }
    ],
}


class Pod(NamedTuple):
    """uid: as Kubernetes would give it. log: what the program in it prints."""

    uid: str
    log: Path


def programs() -> Path:
    return unpacked("cri", PACKAGES)


class Cri:
    """A containerd that runs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def run_pod(self, name: str, namespace: str, command: Sequence[str], sysctls: Mapping[str, str]) -> Pod:
        """A pod with one container, app, that has all files of this machine in /machine."""
        uid = str(uuid.uuid4())
        logs = self._root / "logs"
        metadata = _text(1, name) + _text(2, uid) + _text(3, namespace)
        linux = _text(1, f"/kubepods/besteffort/pod{uid}")
        linux += b"".join(_bytes(3, _text(1, key) + _text(2, value)) for key, value in sysctls.items())
        pod = _bytes(1, metadata) + _text(2, name) + _text(3, str(logs)) + _bytes(8, linux)
        sandbox = _field_1(call("RuntimeService/RunPodSandbox", _bytes(1, pod)))
        files = _text(1, "/machine") + _text(2, "/") + _number(3, 1)
        container = _bytes(1, _text(1, "app")) + _bytes(2, _text(1, IMAGE))
        container += b"".join(_text(3, word) for word in command) + _bytes(7, files) + _text(11, f"{name}.log")
        request = _bytes(1, sandbox) + _bytes(2, container) + _bytes(3, pod)
        made = _field_1(call("RuntimeService/CreateContainer", request))
        call("RuntimeService/StartContainer", _bytes(1, made))
        return Pod(uid, logs / f"{name}.log")


@contextlib.contextmanager
def containerd(root: Path, unpacked: Path) -> Iterator[Cri]:
    """Wants a network, mounts and processes of its own, and /run for itself."""
    for name in ("net.d", "logs"):
        (root / name).mkdir(parents=True)
    (root / "net.d/pods.conflist").write_text(json.dumps(NETWORK))
    config = root / "config.toml"
    config.write_text(CONFIG.format(root=root, state=STATE, programs=unpacked, image=IMAGE))
    path = f"{unpacked}/usr/bin:{unpacked}/usr/sbin:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    log = root / "containerd.log"
    command = ["prlimit", "--nofile=20000:20000", f"{unpacked}/usr/bin/containerd", "--config", config]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    try:
        wait_until(SOCKET.exists, log)
        image = root / "image.tar"
        # In /bin in Debian 12, in /usr/bin in later ones and in Ubuntu.
        busybox = unpacked / ("bin" if (unpacked / "bin/busybox").exists() else "usr/bin") / "busybox"
        image.write_bytes(_image(busybox.read_bytes()))
        ctr = [f"{unpacked}/usr/bin/ctr", "--address", SOCKET, "--namespace", "k8s.io"]
        subprocess.run([*ctr, "images", "import", "--no-unpack", image], check=True, env=environment)
        wait_until(_has_image, log)
        yield Cri(root)
    except BaseException:
        print(log.read_text()[-6000:])
        raise
    finally:
        process.terminate()
        process.wait()


def remove_cgroups(uids: Sequence[str]) -> None:
    """What nobody removes once the processes have ended; and what was made above, if it is empty."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for uid in uids:
        for mount in [fields[4] for fields in mounts if {"cgroup", "cgroup2"} & set(fields)]:
            for directory, _below, _files in os.walk(f"{mount}/kubepods/besteffort/pod{uid}", topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
            for above in ("kubepods/besteffort", "kubepods"):
                with contextlib.suppress(OSError):
                    Path(mount, above).rmdir()


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.05)


def _has_image() -> bool:
    """CRI learns by an event what ctr has imported; RunPodSandbox before that asks a registry for it."""
    try:
        return bool(call("ImageService/ImageStatus", _bytes(1, _text(1, IMAGE))))
    except AssertionError:  # it is not initialized yet
        return False


def call(method: str, message: bytes) -> bytes:
    """One call of CRI (gRPC over HTTP/2), as Service/Method. Its answer; AssertionError where it is an error."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/runtime.v1.{method}",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(b"\0" + _short(name) + _short(value) for name, value in headers.items())
    answer, ended = b"", False
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(SOCKET))
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 4, 1, block))
        connection.sendall(_frame(0, 1, 1, struct.pack(">BI", 0, len(message)) + message))
        with connection.makefile("rb") as stream:
            while not ended:
                length, kind, flags = struct.unpack(">IBB4x", b"\0" + stream.read(9))
                payload = stream.read(length)
                if kind == 0:
                    answer += payload
                elif kind == 4 and not flags & 1:  # SETTINGS, to be acknowledged
                    connection.sendall(_frame(4, 1, 0, b""))
                elif kind == 6 and not flags & 1:  # PING
                    connection.sendall(_frame(6, 1, 0, payload))
                assert kind != 7, payload  # GOAWAY
                ended = kind in (0, 1, 3) and bool(flags & 1 or kind == 3)
    assert len(answer) >= 5, f"{method} failed"  # containerd's log says why
    return answer[5:]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _short(text: str) -> bytes:
    """A string of HPACK that is not compressed; all here are shorter than 127."""
    return bytes([len(text)]) + text.encode()


def _varint(number: int) -> bytes:
    more = b""
    while number > 127:
        more, number = more + bytes([number & 127 | 128]), number >> 7
    return more + bytes([number])


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field_1(message: bytes) -> bytes:
    """An answer is one short text."""
    assert message[0] == 1 << 3 | 2, message
    return message[2 : 2 + message[1]]


def _image(busybox: bytes) -> bytes:
    """What docker save would write of an image with busybox alone."""
    layer = _tar({"bin/busybox": busybox})
    config = {
        "architecture": platform_of_debian(),
        "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox", "sleep", "3600"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    return _tar({"layer.tar": layer, **files})


def platform_of_debian() -> str:
    """Debian and images call processors by the same names."""
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def _tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()
