# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction against the real kernel. Each test has its own /etc/sysctl.d, state directory and net.* settings."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import durable_file, transaction
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import journal_path, load_journal
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel import sysctl
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._kernel.ports import PortSet, parse_ports
from ansible_collections.netops.ephemeral_ports.plugins.modules import sysctl_dropin

from .inside import ROOT, in_child, namespaces, private

DROPIN = Path("/etc/sysctl.d/99-zz-ephemeral-ports.conf")
STATE = Path("/var/lib/netops.ephemeral_ports/state")
JOURNAL = Path(journal_path(str(STATE), str(DROPIN)))
MS_RDONLY, MS_REMOUNT = 0x1, 0x20

RANGE = "net.ipv4.ip_local_port_range"
RESERVED = "net.ipv4.ip_local_reserved_ports"
START = "net.ipv4.ip_unprivileged_port_start"
REUSE = "net.ipv4.tcp_tw_reuse"
FIN = "net.ipv4.tcp_fin_timeout"
MISSING = "net.ipv4.no_such_key"
KEYS = (RANGE, RESERVED, START, REUSE, FIN)

CONTENT = f"""# Why this is here.
{RESERVED} = 15432
  {RANGE}\t=  10240   65535

; the other comment
net/ipv4/tcp_tw_reuse=1
-{MISSING} = 5
"""
OTHER_CONTENT = f"{REUSE} = 0\n{FIN} = 30\n"

Result = dict[str, Any]
Run = Callable[..., Result]


def present(content: str = CONTENT, *, check: bool = False, **options: object) -> Result:
    return run_module(check, content=content, state="present", **options)


def absent(*, check: bool = False, **options: object) -> Result:
    return run_module(check, content=None, state="absent", **options)


def run_module(check: bool, **options: object) -> Result:
    defaults = {
        "path": str(DROPIN), "state_dir": str(STATE), "lock_timeout": 30, "on_conflict": "fail", "trial": False
    }  # fmt: skip
    return sysctl_dropin.run({**defaults, **options}, check)


def get(key: str) -> str:
    return sysctl.with_blanks(sysctl.read(key) or "")


def put(key: str, value: str) -> None:
    sysctl.write(key, value)


def statuses(result: Result) -> dict[str, str]:
    return {setting["key"]: setting["status"] for setting in result["settings"]}


def files() -> dict[str, object]:
    """All that is in the two directories: links, and of files what they contain, who owns them, and which they are."""
    found: dict[str, object] = {}
    for path in [*DROPIN.parent.rglob("*"), *STATE.parent.rglob("*")]:
        status = path.lstat()
        what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = (what, status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns)
    return found


def everything() -> object:
    return files(), {key: get(key) for key in KEYS}


def contents() -> object:
    """As everything(), but a file that was written anew with the same bytes and owner is the same."""
    return {path: state[:4] for path, state in files().items()}, {key: get(key) for key in KEYS}


@contextlib.contextmanager
def nothing_changes() -> Iterator[None]:
    before = everything()
    yield
    assert everything() == before


def make_read_only(directory: Path | str) -> None:
    namespaces.mount(directory, directory, flags=namespaces.MS_BIND | namespaces.MS_REC)
    namespaces.mount("none", directory, flags=MS_REMOUNT | namespaces.MS_BIND | MS_RDONLY)


