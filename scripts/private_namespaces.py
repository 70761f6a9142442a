# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Become a command whose network, sysctl files and kernel settings are its own.

    python3 scripts/private_namespaces.py --sysctl net.ipv4.tcp_tw_reuse=0 -- sysctl --system

The command sees a network of its own with only lo (127.0.0.1 and the given addresses), the kernel's default net.*
settings, an empty /etc/sysctl.d and state directory, and a copy of /etc/sysctl.conf. Nothing that it does there reaches
the machine's, whatever is done to those meanwhile. No privilege is needed: an ordinary user is root inside, whose home
is the user's own. Root gets the same without a user namespace, and so can use machines that switch those off. The
script replaces itself by the command, so signals and the exit code are the command's, and nothing stays behind.
unshare(1) does a part of that: it makes no directory that is missing, and does not say why it may not.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import pwd
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

# What is private, by the directory that it lies in. A cover on the thing itself would go, in every mount namespace,
# when somebody outside removes or replaces what it lies on; nobody removes these two.
PRIVATE = {Path("/etc"): ("sysctl.d", "sysctl.conf"), Path("/var/lib"): ("netops.ephemeral_ports",)}
FILES = ("sysctl.conf",)
# Where sysctl(8) is, which ordinary users do not have on their path in Debian.
SYSTEM_PATH = ("/usr/sbin", "/sbin")

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, IFF_UP = 0x8913, 0x8914, 0x8916, 0x891C, 0x1

# How machines switch user namespaces off for ordinary users.
SWITCHES = (
    ("kernel.unprivileged_userns_clone", "0"),
    ("user.max_user_namespaces", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
)

libc = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """The machine does not let this user have the namespaces; says why and what to do."""


def check(status: int, what: str) -> None:
    """Turn the -1 of a C function into an OSError that says `what` was tried."""
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: Path | str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    arguments = (os.fsencode(text) for text in (source, target, kind))
    check(libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(options)), f"mount on {target}")


def enter() -> bool:
    """Move this process into new namespaces: without a user namespace if root, in one otherwise, which returns true.

    Root keeps its own user namespace because it could not write a checkout of another user from a new one.
    """
    spaces = CLONE_NEWNET | CLONE_NEWNS
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and libc.unshare(spaces) == 0:
        return False
    check(libc.unshare(spaces | CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny")  # without this, gid_map is refused
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    return True


def bring_home() -> None:
    """Root's home becomes that of the user, who is root inside: Ansible finds it by name, and writes there."""
    own, of_root = Path(os.environ.get("HOME", "")), Path(pwd.getpwuid(0).pw_dir)
    elsewhere = own.is_absolute() and of_root not in (own, *own.parents)
    if elsewhere and os.access(own, os.W_OK) and of_root.is_dir():
        mount(own, of_root, flags=MS_BIND | MS_REC)


def make_private(parent: Path, names: Sequence[str]) -> None:
    """Cover a directory by one in memory with the same in it, but for these: directories are empty, files copies."""
    below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    mount("tmpfs", parent, "tmpfs", 0, "mode=755")
    for hidden in Path(f"/proc/self/fd/{below}").iterdir():
        target = parent / hidden.name
        if hidden.name in names:
            if hidden.name in FILES and hidden.exists():
                target.write_bytes(hidden.read_bytes())
        elif hidden.is_symlink():
            target.symlink_to(hidden.readlink())
        else:
            show(hidden, target)
    os.close(below)
    for name in set(names) - set(FILES):
        (parent / name).mkdir()


def show(hidden: Path, target: Path) -> None:
    """What a cover hides, in its place; nothing where it has gone meanwhile."""
    make, remove = (Path.mkdir, Path.rmdir) if hidden.is_dir() else (Path.touch, Path.unlink)
    make(target)
    try:
        mount(hidden, target, flags=MS_BIND | MS_REC)
    except FileNotFoundError:
        remove(target)


def bring_up(addresses: Sequence[str]) -> None:
    """Switch lo on and give it the addresses, by ioctl because iproute2 may be missing."""

    def request(name: str, payload: bytes) -> bytes:
        return struct.pack("16s24s", name.encode(), payload)

    def address(text: str) -> bytes:
        return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request("lo", b"")), 16)[0]
        fcntl.ioctl(control, SIOCSIFFLAGS, request("lo", struct.pack("H", flags | IFF_UP)))
        for number, text in enumerate((one for one in addresses if ":" not in one), 1):
            fcntl.ioctl(control, SIOCSIFADDR, request(f"lo:{number}", address(text)))
            fcntl.ioctl(control, SIOCSIFNETMASK, request(f"lo:{number}", address("255.255.255.255")))
    for text in (one for one in addresses if ":" in one):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            wanted = struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, text), 128, socket.if_nametoindex("lo"))
            fcntl.ioctl(control, SIOCSIFADDR, wanted)  # struct in6_ifreq


def write_sysctl(assignment: str) -> None:
    key, _equals, value = assignment.partition("=")
    try:
        Path("/proc/sys", key.strip().replace(".", "/")).write_text(value.strip())
    except OSError as error:
        raise RefusedError(f"cannot set {assignment!r} in the private namespaces: {error.strerror}.") from error


def prepare(addresses: Sequence[str], sysctls: Sequence[str]) -> None:
    try:
        is_ordinary = enter()
        mount("none", "/", flags=MS_REC | MS_PRIVATE)
        if is_ordinary:
            bring_home()
        for parent, names in PRIVATE.items():
            make_private(parent, names)
        bring_up(addresses)
    except OSError as error:
        raise RefusedError(explain(error)) from error
    for assignment in sysctls:
        write_sysctl(assignment)


def explain(error: OSError) -> str:
    """One sentence for what happened, one for the likely cause, one for the way out."""
    what = f"cannot make private namespaces: {error.filename or 'set-up'}: {error.strerror}."
    if os.getuid() == 0:
        return f"{what} Root without CAP_SYS_ADMIN, as in most containers, may not; run it on the machine itself."
    found = [f"{key} = {value}" for key, value in SWITCHES if read_sysctl(key) == value]
    cause = "This machine (or its container) does not let an ordinary user have user namespaces."
    if found:
        cause = f"User namespaces are switched off for ordinary users here ({', '.join(found)})."
    return f"{what}\n{cause}\nRun the same command as root instead, for example: sudo make demo"


def read_sysctl(key: str) -> str | None:
    try:
        return Path("/proc/sys", key.replace(".", "/")).read_text().strip()
    except OSError:
        return None


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Run a command in private user, network and mount namespaces.")
    parser.add_argument("--address", action="append", help="address for lo [198.18.0.1]; may be repeated")
    parser.add_argument("--sysctl", action="append", default=[], metavar="KEY=VALUE", help="setting to start with")
    parser.add_argument("command", nargs="+", help="the command and its arguments, after --")
    options = parser.parse_args(arguments)
    try:
        prepare(options.address or ["198.18.0.1"], options.sysctl)
    except RefusedError as reason:
        sys.exit(f"private_namespaces: {reason}")
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(one for one in SYSTEM_PATH if one not in path)])
    try:
        os.execvp(options.command[0], options.command)
    except OSError as error:
        sys.exit(f"private_namespaces: {options.command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
