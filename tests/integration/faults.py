# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail every system call of the transaction in turn, and kill the process before and after each.

Each run of the transaction is a process of its own in private namespaces. Of a first run strace records the system
calls. Then, for each call that changes something or that a change depends on (opening and reading), the same run is
repeated from the same start with

- the call failing once, with each of several errors that fit it,
- the call failing, and every later one of its kind: a disk that is full or has become read-only stays so,
- SIGKILL as a call begins that changes something, before anything is done, and once after the last of them. In between
  nothing would differ: a process that is killed leaves what it has changed, and no more.

After each, file, running values, journal and everything else in their directories must be all old or all new (after
a SIGKILL, or a failure that cannot be rolled back: once another run has come by), no temporary file may be left, one
more normal run must bring about what was asked, and a rollback the original state. These two are run once for all
faults that have left the same.

Not covered: power cuts (what the disk loses without fsync; that fsync is called, and where, shows in the calls that are
failed here), two faults in one run (but runs that clean up after a fault are scenarios of their own), and an
SELinux context, which a file in memory does not have here.

usage: python -m tests.integration.faults SCENARIO WORKER WORKERS

prints how many faults there were, and what went wrong. It is a program because a fork costs the more, the more its
process has imported.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import private_namespaces as namespaces

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import transaction
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError, Dropin
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import Journal, load_journal
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.lock import LOCK_NAME
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.sysctl_write import write_sysctl

from .seccomp import Disturbance, run_disturbed

DROPIN = Path("/etc/sysctl.d/99-zz-ephemeral-ports.conf")
ABOVE_STATE = Path("/var/lib/netops.ephemeral_ports")
STATE = ABOVE_STATE / "state"

RANGE = "net.ipv4.ip_local_port_range"
RESERVED = "net.ipv4.ip_local_reserved_ports"
START = "net.ipv4.ip_unprivileged_port_start"
REUSE = "net.ipv4.tcp_tw_reuse"
FIN = "net.ipv4.tcp_fin_timeout"
KEYS = (START, RANGE, RESERVED, REUSE, FIN)

CONTENT = f"{RESERVED} = 15432\n{RANGE} = 500 65535\n{START} = 400\n{REUSE} = 1\n"
OTHER = f"# less\n{RANGE} = 2000 65001\n{FIN} = 30\n"
LONG = f"{RESERVED} = {PortSet.of(range(20001, 21600, 2))}\n"
REFUSED_BY_KERNEL = f"{RANGE} = 3000 65001\n{FIN} = 30\nnet.ipv4.tcp_congestion_control = absent\n"

