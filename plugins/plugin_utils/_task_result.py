# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task has failed, from all that its result says: one sentence, which hosts with the same cause share. Pure.

A module that crashed leaves an exit code, and its last words on stderr. Without pipelining, ssh gives the host a
terminal: all of its words are on stdout then, and stderr has what ssh says when it closes the connection.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible.module_utils import basic
from ansible.release import __version__

CORE = ".".join(__version__.split(".")[:2])
# What ansible-core itself needs on a host. In 2.16, which takes Python 3.6, this is no version yet.
OLDEST = ".".join(map(str, basic._PY_MIN)) if isinstance(basic._PY_MIN, tuple) else "3.6"
HINT = "set ansible_python_interpreter"
# Without pipelining, for which ansible-core makes a directory and copies into it.
_NO_ROOM = "set ansible_pipelining to true, or ansible_remote_tmp to another directory"
_BECOME = re.compile(r"(?:.*/)?(?:sudo|su|doas|dzdo|ksu|machinectl|pbrun|pfexec|pmrun|run0|sesu)\Z")
_NO_BECOME = "install it, or log in as root without become (ephemeral_ports_become=false)"
OUT_OF_SPACE = {
    "No space left on device": "no space left on the host",
    "Disk quota exceeded": "the disk quota of the user on the host is used up",
    "Read-only file system": "read-only on the host",
}

# What ansible-core says where a module printed no result: it only leads to what the module printed.
_LEADS = re.compile(r"See stdout/stderr|deserialization failed|\AMODULE FAILURE|\AThe module interpreter '")
# What ansible-core puts before each reason from 2.19 on.
_PREFIX = re.compile(r"\A(?:(?:Task|Action|Module) failed: )+(?=\S)")
_SSH = "Failed to connect to the host via ssh: "
# Where a play runs on the controller itself, what becomes root is a child of ansible-core.
_NO_STREAM = re.compile(r"Premature end of stream waiting for become success|privilege output closed while waiting")
# Lines of ssh about itself, and warnings of what starts a module: never the reason while there is another.
_NOISE = re.compile(
    r"(?:Shared c|C)onnection to .* closed|ControlSocket .* already exists|mux_client_|OpenSSH_|debug\d: "
    r"|Warning: Permanently added|Pseudo-terminal will not be allocated|\*\* (?:WARNING|This session|The server)"
    r"|Killed by signal 1\.|sudo: unable to resolve host|(?:\S*sh|perl): warning: "
)
# Names that are new with each run.
_TEMPORARY = re.compile(r"/ansible-tmp-[\d.-]+(?:/\S*?)?(?=['\"\u2019:\s]|\Z)")
_PAYLOAD = re.compile(r"(/\S*?)/ansible_\S*_payload_\w+")
_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)(?:: .*)?\Z")
_NOT_FOUND = re.compile(r"(?P<what>[^\s:]+): (?:command not found|not found|No such file or directory)\Z")
_NOT_RUN = re.compile(
    r"(?P<what>/[^\s:]+): (?:cannot execute[^:]*: )?(?P<why>Permission denied|Exec format error|Is a directory)\Z"
)
_SHIM = re.compile(r"(?P<name>pyenv|rbenv|asdf|mise)\b.*|No version is set for command \S+")
_PATH = re.compile(r"['\"\u2018](/[^'\"\u2019]+)['\"\u2019]|(?:\A|\s)(/[^\s:]+)")
_REMOTE_TMP = re.compile(r'mkdir -p "` echo (.*?) `"')
_STDOUT = re.compile(r", stdout output: (.*)", re.DOTALL)


def reason_given(result: Mapping[str, Any], interpreter: str | None = None) -> str:
    """interpreter: with which a module was run. stderr of the result: of what ansible-core ran before the module."""
    message = _PREFIX.sub("", _unix(result.get("msg")))
    printed = _unix(result.get("module_stderr")), _unix(result.get("module_stdout"))
    crashed = any(printed) or "module_stdout" in result
    if crashed and (not message or _LEADS.search(message)):
        named = re.match(r"The module interpreter '(.+?)'", message)
        return _of_a_crash(printed, result.get("rc"), interpreter or (named[1] if named else None))
    return _of_a_message(message, _unix(result.get("stderr")), interpreter) or "no reason given"