def break_off(action: Callable[[], object], at: str = "_verify") -> None:
    """Run an action in a process that dies at a step of the transaction."""

    def body() -> None:
        setattr(transaction, at, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        action()

    assert in_child(body)[0] == -signal.SIGKILL


# One transaction


@private
def test_apply_and_roll_back() -> None:
    before = contents()
    result = present()
    assert (result["kind"], result["changed"]) == ("apply", True)
    assert (result["file"], result["path"], result["recovered"]) == ("created", str(DROPIN), False)
    expected = [
        {"key": RESERVED, "wanted": "15432", "before": "", "after": "15432", "status": "changed"},
        {"key": RANGE, "wanted": "10240   65535", "before": "32768 60999", "after": "10240 65535", "status": "changed"},
        {"key": REUSE, "wanted": "1", "before": "2", "after": "1", "status": "changed"},
        {"key": MISSING, "wanted": "5", "before": None, "after": None, "status": "skipped"},
    ]
    boot_values = ["15432", "10240 65535", "1", None]
    assert result["settings"] == [
        {**setting, "boot_value": value, "boot_file": value and str(DROPIN)}
        for setting, value in zip(expected, boot_values, strict=True)
    ]
    assert DROPIN.read_text() == CONTENT
    assert DROPIN.stat().st_mode & 0o7777 == 0o644
    assert JOURNAL.stat().st_mode & 0o7777 == 0o600
    assert STATE.stat().st_mode & 0o7777 == 0o700
    assert [get(key) for key in (RESERVED, RANGE, REUSE)] == ["15432", "10240 65535", "1"]

    result = absent()
    assert (result["changed"], result["file"]) == (True, "removed")
    assert statuses(result) == {RESERVED: "restored", RANGE: "restored", REUSE: "restored"}
    assert contents() == before


@private
def test_second_run_changes_nothing() -> None:
    present()
    with nothing_changes():
        result = present()
    assert not result["changed"]
    assert set(statuses(result).values()) == {"unchanged", "skipped"}
    assert result["file"] == "unchanged"


@private
def test_rolling_back_nothing_changes_nothing() -> None:
    DROPIN.write_text("net.ipv4.tcp_tw_reuse = 1\n")
    with nothing_changes():
        assert not absent()["changed"]
    present(OTHER_CONTENT)
    absent()
    with nothing_changes():
        assert not absent()["changed"]


@private
def test_what_was_so_before_is_not_rolled_back() -> None:
    DROPIN.write_text(f"{REUSE} = 2\n")
    with nothing_changes():
        assert not present(f"{REUSE} = 2\n")["changed"]
        assert not absent()["changed"]


@private
def test_foreign_file_comes_back_byte_for_byte() -> None:
    DROPIN.write_bytes(b"# not ours \xff\r\nnet.ipv4.tcp_tw_reuse =2")
    DROPIN.chmod(0o640)
    if os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[2] != "1":
        os.chown(DROPIN, 1234, 5678)
    before = contents()
    assert present()["file"] == "changed"
    assert (DROPIN.stat().st_mode & 0o7777, DROPIN.stat().st_uid) == (0o640, before[0][str(DROPIN)][2])
    present(OTHER_CONTENT)
    assert absent()["file"] == "restored"
    assert contents() == before


@private
def test_content_without_line_end_gets_one() -> None:
    present(f"{REUSE} = 1")
    assert DROPIN.read_text() == f"{REUSE} = 1\n"


@private
def test_keys_no_longer_named_stay_until_the_rollback() -> None:
    """Else a key that is left alone from now on would change once more."""
    present()
    applied = [get(key) for key in (RESERVED, RANGE)]
    result = present(OTHER_CONTENT)
    assert statuses(result) == {REUSE: "changed", FIN: "changed"}
    assert [get(key) for key in (RESERVED, RANGE, REUSE, FIN)] == [*applied, "0", "30"]
    with nothing_changes():
        assert not present(OTHER_CONTENT)["changed"]
    result = absent()
    assert set(statuses(result).values()) == {"restored"}
    assert [get(key) for key in (RESERVED, RANGE, REUSE, FIN)] == ["", "32768 60999", "2", "60"]


@private
def test_same_value_in_another_spelling_is_no_change() -> None:
    put(RESERVED, "8080-8082,9000")
    content = f"{RANGE} = \t32768\t\t60999 \n{RESERVED} = 9000,8081,8080-8082\nnet/ipv4/tcp_tw_reuse =2\n"
    result = present(content)
    assert set(statuses(result).values()) == {"unchanged"}
    assert [setting["after"] for setting in result["settings"]] == ["32768 60999", "8080-8082,9000", "2"]
    assert not present(content)["changed"]


@private
def test_after_is_as_the_kernel_prints_it() -> None:
    for setting in present(f"{RESERVED} = 9000,7001-7003,7000,7004\n{RANGE} =  1024\t 65535\n")["settings"]:
        assert setting["after"] == get(setting["key"])


@private
def test_optional_key_that_is_missing_is_skipped_each_time() -> None:
    content = f"-{MISSING} = 1\n- {REUSE} = 1\n"
    assert statuses(present(content)) == {MISSING: "skipped", REUSE: "changed"}
    result = present(content)
    assert (result["changed"], statuses(result)[MISSING]) == (False, "skipped")


@private
def test_last_of_two_lines_counts() -> None:
    present(f"{REUSE} = 0\nnet/ipv4/tcp_tw_reuse = 1\n")
    assert get(REUSE) == "1"


@private
def test_drift_is_repaired_and_reported() -> None:
    present()
    put(REUSE, "0")
    result = present()
    assert result["changed"]
    assert {key for key, status in statuses(result).items() if status == "changed"} == {REUSE}
    DROPIN.write_text("# hacked\n")
    result = present()
    assert (result["changed"], result["file"], DROPIN.read_text()) == (True, "changed", CONTENT)
    absent()
    assert (get(REUSE), DROPIN.exists()) == ("2", False)


@private
def test_other_files_are_not_touched() -> None:
    Path("/etc/sysctl.d/10-other.conf").write_bytes(
        b"#x\r\n\n net.ipv4.tcp_fin_timeout=50 \nnet/ipv4/tcp_fin_timeout = 40"
    )
    Path("/etc/sysctl.d/zz.conf").write_text(f"{FIN} = 45\n{FIN} = 45\n")
    put(FIN, "45")
    before = files()
    present()
    after = files()
    assert {path: after[path] for path in before if path != str(STATE.parent)} == before
    assert get(FIN) == "45"
    absent()
    assert files() == before


@private
def test_unprivileged_port_start_moves_in_a_safe_order() -> None:
    content = f"{RANGE} = 500 65535\n{START} = 400\n"
    present(content)
    assert (get(RANGE), get(START)) == ("500 65535", "400")
    absent()
    assert (get(RANGE), get(START)) == ("32768 60999", "1024")


# The file


@private
def test_link_stays_a_link() -> None:
    real = Path("/etc/sysctl.d/real")
    real.write_text("# theirs\n")
    DROPIN.symlink_to("real")
    before = contents()
    result = present()
    assert (result["path"], DROPIN.readlink(), real.read_text()) == (str(real), Path("real"), CONTENT)
    assert not absent(path=str(DROPIN.with_name("unrelated.conf")))["changed"]
    assert absent()["file"] == "restored"
    assert contents() == before


@private
def test_link_that_leads_nowhere() -> None:
    DROPIN.symlink_to("real")
    before = contents()
    present()
    assert DROPIN.is_symlink()
    assert DROPIN.with_name("real").read_text() == CONTENT
    absent()
    assert contents() == before


@private
def test_link_that_has_been_turned_elsewhere() -> None:
    one, other = DROPIN.with_name("one"), DROPIN.with_name("other")
    one.write_text("# one\n")
    other.write_text("# other\n")
    DROPIN.symlink_to("one")
    present()
    DROPIN.unlink()
    DROPIN.symlink_to("other")
    with nothing_changes():
        assert not absent()["changed"]
    DROPIN.unlink()
    DROPIN.symlink_to("one")
    absent()
    assert (one.read_text(), other.read_text(), get(REUSE)) == ("# one\n", "# other\n", "2")


@private
def test_group_of_a_setgid_directory_is_not_taken_on() -> None:
    if Path("/proc/self/gid_map").read_text().split()[2] == "1":
        pytest.skip("only root has several groups")
    DROPIN.write_text("# theirs\n")
    os.chown(DROPIN.parent, 0, 4321)
    DROPIN.parent.chmod(0o2755)
    present()
    assert DROPIN.stat().st_gid == 0


# Who decides: this module, or somebody else since


@private
def test_value_changed_since_is_kept() -> None:
    present()
    put(REUSE, "0")
    result = absent()
    assert statuses(result) == {RESERVED: "restored", RANGE: "restored", REUSE: "kept"}
    assert (get(REUSE), get(RANGE), DROPIN.exists()) == ("0", "32768 60999", False)
    with nothing_changes():
        assert not absent()["changed"]


@private
def test_value_of_a_dropped_key_changed_since_is_kept() -> None:
    present()
    put(RANGE, "20000 60000")
    present(f"{REUSE} = 1\n")
    assert get(RANGE) == "20000 60000"
    assert statuses(absent()) == {REUSE: "restored", RESERVED: "restored", RANGE: "kept"}
    assert get(RANGE) == "20000 60000"


@private
def test_value_that_somebody_else_decided_and_an_apply_confirmed_stays() -> None:
    present(f"{REUSE} = 1\n")
    put(REUSE, "0")
    DROPIN.write_text(f"{REUSE} = 0\n")
    assert not present(f"{REUSE} = 0\n")["changed"]
    absent()
    assert (get(REUSE), DROPIN.exists()) == ("0", False)


@private
def test_reservations_added_between_two_applies_stay() -> None:
    present(f"{RESERVED} = 15432\n")
    put(RESERVED, "15432,21000")
    present(f"{RESERVED} = 15432,21000,30000\n")
    absent()
    assert get(RESERVED) == "21000"


@private
def test_value_that_another_file_sets_since_is_respected() -> None:
    present(f"{REUSE} = 1\n{FIN} = 30\n")
    Path("/etc/sysctl.d/98-admin.conf").write_text(f"{REUSE} = 1\n{FIN} = 20\n{RANGE} = nonsense\n")
    result = absent()
    assert (get(REUSE), get(FIN)) == ("1", "20")
    assert {one["key"]: one["boot_file"] for one in result["settings"]}[REUSE] == "/etc/sysctl.d/98-admin.conf"


@private
def test_edited_file_is_kept_with_the_keys_that_it_sets() -> None:
    before = contents()
    present()
    edited = f"{REUSE} = 1\n# I need this\n"
    DROPIN.write_text(edited)
    result = absent()
    assert (result["changed"], result["file"]) == (True, "kept")
    assert statuses(result) == {REUSE: "kept", RANGE: "restored", RESERVED: "restored"}
    assert (DROPIN.read_text(), get(REUSE), get(RANGE)) == (edited, "1", "32768 60999")
    with nothing_changes():
        result = absent()
    assert (result["changed"], result["file"]) == (False, "kept")
    DROPIN.unlink()
    assert statuses(absent()) == {REUSE: "restored"}
    assert contents() == before


@private
def test_file_edited_beyond_reading_keeps_all() -> None:
    present()
    DROPIN.write_text("net.ipv4.* = 1\n")
    with nothing_changes_but_journal():
        result = absent()
    assert (result["changed"], set(statuses(result).values())) == (False, {"kept"})


@contextlib.contextmanager
def nothing_changes_but_journal() -> Iterator[None]:
    before = DROPIN.read_bytes(), {key: get(key) for key in KEYS}
    yield
    assert (DROPIN.read_bytes(), {key: get(key) for key in KEYS}) == before


@private
def test_file_removed_by_somebody_else_stays_away() -> None:
    present()
    DROPIN.unlink()
    result = absent()
    assert (result["changed"], result["file"], get(REUSE)) == (True, "absent", "2")
    assert not STATE.exists()


@private
def test_foreign_file_comes_back_also_where_ours_was_removed() -> None:
    DROPIN.write_text("# theirs\n")
    present()
    DROPIN.unlink()
    result = absent()
    assert (result["file"], DROPIN.read_text(), get(REUSE)) == ("restored", "# theirs\n", "2")
    with nothing_changes():
        assert not absent()["changed"]


# Check mode

Prepare = Callable[[], object]
SCENARIOS: dict[str, tuple[Prepare, Run]] = {
    "first apply": (lambda: None, present),
    "over a foreign file": (lambda: DROPIN.write_text("# theirs\n"), present),
    "second run": (present, present),
    "other content": (lambda: present(OTHER_CONTENT), present),
    "drift": (lambda: (present(), put(REUSE, "0")), present),
    "dropped key that drifted": (lambda: (present(OTHER_CONTENT), put(FIN, "31")), present),
    "roll back": (present, absent),
    "roll back nothing": (lambda: None, absent),
    "roll back with drift": (lambda: (present(), put(REUSE, "0")), absent),
    "roll back an edited file": (lambda: (present(), DROPIN.write_text(f"{REUSE} = 1\n")), absent),
    "roll back a removed file": (lambda: (present(), DROPIN.unlink()), absent),
    "apply after a first apply that broke off": (lambda: break_off(lambda: present(OTHER_CONTENT)), present),
    "apply after the same apply that broke off": (lambda: break_off(present), present),
    "apply after another apply that broke off": (
        lambda: (present(), break_off(lambda: present(OTHER_CONTENT))),
        present,
    ),
    "roll back after an apply that broke off": (lambda: (present(), break_off(lambda: present(OTHER_CONTENT))), absent),
    "roll back after the first apply broke off": (lambda: break_off(present), absent),
    "roll back after a rollback that broke off": (lambda: (present(), break_off(absent)), absent),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@private
def test_check_mode_predicts_exactly(scenario: str) -> None:
    prepare, run = SCENARIOS[scenario]
    prepare()
    with nothing_changes():
        predicted = run(check=True)
    before = {key: get(key) for key in KEYS}, DROPIN.exists() and DROPIN.read_text()
    result = run()
    assert result == predicted
    after = {key: get(key) for key in KEYS}, DROPIN.exists() and DROPIN.read_text()
    assert result["changed"] or before == after
    for setting in result["settings"]:
        if setting["after"] is not None:
            assert setting["after"] == get(setting["key"])
    assert result["diff"][0]["after"] == (DROPIN.read_text() if DROPIN.exists() else "")
    with nothing_changes():
        assert not run()["changed"]


# Bad input: one error that names what is wrong, and nothing changed

BAD_INPUT: dict[str, tuple[dict[str, object], str]] = {
    "range upside down": ({"content": f"{RANGE} = 60999 32768"}, f"content line 1: {RANGE} = 60999 32768: "),
    "range of one number": ({"content": f"{RANGE} = 1024"}, "give two numbers"),
    "range below the unprivileged ports": ({"content": f"#\n{RANGE} = 1000 65535"}, f"{START}, which is 1024"),
    "range below those to come": ({"content": f"{RANGE} = 2000 65535\n{START} = 3000"}, "which is 3000"),
    "no port": ({"content": f"{START} = low"}, "this is not a port"),
    "boolean": ({"content": f"{FIN} = 40\n{REUSE} = True"}, f"content line 2: {REUSE} = True: this key holds a number"),
    "no sysctl.d file": ({"content": "hello world"}, "content line 1: 'hello world' is not of the form"),
    "pattern": ({"content": "net.ipv4.* = 1"}, "content line 1: 'net.ipv4.*' is a pattern"),
    "missing key": ({"content": f"{MISSING} = 1"}, f'this kernel has no such key; write "-{MISSING} = ..."'),
    "directory for a key": ({"content": "net.ipv4 = 1"}, "this kernel has no such key"),
    "value the kernel refuses": (
        {"content": f"{FIN} = 40\n{REUSE} = 7\n"},
        f"the kernel refused {REUSE} = 7: Invalid argument; everything is as it was before",
    ),
    "value the kernel refuses, optional": (
        {"content": f"-{REUSE} = 7\n{FIN} = 40\n"},
        f"the kernel refused {REUSE} = 7",
    ),
    "value the kernel takes for another": ({"content": f"{FIN} = 010\n"}, f"the kernel turned {FIN} = 010 into 8"),
    "empty value": ({"content": f"{REUSE} =\n"}, f"the kernel refused {REUSE} = :"),
    "reserved port beyond": ({"content": f"{RESERVED} = 80,70000"}, "port 70000 is outside 0 to 65535"),
    "unprivileged ports above the range": ({"content": f"{START} = 40000"}, f"the kernel refused {START} = 40000"),
    "key that cannot be read": (
        {"content": "net.ipv4.route.flush = 1"},
        "/proc/sys/net/ipv4/route/flush cannot be read",
    ),
    "relative path": ({"path": "sysctl.d/a.conf"}, "path must be absolute"),
    "path that no loader reads": ({"path": "/etc/sysctl.d/ports"}, "path must be absolute and end in .conf"),
    "path into nowhere": ({"path": "/etc/nowhere/a.conf"}, "needs the directory /etc/nowhere, which does not exist"),
    "path to a directory": ({"path": "/etc/sysctl.d/dir.conf"}, "/etc/sysctl.d/dir.conf is not a regular file"),
    "masked path": ({"path": "/etc/sysctl.d/masked.conf"}, "is a link to /dev/null, which masks it"),
    "relative state_dir": ({"state_dir": "state"}, "state_dir must be absolute"),
    "state_dir into nowhere": (
        {"state_dir": "/nowhere/state"},
        "state_dir /nowhere/state needs the directory /nowhere",
    ),
    "negative lock_timeout": ({"lock_timeout": -1}, "lock_timeout must not be negative"),
}


@pytest.mark.parametrize("applied_before", [False, True])
@pytest.mark.parametrize("case", BAD_INPUT)
@private
def test_bad_input_is_named_and_changes_nothing(case: str, applied_before: bool) -> None:
    options, message = BAD_INPUT[case]
    DROPIN.with_name("dir.conf").mkdir()
    DROPIN.with_name("masked.conf").symlink_to(os.devnull)
    if applied_before:
        present(OTHER_CONTENT)
    before = contents()
    with pytest.raises((ValueError, OSError, transaction.ApplyError)) as error:
        present(**{"content": CONTENT, **options})
    assert message in str(error.value)
    assert contents() == before
    assert absent()["changed"] == applied_before


@private
def test_read_only_proc_sys_changes_nothing_and_says_what_to_do() -> None:
    make_read_only("/proc/sys")
    for check in (True, False):
        with nothing_changes(), pytest.raises(transaction.ApplyError) as error:
            present(check=check)
        assert "/proc/sys is read-only here, as in an unprivileged container" in str(error.value)
        assert "run this on the host, or start the container with a writable /proc/sys" in str(error.value)
    assert present(f"{REUSE} = 2\n")["changed"], "no running value has to change, so the file may"


def test_without_privilege() -> None:
    """Outside of any namespace, where an ordinary user may write files of its own, but no sysctl."""

    def body() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            for check in (True, False):
                options = {"path": f"{directory}/a.conf", "state_dir": f"{directory}/state", "on_conflict": "ignore"}
                with pytest.raises(transaction.ApplyError) as error:
                    present(f"{FIN} = 61\n", check=check, **options)
                assert str(error.value) == f"no permission to set {FIN}; run this as root (become: true)"
                assert not list(Path(directory).iterdir())

    code, text = in_child(body)
    assert code == 0, text


@private
def test_state_directory_that_cannot_be_written() -> None:
    STATE.mkdir()
    namespaces.mount("tmpfs", STATE, "tmpfs", MS_RDONLY, "mode=700")
    for check in (True, False):
        with nothing_changes(), pytest.raises(transaction.ApplyError, match=f"write into {STATE}; it is read-only"):
            present(check=check)
    with nothing_changes():
        assert not absent()["changed"]


@private
def test_all_read_only_is_no_trouble_while_nothing_is_to_change() -> None:
    present()
    for directory in (DROPIN.parent, STATE, "/proc/sys"):
        make_read_only(directory)
    with nothing_changes():
        assert not present()["changed"]
    with nothing_changes(), pytest.raises(transaction.ApplyError, match="is read-only"):
        absent()


DAMAGED = ("", "{", "[]", "null", '{"format": 2}', '{"format": 1}', "\\xff")


@pytest.mark.parametrize("text", DAMAGED)
@private
def test_damaged_journal_is_named_and_not_guessed(text: str) -> None:
    present()
    JOURNAL.write_bytes(text.encode("latin-1"))
    for run in (present, absent):
        with nothing_changes(), pytest.raises(ValueError, match="is not a journal of this collection"):
            run()


@private
def test_journal_whose_parts_do_not_match_is_refused() -> None:
    present()
    data = json.loads(JOURNAL.read_text())
    del data["applied"]["values"][REUSE]
    JOURNAL.write_text(json.dumps(data))
    with nothing_changes(), pytest.raises(ValueError, match="origin and applied do not match"):
        absent()


# Crashes


@private
def test_interrupted_run_is_rolled_back_first() -> None:
    before = contents()
    break_off(present)
    assert (DROPIN.exists(), get(REUSE), JOURNAL.exists()) == (True, "1", True)
    result = absent()
    assert (result["changed"], result["recovered"], result["file"]) == (True, True, "absent")
    assert contents() == before


@private
def test_apply_goes_on_after_recovering() -> None:
    present()
    break_off(lambda: present(OTHER_CONTENT))
    assert get(FIN) == "30"
    result = present()
    assert (result["changed"], result["recovered"]) == (True, True)
    assert set(statuses(result).values()) == {"unchanged", "skipped"}
    assert (get(FIN), get(REUSE), DROPIN.read_text()) == ("60", "1", CONTENT)
    absent()
    assert get(REUSE) == "2"


@private
def test_key_that_is_gone_since_the_crash_stops_nothing() -> None:
    break_off(present)
    data = json.loads(JOURNAL.read_text())
    data["pending"]["values"][MISSING] = "1"
    JOURNAL.write_text(json.dumps(data))
    assert absent()["recovered"]
    assert get(REUSE) == "2"


@private
def test_temporary_files_of_a_crash_go() -> None:
    present()
    for path in (DROPIN, JOURNAL):
        Path(durable_file.temporary_path(str(path))).write_text("half")
    present()
    assert {path.name for path in (*DROPIN.parent.iterdir(), *STATE.iterdir())} == {DROPIN.name, JOURNAL.name}


@private
def test_failure_to_roll_back_is_said_and_made_good_later() -> None:
    break_off(present)
    data = json.loads(JOURNAL.read_text())
    data["pending"]["values"][REUSE] = "7"
    JOURNAL.write_text(json.dumps(data))
    with pytest.raises(transaction.ApplyError, match=r"could not be rolled back: the kernel refused .* = 7.*try again"):
        absent()
    data["pending"]["values"][REUSE] = "2"
    JOURNAL.write_text(json.dumps(data))
    assert absent()["recovered"]


# Two runs at once


@private
def test_second_run_waits_and_sees_the_work_of_the_first() -> None:
    reader, writer = os.pipe()
    pids = []
    for _run in range(2):
        pid = os.fork()
        if pid == 0:
            os.read(reader, 1)
            os._exit(10 + present()["changed"])
        pids.append(pid)
    with durable_file.locked(str(DROPIN.parent), 0):
        os.write(writer, b"go")
        time.sleep(0.3)
        assert os.waitpid(-1, os.WNOHANG) == (0, 0), "a run did not wait"
        assert not DROPIN.exists()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert sorted(codes) == [10, 11], "one changed all, the other found it done"
    absent()
    assert (get(REUSE), get(RANGE), DROPIN.exists()) == ("2", "32768 60999", False)


@private
def test_waiting_is_bounded() -> None:
    with durable_file.locked(str(DROPIN.parent), 0):
        started = time.monotonic()
        with nothing_changes(), pytest.raises(durable_file.LockedError, match=r"locked for more than 1 s"):
            present(lock_timeout=1)
        assert 1 <= time.monotonic() - started < 5


# Reserved ports

EVERY_OTHER = PortSet.of(range(1, 65535, 2))  # 191 KiB, the longest list there is
LONG = PortSet.of(range(20001, 45000, 2))  # 73 KiB
THREE_WRITES = PortSet.of(range(20001, 24000, 2))


@private
def test_longest_list_is_written_whole_and_comes_back_whole() -> None:
    put(RESERVED, str(LONG))
    assert parse_ports(get(RESERVED)) == LONG
    assert len(str(LONG)) > 64 << 10
    content = f"{RESERVED} = {EVERY_OTHER}\n"
    assert present(content)["changed"]
    assert parse_ports(get(RESERVED)) == EVERY_OTHER
    assert not present(content)["changed"]
    absent()
    assert parse_ports(get(RESERVED)) == LONG


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("80", str(THREE_WRITES)),
        (str(THREE_WRITES), str(THREE_WRITES | PortSet([(1, 100)]))),
        (str(THREE_WRITES), f"1-100,{THREE_WRITES}"),
        (str(THREE_WRITES), "80,20001-30000"),
        (str(THREE_WRITES), ""),
        ("1-100", "90-110"),
    ],
)
@private
def test_no_write_lifts_a_reservation_that_stays(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(RESERVED, old)
    kept = parse_ports(old) & parse_ports(new)
    lists = spy_on_writes(monkeypatch)
    present(f"{RESERVED} = {new}\n")
    assert lists
    assert [kept - parse_ports(text) for text in lists] == [PortSet()] * len(lists)


def spy_on_writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list of reserved ports after each single write to anything."""
    lists: list[str] = []

    def spied(function: Callable[..., int]) -> Callable[..., int]:
        def write(*arguments: Any) -> int:
            result = function(*arguments)
            lists.append(get(RESERVED))
            return result

        return write

    monkeypatch.setattr(os, "write", spied(os.write))
    monkeypatch.setattr(os, "pwrite", spied(os.pwrite))
    return lists


# Nothing is stolen

SERVICE = ("0.0.0.0", 30010)
PEER = ("198.18.0.1", 8080)


def serve(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(4096)
    return listener


def take_all_ports() -> list[socket.socket]:
    """Connect to the peer until no local port is left."""
    connections = []
    with contextlib.suppress(OSError):
        while True:
            connections.append(socket.socket())
            connections[-1].connect(PEER)
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        socket.create_connection(PEER)
    return connections[:-1]


@pytest.mark.parametrize("closed", [False, True], ids=["established", "TIME_WAIT"])
@pytest.mark.parametrize("reserved", [True, False])
@private
def test_service_gets_its_port_back_only_if_it_is_reserved(reserved: bool, closed: bool) -> None:
    put(RANGE, "40000 40019")
    service = serve(SERVICE)
    lines = [f"{RESERVED} = {SERVICE[1]}"] if reserved else []
    present("\n".join([f"{RANGE} = 30000 30099", *lines]))
    peer = serve(PEER)
    service.close()
    connections = take_all_ports()
    assert len(connections) == 100 - reserved
    if closed:
        for connection in connections:
            connection.close()
    if reserved:
        serve(SERVICE).close()
    else:
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            serve(SERVICE)
    peer.close()


# Through Ansible

PLAY = f"""
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{sys.executable}"
    content: |
      {REUSE} = 1
      {RANGE} = 20000 60001
  module_defaults:
    group/netops.ephemeral_ports.all: {{}}
    netops.ephemeral_ports.sysctl_dropin:
      state_dir: {STATE}
  tasks:
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}"}}
      check_mode: true
      diff: true
      register: predicted
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}"}}
      diff: true
      register: applied
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}"}}
      register: again
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{{{{ content }}}}", lock_timeout: true}}
      register: boolean
      ignore_errors: true
    - netops.ephemeral_ports.sysctl_dropin: {{content: "{REUSE} = 7"}}
      register: refused
      ignore_errors: true
    - netops.ephemeral_ports.sysctl_dropin: {{}}
      register: empty
      ignore_errors: true
    - netops.ephemeral_ports.sysctl_dropin: {{state: absent}}
      register: rolled_back
    - ansible.builtin.assert:
        that:
          - predicted is changed
          - predicted.settings == applied.settings
          - predicted.diff == applied.diff
          - applied.settings | map(attribute="after") | list == ["1", "20000 60001"]
          - again is not changed
          - boolean.msg == "lock_timeout must be a number, not the boolean true"
          - refused.msg is search("the kernel refused {REUSE} = 7")
          - empty.msg is search("content")
          - rolled_back is changed
          - rolled_back.file == "removed"
