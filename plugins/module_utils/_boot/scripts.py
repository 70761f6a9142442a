# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of sysctl that are plainly visible in what runs during the boot: of ifup, NetworkManager, cloud-init, rc.local.

Plainly visible is a name and a value on a line of its own; of a variable it is known that the key is set. Conditions
around it are not understood.
"""

import glob
import os
import re
import stat
from typing import Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import files
from .lines import Entry, to_path

Lines = Iterator[Tuple[int, List[str]]]

_UP = re.compile(r"\s*(?:pre-up|up|post-up)\s+(.*)")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"';&|<>()])+|[;&|<>()]+""")
_FLOW_WORD = re.compile(r""""[^"]*"|'[^']*'|[^\s,\[\]"']+""")
_QUOTES = re.compile(r"""["']""")
_TOP_LEVEL = re.compile(r"([\w-]+)\s*:")
# What may stand before a command and does not change what it does.
_PREFIXES = ("sudo", "exec", "command", "env", "if", "then", "else", "do", "!", "{")


class Call(NamedTuple):
    """A call of sysctl. entries: what it sets itself, None for what a variable holds. loads: the files that it reads.

    loads_all: --system.
    """

    entries: List[Entry]
    loads: List[str]
    loads_all: bool


class Source(NamedTuple):
    """Where somebody keeps commands. paths: patterns. is_script: it must be executable, as for run-parts."""

    name: str
    paths: Sequence[str]
    lines: Callable[[str], Lines]
    is_script: bool


def find_calls(root: str, sources: Iterable[Source]) -> Iterator[Tuple[str, Call]]:
    """Who calls it, and how, in order."""
    for source in sources:
        for pattern in source.paths:
            for real in sorted(glob.glob(files.below(root, pattern))):
                path = "/" + os.path.relpath(real, root)
                if source.is_script and not _is_executable(real):
                    continue
                text = files.read_text(real)
                if "sysctl" in text:
                    for number, words in source.lines(text):
                        call = _read_call(words, path, number)
                        if call is not None:
                            yield source.name, call


def _is_executable(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IXUSR)
    except OSError:  # a link that leads nowhere
        return False


def _script_lines(text: str) -> Lines:
    for number, line in enumerate(text.split("\n"), 1):
        yield from ((number, words) for words in _commands(line))


def _ifup_lines(text: str) -> Lines:
    for number, line in enumerate(text.split("\n"), 1):
        match = _UP.match(line)
        if match:
            yield from ((number, words) for words in _commands(match.group(1)))


def _cloud_lines(section: str) -> Callable[[str], Lines]:
    """The commands of one list of a cloud-config, each on a line of its own."""

    def lines(text: str) -> Lines:
        is_inside = False
        for number, line in enumerate(text.split("\n"), 1):
            top = _TOP_LEVEL.match(line)
            if top:
                is_inside = top.group(1) == section
                line = line[top.end() :]
            if is_inside:
                yield from ((number, words) for words in _item_commands(line.strip()))

    return lines


def _once_lines(text: str) -> Lines:
    return _script_lines(text) if text.startswith("#!") else _cloud_lines("runcmd")(text)


_CLOUD_CONFIG = (
    "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d/*.cfg",
    "/var/lib/cloud/instance/user-data.txt",
    "/var/lib/cloud/instance/cloud-config.txt",
)
EACH_BOOT = (
    Source("ifup", ("/etc/network/interfaces", "/etc/network/interfaces.d/*"), _ifup_lines, False),
    Source("ifup", ("/etc/network/if-pre-up.d/*", "/etc/network/if-up.d/*"), _script_lines, True),
    Source(
        "NetworkManager",
        (
            "/etc/NetworkManager/dispatcher.d/pre-up.d/*",
            "/etc/NetworkManager/dispatcher.d/*",
            "/usr/lib/NetworkManager/dispatcher.d/*",
        ),
        _script_lines,
        True,
    ),
    Source("cloud-init", _CLOUD_CONFIG, _cloud_lines("bootcmd"), False),
)
# After tuned has started.
LATE = (
    Source("rc.local", ("/etc/rc.local", "/etc/rc.d/rc.local"), _script_lines, True),
    Source("cloud-init", ("/var/lib/cloud/scripts/per-boot/*",), _script_lines, True),
)
# What cloud-init does once, when an instance is new.
FIRST_BOOT = (Source("cloud-init", _CLOUD_CONFIG, _once_lines, False),)


def _item_commands(line: str) -> List[List[str]]:
    """The commands of an item of a list in YAML: a line for the shell, or a list of words."""
    item = line[1:].strip() if line.startswith("-") else line
    if item.startswith("["):
        words = [_unquoted(word) for word in _FLOW_WORD.findall(item)]
        return [words] + [command for word in words if " " in word for command in _commands(word)]
    if item[:1] in ('"', "'") and item[-1:] == item[0]:
        item = item[1:-1]
    return _commands(item)


def _commands(line: str) -> List[List[str]]:
    """The commands of a line for the shell, each as its words without quotes."""
    commands: List[List[str]] = [[]]
    for word in _WORD.findall(line):
        if word.startswith("#"):
            break
        if word[0] in ";&|()<>":
            commands.append([])
        else:
            commands[-1].append(_unquoted(word))
    return commands


def _unquoted(word: str) -> str:
    return _QUOTES.sub("", word)


def _read_call(words: Sequence[str], path: str, line: int) -> Optional[Call]:
    names = [os.path.basename(word) for word in words]
    if "sysctl" not in names:
        return None
    start = names.index("sysctl")
    if not all(word in _PREFIXES or "=" in word for word in names[:start]):
        return None
    options = [word for word in words[start + 1 :] if word.startswith("-")]
    others = [word for word in words[start + 1 :] if not word.startswith("-")]
    pairs = [word.partition("=") for word in others if "=" in word]
    entries = [Entry(to_path(name.strip()), _known(value), False, path, line) for name, _equals, value in pairs]
    loads = [option.partition("=")[2] for option in options if option.startswith("--load=")]
    if any(option == "--load" or re.match(r"-[a-z]*p\Z", option) for option in options):
        loads += [word for word in others if _known(word)] if others else ["/etc/sysctl.conf"]
        entries = []
    return Call(entries, loads, "--system" in options)


def _known(word: str) -> Optional[str]:
    """None where the shell, or a template of cloud-init, puts in what is not known here."""
    return None if set("$`{") & set(word) else word.strip()