# Calls to fail, and the errors that fit. EINTR is no failure: Python has to call again.
ERRORS = {
    "openat": ("EIO",),
    "openat to write": ("EACCES", "ENOSPC", "EROFS", "EINTR"),
    "read": ("EIO",),
    "write": ("ENOSPC", "EIO", "EINTR"),
    "pwrite64": ("EIO", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EINTR"),
    "rename": ("EIO", "ENOSPC", "EROFS", "EACCES"),
    "unlink": ("EIO", "EROFS", "EACCES"),
    "fchmod": ("EIO", "EROFS", "EPERM"),
    "fchown": ("EIO", "EROFS", "EPERM"),
    "fsetxattr": ("EIO", "ENOSPC", "EPERM"),
    "mkdir": ("ENOSPC", "EROFS", "EACCES"),
    "rmdir": ("EIO", "EROFS", "EBUSY"),
    "flock": ("ENOLCK", "EINTR"),
    "close": ("EIO",),
}
STAYS = ("EROFS", "ENOSPC")
KILL = "SIGKILL"
# Those that leave something behind, in files or in the kernel's values.
CHANGING = {
    *("openat to write", "write", "pwrite64", "rename", "unlink", "fchmod", "fchown", "fsetxattr", "mkdir", "rmdir")
}

TIME_LIMIT_S = 300

# Exit codes of a run.
DONE, FAILED, NOT_ROLLED_BACK, SURPRISED = 0, 10, 11, 12

# A call as strace prints it, up to its path: what follows, or a descriptor's number, is not the same in every run. Nor
# is mmap, by which Python takes memory, now here and now there.
LINE = re.compile(
    r'\[ *(?P<known_as>\d+)] (?!mmap\()(?P<name>\w+)\((?:AT_FDCWD, )?(?:"(?P<text>[^"]*)")?(?P<writes>.*O_WRONLY)?'
)

Action = Callable[[], object]


def apply(content: str, trial: bool = False) -> Action:
    return lambda: change(lambda start: transaction.prepare_apply(start, content, trial))


def apply_on_trial(content: str) -> Action:
    return apply(content, trial=True)


def roll_back() -> None:
    change(lambda start: transaction.prepare_rollback(start, trial=False))


def roll_back_a_key() -> None:
    change(lambda start: transaction.prepare_rollback(start, trial=False, only=[REUSE]))


def end_trial() -> None:
    change(lambda start: transaction.prepare_rollback(start, trial=True))


def confirm() -> None:
    change(transaction.prepare_confirmation)


def change(prepare: Callable[[transaction.Start], transaction.Change]) -> None:
    with transaction.begin(dropin(), 5, check=False) as start:
        transaction.commit(start, prepare(start))


def break_off(action: Action) -> None:
    """Run an action in a process that is killed once everything is written and nothing committed."""
    pid = os.fork()
    if pid == 0:
        assert "verify" in vars(transaction)
        vars(transaction)["verify"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        os._exit(_exit_code(action))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def dropin() -> Dropin:
    return Dropin(str(DROPIN), str(STATE))


def foreign() -> None:
    """A file of somebody else's, behind a link."""
    real = DROPIN.with_name("real")
    real.write_text("# theirs\n")
    real.chmod(0o640)
    if len(Path("/proc/self/uid_map").read_text().split()) == 3 and os.geteuid() == 0:
        try:
            os.chown(real, 1234, 5678)
        except OSError:
            real.chmod(0o600)  # in a user namespace there is nobody else
    DROPIN.symlink_to("real")


class Scenario(NamedTuple):
    """before: brings about the start. run: what is disturbed. code: how it ends when it is not."""

    before: tuple[Action, ...]
    run: Action
    code: int = DONE


SCENARIOS = {
    "first apply": Scenario((), apply(CONTENT)),
    "other content, keys dropped": Scenario((apply(CONTENT),), apply(OTHER)),
    "over a foreign file behind a link": Scenario((foreign,), apply(CONTENT)),
    "long list of ports": Scenario((apply(f"{RESERVED} = 80\n"),), apply(LONG)),
    "value that the kernel refuses": Scenario((apply(CONTENT),), apply(REFUSED_BY_KERNEL), FAILED),
    "rollback": Scenario((apply(CONTENT), apply(OTHER)), roll_back),
    "rollback of one key": Scenario((apply(CONTENT),), roll_back_a_key),
    "rollback to a foreign file behind a link": Scenario((foreign, apply(CONTENT)), roll_back),
    "apply after a run that died": Scenario((apply(CONTENT), lambda: break_off(apply(OTHER))), apply(OTHER)),
    "rollback after a run that died": Scenario((foreign, lambda: break_off(apply(CONTENT))), roll_back),
    "apply on trial over an earlier one": Scenario((apply(CONTENT),), apply_on_trial(OTHER)),
    "end of a trial over an earlier apply": Scenario((apply(CONTENT), apply_on_trial(OTHER)), end_trial),
    "end of the first trial": Scenario((apply_on_trial(CONTENT),), end_trial),
    "confirmation": Scenario((apply_on_trial(CONTENT),), confirm),
    "rollback after a rollback that died": Scenario((apply(CONTENT), lambda: break_off(roll_back)), roll_back),
}


# State


class State(NamedTuple):
    """files: path to (content, mode, uid, gid), a link's target, or None for a directory; without state directory and
    lock, which harm nobody. journal: what it says, as its bytes may differ."""

    files: dict[str, object]
    values: dict[str, str]
    journal: Journal


def look() -> State:
    journal, lock = dropin().journal, str(STATE / LOCK_NAME)
    files = {str(path): _look_at(path) for path in _paths() if str(path) not in (journal, str(STATE), lock)}
    return State(files, {key: sysctl.read(key) or "" for key in KEYS}, load_journal(journal))


def _paths() -> list[Path]:
    return sorted([*DROPIN.parent.rglob("*"), *ABOVE_STATE.rglob("*")])


def _look_at(path: Path) -> object:
    if path.is_symlink():
        return str(path.readlink())
    status = path.stat()
    return (path.read_bytes(), status.st_mode, status.st_uid, status.st_gid) if path.is_file() else None


class Image(NamedTuple):
    """A start to come back to."""

    files: dict[str, object]
    values: dict[str, str]


def take_image() -> Image:
    return Image({str(path): _look_at(path) for path in _paths()}, {key: sysctl.read(key) or "" for key in KEYS})


def put_back(image: Image) -> None:
    for directory in (DROPIN.parent, ABOVE_STATE):
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, state in image.files.items():
        path = Path(name)
        if state is None:
            path.mkdir(mode=0o700)
        elif isinstance(state, str):
            path.symlink_to(state)
        else:
            content, mode, uid, gid = state
            path.write_bytes(content)
            os.chown(path, uid, gid)
            path.chmod(mode & 0o7777)
    write_sysctl(START, "0")
    for key in reversed(KEYS):
        write_sysctl(key, image.values[key])


# Faults


class Call(NamedTuple):
    """The number-th call of this name in a run.

    known_as: the kernel's number for the name. text: the path that it works on, empty for a descriptor. errors: what
    may go wrong with it; nothing with calls that change nothing, and on which no change depends. changes: whether it
    may leave something behind.
    """

    name: str
    number: int
    known_as: int
    text: str
    errors: tuple[str, ...]
    changes: bool


class Fault(NamedTuple):
    call: Call
    what: str  # an error, or KILL
    stays: bool = False

    def __str__(self) -> str:
        what = f"{self.what} from then on" if self.stays else self.what
        return f"{what} at {self.call.name} {self.call.number} ({self.call.text})"


def faults_of(calls: list[Call]) -> Iterator[Fault]:
    for call in calls[:-1]:
        for error in call.errors:
            yield Fault(call, error)
            if error in STAYS:
                yield Fault(call, error, stays=True)
    last = max(number for number, call in enumerate(calls) if call.changes)
    for call in (*filter(lambda call: call.changes, calls), calls[last + 1]):
        yield Fault(call, KILL)


def traced(action: Action) -> tuple[int, list[Call]]:
    """Run an action under strace: its exit code, and its calls that have to do with files."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    pid = os.fork()
    if pid == 0:
        gc.disable()  # it would close files of the test run's garbage, in some runs and not in others
        signal.sigwait([signal.SIGUSR1])  # waiting is no system call of those that are traced
        os._exit(_exit_code(action))
    with tempfile.TemporaryFile("w+") as log:
        to_log = ("-n", "-s", "64", "-o", f"/proc/self/fd/{log.fileno()}")
        strace = subprocess.Popen(
            ["strace", "-p", str(pid), "-e", "trace=%file,%desc,exit_group", "-e", "signal=none", *to_log],
            pass_fds=[log.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert strace.stderr is not None
        attached = strace.stderr.readline()
        os.kill(pid, signal.SIGUSR1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        strace.communicate()
        assert "attached" in attached, attached
        log.seek(0)
        return code, _calls(log.read())


def _exit_code(action: Action) -> int:
    try:
        action()
    except (ApplyError, OSError) as error:
        return NOT_ROLLED_BACK if "could not be rolled back" in str(error) else FAILED
    except BaseException:  # noqa: BLE001, RUF100 - whatever it is, it should not be
        return SURPRISED
    return DONE


def _calls(log: str) -> list[Call]:
    counts: Counter[str] = Counter()
    calls = []
    for match in map(LINE.match, log.splitlines()):
        if match:
            name, what = match["name"], f"{match['name']} to write" if match["writes"] else match["name"]
            counts[name] += 1
            known_as, text = int(match["known_as"]), match["text"] or ""
            calls.append(Call(name, counts[name], known_as, text, ERRORS.get(what, ()), what in CHANGING))
    return calls


def injected(fault: Fault, action: Action) -> int:
    """Run an action with a fault: its exit code (negative: signal)."""
    call, error = fault.call, None if fault.what == KILL else getattr(errno, fault.what)
    code, texts = run_disturbed(lambda: _exit_code(action), Disturbance(call.known_as, call.number, error, fault.stays))
    assert texts is not None, f"{fault} was not injected"
    assert not call.text or call.text in texts, f"{fault} was injected into a call with {texts}"
    return code


# The test


def check(scenario: Scenario, worker: int, workers: int) -> tuple[int, list[str]]:
    """Inject the faults of a scenario that fall to this worker: how many there were, and what went wrong."""
    rehearsal = rehearse(scenario)
    met: dict[str, tuple[State, list[str]]] = {}
    count, violations = 0, []
    for fault in list(faults_of(rehearsal.calls))[worker::workers]:
        put_back(rehearsal.image)
        code = injected(fault, scenario.run)
        count += 1
        left = repr(take_image())
        if left not in met:  # what follows depends on nothing else
            met[left] = look(), [*judge_what_follows(scenario, rehearsal)]
        state, following = met[left]
        violations += [f"{fault}: {words}" for words in (*judge(scenario, fault, code, state, rehearsal), *following)]
    return count, violations


class Rehearsal(NamedTuple):
    """An undisturbed run and the calls it makes.

    original: before the first apply. dead: at the start. old: there, once a dead run is rolled back. new: at the end.
    """

    original: State
    image: Image
    dead: State
    old: State
    new: State
    calls: list[Call]


def rehearse(scenario: Scenario) -> Rehearsal:
    steps = list(scenario.before)
    if foreign in steps:
        steps.remove(foreign)
        foreign()
    original = look()
    for step in steps:
        step()
    image, dead = take_image(), look()
    code, calls = traced(scenario.run)
    assert code == scenario.code
    new = look()
    put_back(image)
    with transaction.begin(dropin(), 5, check=False):
        pass  # recovers
    old = look()
    put_back(image)
    assert traced(scenario.run) == (code, calls), "two runs from the same start make different calls"
    return Rehearsal(original, image, dead, old, new, calls)


def judge(scenario: Scenario, fault: Fault, code: int, state: State, rehearsal: Rehearsal) -> Iterator[str]:
    """Everything that is not as it should be after a fault."""
    _original, _image, dead, old, new, _calls = rehearsal
    if (fault.what == KILL) != (code < 0) or code == SURPRISED:
        yield f"exit code {code}"
    if fault.what == "EINTR" and code != scenario.code:
        yield "an interrupted call was not repeated"
    if code == DONE and state != new:
        yield f"success was reported, but it is not done: {difference(state, new)}"
    if code == FAILED and state not in (dead, old, new):
        yield f"half done: {difference(state, old)}"
    if code == NOT_ROLLED_BACK and state.journal.pending is None and state != old:
        yield f"what could not be rolled back is forgotten: {difference(state, old)}"


def judge_what_follows(scenario: Scenario, rehearsal: Rehearsal) -> Iterator[str]:
    """Everything that is not as it should be after a further run, and a rollback."""
    original, _image, _dead, _old, new, _calls = rehearsal
    after = _exit_code(scenario.run)
    state = look()
    if after != scenario.code or state != new:
        yield f"the next run ends with {after}: {difference(state, new)}"
    after = _exit_code(roll_back)
    state = look()
    if after != DONE or state != original or STATE.exists():
        yield f"not rolled back: {difference(state, original)}"


def difference(state: State, expected: State) -> str:
    pairs = zip(State._fields, state, expected, strict=True)
    return "; ".join(f"{name} {is_!r:.300}, not {wanted!r:.300}" for name, is_, wanted in pairs if is_ != wanted)


if __name__ == "__main__":
    signal.alarm(TIME_LIMIT_S)
    name, worker, workers = sys.argv[1:]
    try:
        namespaces.prepare([], [])
    except namespaces.RefusedError as reason:
        sys.exit(str(reason))
    json.dump(check(SCENARIOS[name], int(worker), int(workers)), sys.stdout)
