# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One error that names what is wrong, and nothing changed."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import Error
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.journal import JournalError

from .dropin import (
    CONTENT,
    DROPIN,
    FIN,
    JOURNAL,
    MISSING,
    MS_RDONLY,
    OTHER_CONTENT,
    RANGE,
    RESERVED,
    REUSE,
    START,
    STATE,
    absent,
    contents,
    get,
    make_read_only,
    nothing_changes,
    present,
)
from .inside import in_child, namespaces, private

BAD_INPUT: dict[str, tuple[dict[str, object], str]] = {
    "asked port that is none": ({"asked_ports": "8080,junk"}, "asked_ports: 'junk' is not a port"),
    "asked port that nobody means": ({"asked_ports": "0,8080"}, "asked_ports: port 0 is outside 1 to 65535"),
    "journal that a reboot takes away": (
        {"state_dir": "/run/a"},
        "state_dir /run/a is below /run, which a reboot empties",
    ),
    "range upside down": ({"content": f"{RANGE} = 60999 32768"}, f"content line 1: {RANGE} = 60999 32768: "),
    "range of one number": ({"content": f"{RANGE} = 1024"}, "give two numbers"),
    "range below the unprivileged ports": ({"content": f"#\n{RANGE} = 1000 65535"}, f"{START}, which is 1024"),
    "range below those to come": ({"content": f"{RANGE} = 2000 65535\n{START} = 3000"}, "which is 3000"),
    "port of too many digits": ({"content": f"{START} = {'9' * 5000}"}, "this is not a port"),
    "range below a port of too many digits": (
        {"content": f"{RANGE} = 2000 3000\n{START} = {'9' * 5000}"},
        "this is not",
    ),
    "no Unicode": ({"content": "# \ud800"}, "content cannot be written as UTF-8: surrogates not allowed"),
    "no port": ({"content": f"{START} = low"}, "this is not a port"),
    "boolean": ({"content": f"{FIN} = 40\n{REUSE} = True"}, f"content line 2: {REUSE} = True: this key holds a number"),
    "no sysctl.d file": ({"content": "hello world"}, "content line 1: 'hello world' is not of the form"),
    "pattern": ({"content": "net.ipv4.* = 1"}, "content line 1: 'net.ipv4.*' is a pattern"),
    "missing key": ({"content": f"{MISSING} = 1"}, f'this kernel has no such key; write "-{MISSING} = ..."'),
    "directory for a key": ({"content": "net.ipv4 = 1"}, "this kernel has no such key"),
    "value the kernel refuses": (
        {"content": f"{FIN} = 40\n{REUSE} = 7\n"},
        f"content line 2: {REUSE} = 7: the kernel refuses that: 7 is outside 0 to 2",
    ),
    "value the kernel refuses, optional": (
        {"content": f"-{REUSE} = 7\n{FIN} = 40\n"},
        f"content line 1: {REUSE} = 7: the kernel refuses that",
    ),
    "value the kernel takes for another": ({"content": f"{FIN} = 010\n"}, f"{FIN} = 010: the kernel takes that for 8"),
    "empty value": ({"content": f"{REUSE} =\n"}, "the kernel refuses that: there is no number"),
    "reserved port beyond": ({"content": f"{RESERVED} = 80,70000"}, "port 70000 is outside 0 to 65535"),
    "unprivileged ports above the range": (
        {"content": f"{START} = 40000"},
        f"the kernel refuses that: {RANGE} begins below it, at 32768",
    ),
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
    with pytest.raises((OSError, Error)) as error:
        present(**{"content": CONTENT, **options})
    assert message in str(error.value)
    assert contents() == before
    assert absent()["changed"] == applied_before


@private
def test_read_only_proc_sys_changes_nothing_and_says_what_to_do() -> None:
    make_read_only("/proc/sys")
    for check in (True, False):
        with nothing_changes(), pytest.raises(ApplyError) as error:
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
                with pytest.raises(ApplyError) as error:
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
        with nothing_changes(), pytest.raises(ApplyError, match=f"write into {STATE}; it is read-only"):
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
    with nothing_changes(), pytest.raises(ApplyError, match="is read-only"):
        absent()


DAMAGED = ("", "{", "[]", "null", '{"format": 3}', '{"format": 1}', "\\xff")


@pytest.mark.parametrize("text", DAMAGED)
@private
def test_damaged_journal_is_named_and_not_guessed(text: str) -> None:
    present()
    JOURNAL.write_bytes(text.encode("latin-1"))
    for run in (present, absent):
        with nothing_changes(), pytest.raises(JournalError, match="is not a journal of this collection"):
            run()


@private
def test_journal_whose_parts_do_not_match_is_refused() -> None:
    present()
    data = json.loads(JOURNAL.read_text())
    del data["history"]["applied"]["values"][REUSE]
    JOURNAL.write_text(json.dumps(data))
    with nothing_changes(), pytest.raises(JournalError, match="origin, applied and boot do not match"):
        absent()


@pytest.mark.parametrize("full", [DROPIN.parent, STATE])
@private
def test_full_disk_is_named(full: Path) -> None:
    (full / "lock").parent.mkdir(exist_ok=True)
    namespaces.mount("tmpfs", full, "tmpfs", 0, "mode=700,size=4k")
    with contextlib.suppress(OSError), (full / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 512)
    with pytest.raises(ApplyError, match=rf"^{full}/\S*: No space left on device; everything is as it was before$"):
        present()
    assert (get(REUSE), DROPIN.exists()) == ("2", False)
