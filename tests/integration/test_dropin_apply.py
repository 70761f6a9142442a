# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction against the real kernel. Each test has its own /etc/sysctl.d, state directory and net.* settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._boot import loaders as boot_loaders
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin.dropin import ApplyError

from .dropin import (
    CONTENT,
    DROPIN,
    FIN,
    JOURNAL,
    MISSING,
    OTHER_CONTENT,
    RANGE,
    RESERVED,
    REUSE,
    START,
    STATE,
    absent,
    contents,
    files,
    get,
    nothing_changes,
    present,
    put,
    statuses,
)
from .inside import private


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
    boot_values = [("15432", 2), ("10240 65535", 3), ("1", 6), (None, None)]
    unset = {"boot_file": None, "boot_line": None, "boot_writer": None}
    writer = boot_loaders.find_loaders()[0].name
    assert result["settings"] == [
        {**setting, **unset, "boot_value": value}
        if value is None
        else {**setting, "boot_value": value, "boot_file": str(DROPIN), "boot_line": line, "boot_writer": writer}
        for setting, (value, line) in zip(expected, boot_values, strict=True)
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
def test_keys_no_longer_named_are_rolled_back() -> None:
    """The text is the wish: what it no longer asks for goes back to what it was."""
    before = contents()
    present()
    result = present(OTHER_CONTENT)
    assert statuses(result) == {REUSE: "changed", FIN: "changed", RESERVED: "restored", RANGE: "restored"}
    assert [get(key) for key in (RESERVED, RANGE, REUSE, FIN)] == ["", "32768 60999", "0", "30"]
    with nothing_changes():
        assert not present(OTHER_CONTENT)["changed"]
    assert statuses(absent()) == {REUSE: "restored", FIN: "restored"}
    assert contents() == before


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
    assert statuses(present(content, on_conflict="ignore")) == {MISSING: "skipped", REUSE: "changed"}
    result = present(content, on_conflict="ignore")
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
    """At boot, too: a loader goes by the order of the lines."""
    with pytest.raises(ApplyError, match=r"it begins below net\.ipv4\.ip_unprivileged_port_start, which is 1024"):
        present(f"{RANGE} = 500 65535\n{START} = 400\n")
    present(f"{START} = 400\n{RANGE} = 500 65535\n")
    assert (get(RANGE), get(START)) == ("500 65535", "400")
    absent()
    assert (get(RANGE), get(START)) == ("32768 60999", "1024")
