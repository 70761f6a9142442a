# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running values of other network namespaces, set from outside on the real kernel: all or none, and rolled back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import (
    durable_file,
    namespace_journal,
    namespace_transaction,
    running,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.lock import (
    LockedError,
    lock_kernel,
    lock_state,
)
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.namespace_run import run
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import namespaces, sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.namespaces import Namespace
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._usage.run import run as observe_host
from ansible_collections.netops.ephemeral_ports.plugins.modules import namespace_sysctls, port_usage_info

from .inside import in_child, private
from .options import defaults_of

RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
REUSE, START = "net.ipv4.tcp_tw_reuse", "net.ipv4.ip_unprivileged_port_start"
KEYS = (RANGE, RESERVED, REUSE, START)
PLAIN = {RANGE: "32768 60999", RESERVED: "", REUSE: "2", START: "1024"}
WANTED = {RESERVED: "15432", RANGE: "10240 65535", REUSE: "1"}
STATE = Path("/var/lib/netops.ephemeral_ports/state")
JOURNAL = STATE / namespace_journal.NAME

DEFAULTS, USAGE_DEFAULTS = defaults_of(namespace_sysctls), defaults_of(port_usage_info)

Result = dict[str, Any]


class Neighbour:
    """A network namespace with a process in it, which waits to be ended."""

    def __init__(self, *options: str) -> None:
        command = ["unshare", "--net", *options, "cat"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("ready", file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "ready\n"
        self.inode = Path(f"/proc/{self.process.pid}/ns/net").stat().st_ino

    @property
    def name(self) -> str:
        return str(self.inode)

    @property
    def title(self) -> str:
        return f"network namespace {self.inode} of cat, pid {self.process.pid}"

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        with namespaces.inside(Namespace(self.inode, None, self.process.pid)):
            yield

    def values(self) -> dict[str, str]:
        with self.inside():
            return {key: sysctl.with_blanks(sysctl.read(key) or "") for key in KEYS}

    def put(self, key: str, value: str) -> None:
        with self.inside():
            running.write_values({key: value})


@contextlib.contextmanager
def neighbours(number: int, *options: str) -> Iterator[list[Neighbour]]:
    found = [Neighbour(*options) for _each in range(number)]
    try:
        yield found
    finally:
        for one in found:
            one.end()


def present(*those: Neighbour, check: bool = False, values: dict[str, str] | None = None, **options: Any) -> Result:
    settings = WANTED if values is None else values
    wanted = [{"name": one.name, "settings": settings} for one in those]
    return run({**DEFAULTS, "state_dir": str(STATE), "namespaces": wanted, **options}, check)


def absent(check: bool = False, **options: Any) -> Result:
    return run({**DEFAULTS, "state_dir": str(STATE), "state": "absent", **options}, check)


def observe(*names: str) -> Result:
    options = {"detail": "full", "namespaces": list(names or ["own"]), "state_dir": str(STATE)}
    return observe_host({**USAGE_DEFAULTS, **options}, False)


def statuses(result: Result) -> dict[int, str]:
    return {one["namespace"]["inode"]: one["status"] for one in result["namespaces"]}


def of_keys(result: Result) -> dict[str, str]:
    (one,) = result["namespaces"]
    return {setting["key"]: setting["status"] for setting in one["settings"]}


def own() -> dict[str, str]:
    return {key: sysctl.with_blanks(sysctl.read(key) or "") for key in KEYS}


@private
def test_set_once_then_unchanged_then_rolled_back() -> None:
    home = own()
    with neighbours(3) as (web, shop, other):
        result = present(web, shop)
        assert (result["changed"], statuses(result)) == (True, {web.inode: "changed", shop.inode: "changed"})
        assert web.values() == shop.values() == {**PLAIN, **WANTED}
        assert (other.values(), own()) == (PLAIN, home)

        before = JOURNAL.stat()
        again = present(web, shop)
        assert (again["changed"], set(statuses(again).values())) == (False, {"unchanged"})
        assert JOURNAL.stat() == before

        back = absent()
        assert (back["changed"], statuses(back)) == (True, {web.inode: "rolled_back", shop.inode: "rolled_back"})
        assert {setting["status"] for one in back["namespaces"] for setting in one["settings"]} == {"restored"}
        assert (web.values(), shop.values()) == (PLAIN, PLAIN)
        assert not STATE.exists()
        assert absent() == {**back, "changed": False, "namespaces": [], "diff": []}


@private
def test_check_mode_says_exactly_what_a_run_does() -> None:
    with neighbours(2) as (web, shop):
        predicted = present(web, shop, check=True)
        assert (web.values(), STATE.exists()) == (PLAIN, False)
        assert present(web, shop) == predicted
        assert f"{RANGE} = 10240 65535\n" in predicted["diff"][0]["after"]
        assert predicted["diff"][0]["before_header"].startswith("running kernel, ")
        predicted = absent(check=True)
        assert web.values() == {**PLAIN, **WANTED}
        assert absent() == predicted


@private
def test_one_that_is_no_longer_named_is_rolled_back_and_so_is_a_key() -> None:
    with neighbours(2) as (web, shop):
        present(web, shop)
        result = present(shop, values={REUSE: "1"})
        assert statuses(result) == {web.inode: "rolled_back", shop.inode: "changed"}
        assert (web.values(), shop.values()) == (PLAIN, {**PLAIN, REUSE: "1"})


@private
def test_keys_alone_are_rolled_back() -> None:
    with neighbours(1) as (web,):
        present(web)
        assert of_keys(absent(keys=[REUSE])) == {REUSE: "restored"}
        assert web.values() == {**PLAIN, **WANTED, REUSE: "2"}
        absent()
        assert web.values() == PLAIN


@private
def test_what_somebody_else_has_set_since_is_kept() -> None:
    with neighbours(1) as (web,):
        present(web)
        web.put(REUSE, "0")
        web.put(RESERVED, "15432,30000")
        assert of_keys(absent()) == {RANGE: "restored", RESERVED: "restored", REUSE: "kept"}
        assert web.values() == {**PLAIN, REUSE: "0", RESERVED: "30000"}
        assert not STATE.exists()


@private
def test_what_the_kernel_refuses_to_roll_back_is_kept_and_holds_up_no_other() -> None:
    with neighbours(2) as (web, shop):
        web.put(RANGE, "1024 60999")
        present(web, shop)
        web.put(START, "10240")
        result = absent()
        (warning,) = result["warnings"]
        assert warning.startswith(f"{web.title}: {RANGE} is kept, because the kernel refuses 1024\t60999")
        assert warning.endswith(f": it begins below {START}, which is 10240")
        assert web.values() == {**PLAIN, RANGE: "10240 65535", START: "10240"}
        assert shop.values() == PLAIN
        web.put(START, "1024")
        assert absent()["changed"]
        assert web.values() == {**PLAIN, RANGE: "1024 60999"}


@private
def test_one_that_is_gone_needs_nothing() -> None:
    with neighbours(2) as (web, shop):
        present(web, shop)
        web.end()
        result = absent()
        assert statuses(result) == {shop.inode: "rolled_back", web.inode: "gone"}
        assert shop.values() == PLAIN
        assert not STATE.exists()


@private
def test_another_with_the_inode_of_one_that_is_gone_is_not_rolled_back() -> None:
    """Inodes are given anew at once, as when a container is started anew."""
    with neighbours(1) as (web,):
        present(web)
        entry = json.loads(JOURNAL.read_text())
        assert entry["namespaces"][0]["namespace"]["cookie"] is not None
        entry["namespaces"][0]["namespace"]["cookie"] += 1
        JOURNAL.write_text(json.dumps(entry))
        assert statuses(absent()) == {web.inode: "gone"}
        assert web.values() == {**PLAIN, **WANTED}


@private
def test_after_a_boot_none_of_them_is_there_any_more() -> None:
    with neighbours(1) as (web,):
        present(web)
        JOURNAL.write_text(JOURNAL.read_text().replace(namespace_journal.boot_id(), "an earlier one"))
        result = present(web)
        assert [one["status"] for one in result["namespaces"]] == ["unchanged", "gone"]
        assert not JOURNAL.exists()


@private
def test_one_that_was_observed_and_ended_since() -> None:
    with neighbours(2) as (web, shop):
        with shop.inside():
            cookie = namespaces.cookie()
        wanted = [
            {"inode": web.inode, "cookie": 1 << 40, "settings": WANTED},  # its inode is that of another one now
            {"inode": shop.inode, "cookie": cookie, "settings": WANTED},
            {"inode": 1, "cookie": 5, "settings": WANTED},
        ]
        result = present(namespaces=wanted)
        assert statuses(result) == {web.inode: "gone", shop.inode: "changed", 1: "gone"}
        assert (web.values(), shop.values()) == (PLAIN, {**PLAIN, **WANTED})


@private
def test_one_that_ends_while_it_is_set() -> None:
    """It is held open until it is set."""
    write = namespace_transaction.write_values
    with neighbours(2) as (web, shop), pytest.MonkeyPatch.context() as patch:

        def end_first(values: dict[str, str]) -> None:
            web.end()
            write(values)

        patch.setattr(namespace_transaction, "write_values", end_first)
        result = present(web, shop)
        assert statuses(result) == {web.inode: "changed", shop.inode: "changed"}
        assert shop.values() == {**PLAIN, **WANTED}
        patch.undo()
        assert statuses(absent()) == {shop.inode: "rolled_back", web.inode: "gone"}


def fails_in(one: Neighbour, function: Callable[..., None]) -> Callable[..., None]:
    """Only the first time."""
    left = [True]

    def fail(values: dict[str, str]) -> None:
        if namespaces.own_inode() == one.inode and left:
            left.clear()
            raise running.KernelError(REUSE, 22, "the kernel refused it")
        function(values)

    return fail


@private
def test_all_or_none() -> None:
    with neighbours(3) as (web, shop, other):
        last = max((web, shop, other), key=lambda one: one.inode)
        for name in ("write_values", "verify"):
            with pytest.MonkeyPatch.context() as patch:
                step = fails_in(last, getattr(namespace_transaction, name))
                patch.setattr(namespace_transaction, name, step)
                with pytest.raises(ApplyError) as error:
                    present(web, shop, other)
            expected = f"{last.title}: the kernel refused it; everything is as it was before"
            assert str(error.value) == expected
            assert [one.values() for one in (web, shop, other)] == [PLAIN] * 3
            assert not STATE.exists()


@private
def test_a_rollback_is_not_held_up_by_a_value_that_is_refused_after_all() -> None:
    with neighbours(2) as (web, shop):
        present(web, shop)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(namespace_transaction, "write_values", fails_in(web, namespace_transaction.write_values))
            result = absent()
        assert "tcp_tw_reuse is kept" in result["warnings"][0]
        assert web.values() == {**PLAIN, REUSE: "1"}
        assert shop.values() == PLAIN


def kill_at(step: str, action: Callable[[], object], which: int = 0) -> None:
    """Run an action in a process that is killed at that call of a step of the transaction."""

    def body() -> None:
        calls: list[int] = []
        whole = getattr(namespace_transaction, step)

        def killed(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) > which:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*arguments)

        pytest.MonkeyPatch().setattr(namespace_transaction, step, killed)
        action()

    assert in_child(body)[0] == -signal.SIGKILL


@private
@pytest.mark.parametrize(("step", "which"), [("write_values", 0), ("write_values", 1), ("verify", 0), ("verify", 1)])
def test_a_killed_run_is_rolled_back_by_the_next(step: str, which: int) -> None:
    with neighbours(2) as (web, shop):
        kill_at(step, lambda: present(web, shop), which)
        assert JOURNAL.exists()
        predicted = absent(check=True)
        result = absent()
        assert result == predicted
        assert (result["recovered"], result["changed"]) == (True, True)
        assert (web.values(), shop.values(), STATE.exists()) == (PLAIN, PLAIN, False)

        present(web, shop)
        kill_at(step, lambda: present(web, shop, values={REUSE: "0"}), which)
        result = present(web, shop)
        assert (result["recovered"], set(statuses(result).values())) == (True, {"unchanged"})
        assert web.values() == shop.values() == {**PLAIN, **WANTED}
        kill_at(step, absent, which)
        absent()
        assert (web.values(), shop.values(), STATE.exists()) == (PLAIN, PLAIN, False)


@private
def test_a_full_disk_refuses_an_apply_and_holds_up_no_rollback() -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device", str(JOURNAL))

    with neighbours(1) as (web,):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(durable_file, "write", full)
            with pytest.raises(ApplyError, match="No space left on device; everything is as it was before"):
                present(web)
        assert web.values() == PLAIN
        present(web)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(durable_file, "write", full)
            absent()
        assert (web.values(), STATE.exists()) == (PLAIN, False)


@private
def test_two_runs_at_once_wait_for_each_other() -> None:
    with neighbours(1) as (web,):
        with lock_state(str(STATE), 0, check=False), pytest.raises(LockedError):
            present(web, lock_timeout=0)
        with web.inside():
            lock = contextlib.ExitStack()
            lock.enter_context(lock_kernel(0, sysctl.PROC_SYS))
        with lock, pytest.raises(LockedError):
            present(web, lock_timeout=0, state_dir=f"{STATE}-2")
        assert web.values() == PLAIN


def wish(**one: Any) -> dict[str, Any]:
    return {"namespaces": [one]}


@private
def test_bad_input_is_refused_by_name_and_nothing_is_set() -> None:
    with neighbours(2) as (web, shop):
        title, name = web.title, web.name
        for options, words in (
            (wish(name="web9", settings=WANTED), "this host has no network namespace 'web9'; it has"),
            (wish(name="own", settings=WANTED), "own is the one of this host"),
            (wish(settings=WANTED), "either a name or an inode"),
            (wish(name=name, settings={"net.ipv4.ip_forward": "1"}), "net.ipv4.ip_forward is not"),
            (wish(name=name, settings={"kernel.core_pattern": "|/x"}), "kernel.core_pattern is not"),
            (wish(name=name, settings={REUSE: True}), "True is neither numbers nor"),
            (wish(name=name, settings={REUSE: "1\n"}), "is neither numbers nor"),
            (wish(name=name, settings={REUSE: "7"}), f"{title}: {REUSE} = 7: the kernel refuses"),
            ({"namespaces": [{"name": name}, {"inode": web.inode}]}, f"{title} is named twice"),
            ({"keys": [REUSE]}, "keys go with state: absent"),
            ({"state": "absent", "keys": ["net.ipv4.no_such_key"]}, "no_such_key is not set in other"),
            ({"state": "absent", "namespaces": [{"name": "web"}]}, "namespaces go with state: present"),
            ({"lock_timeout": -1}, "lock_timeout must not be negative"),
        ):
            with pytest.raises(OptionError) as error:
                present(shop, **options)
            assert words in str(error.value)
        with pytest.raises(OptionError, match="it has no such key"):
            present(web, values={"net.ipv4.tcp_tw_recycle": "0"})
        assert (web.values(), shop.values()) == (PLAIN, PLAIN)


@private
def test_a_journal_that_is_none_is_named_and_not_guessed() -> None:
    with neighbours(1) as (web,):
        present(web)
        for text in (
            "",
            "{}",
            JOURNAL.read_text().replace('"1"', '["1"]'),
            JOURNAL.read_text().replace("inode", "node"),
        ):
            JOURNAL.write_text(text)
            with pytest.raises(Exception, match="is not a journal of this collection"):
                absent()
            assert observe()["namespaces_set"] == 0
        JOURNAL.chmod(0o666)
        with pytest.raises(Exception, match="it is not safe from others"):
            absent()


@private
def test_one_of_another_users_user_namespace() -> None:
    """As rootless podman makes them."""
    with neighbours(1, "--user", "--map-root-user") as (web,):
        present(web)
        assert web.values() == {**PLAIN, **WANTED}
        absent()
        assert web.values() == PLAIN


@private
def test_one_whose_own_proc_sys_is_read_only() -> None:
    """As unprivileged containers have it."""
    script = "mount --bind -o ro /proc/sys /proc/sys && ! echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse && exec cat"
    with neighbours(1, "--mount", "sh", "-c", f"({script}) 2> /dev/null") as (web,):
        present(web)
        assert web.values() == {**PLAIN, **WANTED}


@private
def test_what_is_observed_names_what_was_set() -> None:
    """So that a plan can tell ours from what somebody else has set, also after a run that was killed."""

    with neighbours(2) as (web, shop):

        def observed() -> list[Any]:
            usage = observe(web.name, shop.name)
            journals = {one["namespace"]["inode"]: one["journal"] for one in usage["namespaces"]}
            return [usage["namespaces_set"], journals.pop(web.inode), journals.pop(shop.inode)]

        assert observed() == [0, None, None]
        present(web, asked_ports="15432")
        keys = {
            RESERVED: {"before": "", "applied": "15432"},
            RANGE: {"before": "32768\t60999", "applied": "10240 65535"},
            REUSE: {"before": "2", "applied": "1"},
        }
        assert observed() == [1, {"path": None, "applied": keys, "asked": "15432"}, None]
        kill_at("verify", lambda: present(web, values={REUSE: "0"}))
        _number, journal, _none = observed()
        assert journal["applied"][REUSE] == {"before": "2", "applied": "0"}
        assert journal["applied"][RANGE]["before"] == "32768\t60999"
