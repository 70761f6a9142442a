# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a process is, and with it its sockets: a container, a pod, a unit, read from the path of its cgroup.

The path names the engine and an id. The name that people know is in files of engine or kubelet; no engine is called. Of
nested containers the outermost counts: it is the one that this host runs and has the name of, and what a container
calls the cgroups within itself proves nothing.
"""

import json
import os
import pwd
import re
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

POD, PODMAN, DOCKER, CONTAINERD, CRIO = "pod", "podman", "docker", "containerd", "cri-o"
LXC, MACHINE, UNIT = "lxc", "machine", "unit"

# Of a file of an engine. One with the names of 1,000 containers has about 500 kB.
_MOST = 8 << 20

_ID = "([0-9a-f]{64})"
_COMPONENTS = (
    (PODMAN, re.compile(r"libpod-" + _ID + r"(?:\.scope)?")),
    (DOCKER, re.compile(r"docker-" + _ID + r"\.scope")),
    (CRIO, re.compile(r"crio-" + _ID + r"(?:\.scope)?")),
    (CONTAINERD, re.compile(r"(?:.*:)?(?:cri-containerd|nerdctl)[-:]" + _ID + r"(?:\.scope)?")),
    (LXC, re.compile(r"lxc\.payload\.(.+)")),
    (MACHINE, re.compile(r"(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service)")),
)
_BARE_ID = re.compile(_ID)
_NAME = re.compile(r"[\w][\w.-]*")
_POD = re.compile(r"kubepods.*?[/-]pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=[/.:]|$)")
_UNIT = re.compile(r".+\.(?:service|scope)")
_USER_MANAGER = re.compile(r"user@([0-9]+)\.service")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")

_CONTAINERD_STATE = ("/run/containerd", "/run/k3s/containerd")
_TASK = "{}/io.containerd.runtime.v2.task/{}/{}/config.json"
_STORAGE = "/var/lib/containers/storage"
_STORAGE_OF_USER = ".local/share/containers/storage"
# The second, since Podman 4.4, of those that go when they end (--rm).
_LISTS = ("containers.json", "volatile-containers.json")
_CRIO_CONFIG = "/run/containers/storage/overlay-containers/{}/userdata/config.json"
_DOCKER_CONFIG = "/var/lib/docker/containers/{}/config.v2.json"


class Owner(NamedTuple):
    """kind: pod, podman, docker, containerd, cri-o, lxc, machine or unit. name: as people know it, of a pod with its
    namespace (shop/web-1); the beginning of the id where no file tells. container: within a pod, None where not known.
    """

    kind: str
    name: str
    id: str
    container: Optional[str] = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.container})" if self.container else "")


def read_file(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(_MOST)


class Files:
    """What engines and kubelet left on this host, each file read once. Absent and unreadable ones are empty."""

    def __init__(
        self, read: Callable[[str], str] = read_file, list_names: Callable[[str], List[str]] = os.listdir
    ) -> None:
        self._read, self._list_names = read, list_names
        self._parsed: Dict[str, Any] = {}
        self._listed: Dict[str, List[str]] = {}

    def json(self, path: str) -> Any:  # noqa: ANN401 - JSON
        if path not in self._parsed:
            try:
                self._parsed[path] = json.loads(self._read(path))
            except (OSError, ValueError, RecursionError):
                self._parsed[path] = None
        return self._parsed[path]

    def names(self, directory: str) -> List[str]:
        if directory not in self._listed:
            try:
                self._listed[directory] = sorted(self._list_names(directory))
            except OSError:
                self._listed[directory] = []
        return self._listed[directory]


def owner_of(cgroup_text: str, files: Files) -> Optional[Owner]:
    """Whose a process is, from its /proc/PID/cgroup; None where the path tells nothing. Version 1 has many lines."""
    paths = sorted({line.split(":", 2)[2] for line in cgroup_text.splitlines() if line.count(":") >= 2}, key=len)
    for find in (_container, _unit):
        for path in reversed(paths):
            owner = find(path, files)
            if owner is not None:
                return owner
    return None


def _container(path: str, files: Files) -> Optional[Owner]:
    parts = path.strip("/").split("/")
    for place, part in enumerate(parts):
        above, so_far = parts[place - 1] if place else "", "/".join(parts[: place + 1])
        for kind, pattern in _COMPONENTS:
            match = pattern.fullmatch(part)
            if match:
                return _named(kind, next(filter(None, match.groups())), above, so_far, files)
        if above == "lxc":
            return Owner(LXC, part, part)
        if _BARE_ID.fullmatch(part):
            return _bare(part, above, so_far, files)
    pod = _POD.search(path)
    if pod:
        return _pod(pod.group(1), {}, None, files)
    if len(parts) == 2 and all(map(_NAME.fullmatch, parts)) and not any(map(_UNIT.fullmatch, parts)):
        return _task_of_containerd(parts[1], parts[0], files)
    return None


def _named(kind: str, found: str, above: str, path: str, files: Files) -> Owner:
    if kind in (LXC, MACHINE):
        name = _unescape(found)
        return Owner(kind, name, name)
    if kind == PODMAN:
        return Owner(kind, _name_of_podman(found, path, files) or found[:12], found)
    if kind == DOCKER:
        return _docker(found, path, files)
    if kind == CRIO:
        notes = _annotations(_CRIO_CONFIG.format(found), files)
        return _cri(CRIO, found, path, notes, files)
    namespaces = ("k8s.io", "default", above)
    return _cri(CONTAINERD, found, path, _task_annotations(found, namespaces, files), files)


def _bare(found: str, above: str, path: str, files: Files) -> Owner:
    """The driver cgroupfs names a container by its id alone."""
    if above == "docker" or files.json(_DOCKER_CONFIG.format(found)):
        return _docker(found, path, files)
    return _cri(CONTAINERD, found, path, _task_annotations(found, (above, "k8s.io"), files), files)


def _docker(found: str, path: str, files: Files) -> Owner:
    if _POD.search(path):
        return _cri(DOCKER, found, path, {}, files)
    name = _text(files.json(_DOCKER_CONFIG.format(found)), "Name").lstrip("/")
    return Owner(DOCKER, name or found[:12], found)


def _cri(engine: str, found: str, path: str, notes: Dict[str, Any], files: Files) -> Owner:
    """A container of a pod, or one that has nothing to do with Kubernetes."""
    pod = _POD.search(path)
    uid = pod.group(1) if pod else _text(notes, "io.kubernetes.cri.sandbox-uid")
    if pod or _pod_name(notes):
        return _pod(uid or found, notes, found, files)
    return Owner(engine, _text(notes, "nerdctl/name") or found[:12], found)


def _pod(uid: str, notes: Dict[str, Any], container_id: Optional[str], files: Files) -> Owner:
    """Annotations of the container have the names, else the files of kubelet, which are the same for every engine."""
    uid = uid.replace("_", "-")
    container = _text(notes, "io.kubernetes.cri.container-name") or _text(notes, "io.kubernetes.container.name")
    name = _pod_name(notes)
    for log in files.names("/var/log/containers") if not name else ():
        if container_id and log.endswith(f"-{container_id}.log"):
            pod, _dash, rest = log[: -len(container_id) - 5].partition("_")
            namespace, _dash, container = rest.partition("_")
            name = f"{namespace}/{pod}"
    for directory in files.names("/var/log/pods") if not name else ():
        if directory.endswith(f"_{uid}"):
            name = directory[: -len(uid) - 1].replace("_", "/", 1)
    return Owner(POD, name or uid, uid, container if container not in ("", "POD") else None)


def _pod_name(notes: Dict[str, Any]) -> str:
    for name, namespace in (
        ("io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace"),
        ("io.kubernetes.pod.name", "io.kubernetes.pod.namespace"),
    ):
        if _text(notes, name):
            return f"{_text(notes, namespace)}/{_text(notes, name)}"
    return ""


def _task_of_containerd(name: str, namespace: str, files: Files) -> Optional[Owner]:
    """ctr lets people choose the id: only a task that exists is one."""
    for state in _CONTAINERD_STATE:
        if files.json(_TASK.format(state, namespace, name)):
            return Owner(CONTAINERD, name, name)
    return None


def _task_annotations(found: str, namespaces: Tuple[str, ...], files: Files) -> Dict[str, Any]:
    for namespace in namespaces:
        for state in _CONTAINERD_STATE if _NAME.fullmatch(namespace) else ():
            notes = _annotations(_TASK.format(state, namespace, found), files)
            if notes:
                return notes
    return {}


def _annotations(path: str, files: Files) -> Dict[str, Any]:
    config = files.json(path)
    notes = config.get("annotations") if isinstance(config, dict) else None
    return notes if isinstance(notes, dict) else {}


def _name_of_podman(found: str, path: str, files: Files) -> str:
    for storage in _storages(path):
        for directory in files.names(storage):
            for file in _LISTS if directory.endswith("-containers") else ():  # overlay-containers, vfs-containers
                name = _name_in_storage(files.json(f"{storage}/{directory}/{file}"), found)
                if name:
                    return name
    return ""


def _storages(path: str) -> Iterator[str]:
    user = _USER_MANAGER.search(path)
    if user is None:
        yield _STORAGE
        return
    try:
        yield os.path.join(pwd.getpwuid(int(user.group(1))).pw_dir, _STORAGE_OF_USER)
    except (KeyError, OverflowError):
        return


def _name_in_storage(containers: object, found: str) -> str:
    for one in containers if isinstance(containers, list) else ():
        if isinstance(one, dict) and one.get("id") == found:
            names = one.get("names")
            return str(names[0]) if isinstance(names, list) and names else ""
    return ""


def _unit(path: str, _files: Files) -> Optional[Owner]:
    """The outermost, or of those of a user the one below the user's manager."""
    units = [part for part in path.split("/") if _UNIT.fullmatch(part)]
    below = [part for part in units if not _USER_MANAGER.fullmatch(part)]
    name = (below or units or [""])[0]
    return Owner(UNIT, _unescape(name), name) if name else None


def _unescape(name: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), name)


def _text(source: object, name: str) -> str:
    value = source.get(name) if isinstance(source, dict) else None
    return value if isinstance(value, str) else ""