"""


@private
def test_through_ansible(tmp_path: Path) -> None:
    before = contents()
    (tmp_path / "play.yml").write_text(PLAY)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-c", "local", "-i", "localhost,", "play.yml"],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"), "ANSIBLE_HOME": str(tmp_path / "home")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents() == before


# Changes on trial


@private
def test_a_trial_is_rolled_back_to_what_an_earlier_run_had_made() -> None:
    """Also where that run left behind a key that neither of its successors names."""
    original = contents()
    present(OTHER_CONTENT)
    present(f"{REUSE} = 0\n")
    earlier = contents()

    tried = present(trial=True)
    assert (tried["changed"], tried["on_trial"], get(REUSE)) == (True, True, "1")
    predicted = absent(trial=True, check=True)
    done = absent(trial=True)
    assert predicted == done
    assert (done["changed"], done["file"], done["on_trial"]) == (True, "restored", False)
    assert contents() == earlier
    assert get(FIN) == "30"

    absent()
    assert contents() == original


@private
def test_the_first_change_on_trial_is_rolled_back_to_the_origin() -> None:
    before = contents()
    present(trial=True)
    assert absent(trial=True)["file"] == "removed"
    assert contents() == before


@private
def test_a_trial_that_is_confirmed_stays_and_only_the_journal_changes() -> None:
    before = contents()
    present(trial=True)
    tried = everything()
    confirm = {"content": None, "state": "confirmed"}
    assert run_module(True, **confirm)["changed"] is False
    assert everything() == tried
    assert present(trial=True, check=True)["on_trial"] is True

    done = run_module(False, **confirm)
    assert (done["changed"], done["on_trial"], done["file"]) == (False, False, "unchanged")
    assert load_journal(str(JOURNAL)).trial is None
    assert present(trial=True)["on_trial"] is False
    with nothing_changes():
        run_module(False, **confirm)
        assert absent(trial=True)["changed"] is False
    assert get(REUSE) == "1"
    absent()
    assert contents() == before


@private
def test_a_run_without_trial_confirms_too() -> None:
    present(trial=True)
    assert present(check=True)["on_trial"] is False
    done = present()
    assert (done["changed"], done["on_trial"]) == (False, False)
    assert load_journal(str(JOURNAL)).trial is None


@private
def test_nothing_is_on_trial_where_nothing_changes() -> None:
    present()
    with nothing_changes():
        assert present(trial=True)["on_trial"] is False


@private
def test_two_trials_are_rolled_back_as_one() -> None:
    present(OTHER_CONTENT)
    earlier = contents()
    present(trial=True)
    present(f"{RANGE} = 2000 65001\n{FIN} = 40\n", trial=True)
    assert absent(trial=True)["changed"] is True
    assert contents() == earlier


@private
def test_what_somebody_else_has_changed_during_the_trial_stays() -> None:
    present(OTHER_CONTENT)
    present(trial=True)
    put(RANGE, "5000 60001")
    done = absent(trial=True)
    assert statuses(done)[RANGE] == "kept"
    assert (get(RANGE), get(REUSE), DROPIN.read_text()) == ("5000 60001", "0", OTHER_CONTENT)


@private
def test_a_file_that_was_edited_during_the_trial_stays() -> None:
    before = {key: get(key) for key in KEYS}
    present(OTHER_CONTENT)
    present(trial=True)
    edited = f"{REUSE} = 1\n# mine\n"
    DROPIN.write_text(edited)
    done = absent(trial=True)
    assert (done["file"], done["on_trial"]) == ("kept", False)
    assert DROPIN.read_text() == edited
    assert (get(REUSE), get(RANGE), get(RESERVED), get(FIN)) == ("1", before[RANGE], "", "30")

    DROPIN.unlink()
    absent()
    assert {key: get(key) for key in KEYS} == before


@private
def test_a_trial_of_a_run_that_died_is_rolled_back_with_it() -> None:
    present(OTHER_CONTENT)
    earlier = contents()
    present(trial=True)

    def die() -> None:
        transaction._verify = lambda *_: os._exit(0)
        present(f"{FIN} = 50\n", trial=True)

    assert in_child(die)[0] == 0
    done = absent(trial=True)
    assert done["recovered"]
    assert contents() == earlier


@private
def test_a_journal_of_a_version_without_trials_is_read() -> None:
    present()
    data = json.loads(JOURNAL.read_text())
    assert data.pop("trial") is None
    JOURNAL.write_text(json.dumps(data))
    with nothing_changes():
        assert present(check=True)["on_trial"] is False
    assert absent()["changed"] is True