def reason_alone(text: str) -> str:
    """Of what a role says of its failure: the first paragraph. The others are the evidence."""
    return text.strip().partition("\n\n")[0]


def without_noise(printed: str) -> str:
    """Without what ssh says of itself."""
    return "".join(line for line in _unix(printed).splitlines(keepends=True) if not _NOISE.match(line))


class _Crash(NamedTuple):
    """lines: what was printed, without noise. who: was run."""

    lines: Sequence[str]
    code: int | None
    interpreter: str | None

    @property
    def who(self) -> str:
        return self.interpreter or "the interpreter"

    @property
    def named(self) -> str:
        """Interpreter and exit code, as far as they are known, to follow a reason."""
        code = None if self.code is None else f"exit code {self.code}"
        known = ", ".join(one for one in (self.interpreter, code) if one)
        return f" ({known})" if known else ""

    def found(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        return (match for match in map(pattern.search, self.lines) if match)


def _of_a_crash(printed: Sequence[str], code: object, interpreter: str | None) -> str:
    every = [line for text in printed for line in _lines(text)]
    lines = [line for line in every if not _NOISE.match(line)]
    if not lines and code == 255:
        lines = every  # ssh has failed itself
    crash = _Crash(lines, code if isinstance(code, int) else None, interpreter)
    return next(reason for reason in (rule(crash) for rule in _RULES) if reason)


def _no_space(crash: _Crash) -> str | None:
    return next((reason for line in crash.lines if (reason := _out_of_space(line))), None)


def _killed(crash: _Crash) -> str | None:
    number = (crash.code or 0) - 128 if (crash.code or 0) > 0 else -(crash.code or 0)
    try:
        name = signal.Signals(number).name
    except ValueError:
        return None
    why = ", probably for want of memory" if number == signal.SIGKILL else ""
    return f"{crash.who} was killed by signal {number} ({name}){why} (exit code {crash.code})"


def _shim(crash: _Crash) -> str | None:
    if crash.code not in (126, 127):
        return None
    said = next(crash.found(_SHIM), None)
    if said is None:
        return None
    return f"{crash.who} is a shim that leads to no Python ({said[0].strip()}): {HINT}"


def _not_found(crash: _Crash) -> str | None:
    if crash.code != 127:
        return None
    what = next((match["what"] for match in crash.found(_NOT_FOUND)), None)
    if what is None:
        return None
    if _BECOME.match(what):
        return f"{what} was not found on the host: {_NO_BECOME}"
    if crash.interpreter is None:
        return f"{what} was not found on the host"
    started_by = "" if what == crash.interpreter else f", which {crash.interpreter} starts,"
    return f"{what}{started_by} was not found on the host: {HINT}"


def _not_run(crash: _Crash) -> str | None:
    if crash.code != 126:
        return None
    match = next(crash.found(_NOT_RUN), None)
    return match and f"{match['what']} cannot be run ({match['why']}): {HINT}"


def _too_old(crash: _Crash) -> str | None:
    return _python_too_old(crash.interpreter) if any(line.startswith("SyntaxError") for line in crash.lines) else None


def _no_python(crash: _Crash) -> str | None:
    if not any("Syntax error: " in line or "syntax error near" in line for line in crash.lines):
        return None
    return f"{crash.who} is a shell, no Python: {HINT}"


def _does_not_start(crash: _Crash) -> str | None:
    if not any("No module named 'encodings'" in line for line in crash.lines):
        return None
    return f"{crash.who} does not start: it does not find its own modules (PYTHONHOME, or a broken installation)"


def _no_memory(crash: _Crash) -> str | None:
    short = any(line == "MemoryError" or "Cannot allocate memory" in line for line in crash.lines)
    return f"{crash.who} ran out of memory (exit code {crash.code})" if short else None


def _last_words(crash: _Crash) -> str | None:
    exceptions = [line for line in crash.lines if _EXCEPTION.match(line)]
    words = (exceptions or crash.lines)[-1:]
    if not words:
        return None
    lead = "no result was printed, but: " if crash.code == 0 else ""
    return f"{lead}{_lasting(words[0])}{crash.named}"


def _silence(crash: _Crash) -> str:
    return f"{crash.who} ended with exit code {crash.code} and said nothing"


# The first that has something to say.
_RULES: Sequence[Callable[[_Crash], str | None]] = (
    _no_space,
    _shim,
    _not_found,
    _not_run,
    _does_not_start,
    _too_old,
    _no_python,
    _no_memory,
    _killed,
    _last_words,
    _silence,
)


def _of_a_message(message: str, stderr: str, interpreter: str | None) -> str:
    """The message of a module is its own; those of ansible-core that need more words to say less are translated."""
    if re.match(r"(?:ansible-core|Ansible) requires (?:a minimum of )?Python", message):
        return _python_too_old(interpreter)
    if message.startswith("Failed to create temporary directory"):
        return _no_directory(message, stderr)
    if re.match(r"[Ff]ailed to transfer file to |mkdir: .*/ansible-tmp-", message):
        lines = [line for line in _lines(message)[1:] or [message] if not _NOISE.match(line)]
        full = next((reason for line in lines if (reason := _out_of_space(line))), None)
        if full:
            return f"{full}; {_NO_ROOM}"
        return f"the module could not be copied to the host: {_lasting((lines or [message])[-1])}"
    if _NO_STREAM.match(message):
        return _of_become([line for line in _lines(message)[1:] if not line.startswith(">>> ")]) or message
    if message.startswith(_SSH):
        lines = [line for line in _lines(message.removeprefix(_SSH)) if not _NOISE.match(line)]
        return f"{_SSH}{' '.join(lines)}" if lines else message
    return message


def _of_become(said: Sequence[str]) -> str | None:
    """From what was said before it ended."""
    found = (match["what"] for match in map(_NOT_FOUND.search, said) if match and _BECOME.match(match["what"]))
    what = next(found, None)
    if what:
        return f"{what} was not found on the host: {_NO_BECOME}"
    return f"become failed: {said[-1]}" if said else None


def _no_directory(message: str, stderr: str) -> str:
    """For temporary files. What mkdir says is not in the message."""
    command, said = _REMOTE_TMP.search(message), _STDOUT.search(message)
    path = command[1] if command else ""
    why = [line for line in [*_lines(stderr), *_lines(said[1] if said else "")] if not _NOISE.match(line)]
    for line in why:
        if full := _out_of_space(line):
            return f"{full}; {_NO_ROOM}"
    place = f" ({path})" if path and not any(line in path for line in why) else ""
    last = _lasting(why[-1]) if why else "is it writable?"
    way_out = f"; {_NO_ROOM}" if not why or "mkdir" in last else ""
    return f"no directory for temporary files on the host{place}: {last}{way_out}"


def _python_too_old(interpreter: str | None) -> str:
    of = f" ({interpreter})" if interpreter else ""
    return f"the Python of this host{of} is too old for ansible-core {CORE}, which needs {OLDEST}: {HINT}"


def _out_of_space(line: str) -> str | None:
    error = next((error for error in OUT_OF_SPACE if error in line), None)
    if error is None:
        return None
    path = _PATH.search(_lasting(line))
    where = (path[1] or path[2]) if path else "its directory for temporary files (TMPDIR, else /tmp)"
    return f"{OUT_OF_SPACE[error]}: {where}"


def _lasting(line: str) -> str:
    """Without what is another name in each run."""
    return _PAYLOAD.sub(r"\1", _TEMPORARY.sub("", line)).strip()


def _unix(text: object) -> str:
    """A terminal ends its lines in another way."""
    return str(text or "").replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
