# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback is exact where nobody interferes, and gets as far as it can where somebody has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from .dropin import (
    CONTENT,
    DROPIN,
    FIN,
    RANGE,
    RESERVED,
    REUSE,
    START,
    STATE,
    Result,
    absent,
    contents,
    get,
    nothing_changes,
    present,
    put,
    statuses,
)
from .inside import namespaces, private

ADMIN = Path("/etc/sysctl.d/98-admin.conf")
ALL = f"{RESERVED} = 15432\n{RANGE} = 10240 65535\n{REUSE} = 1\n{FIN} = 30\n"


def rolled_back() -> Result:
    """The result of a rollback that was predicted exactly, and after which nothing is left to do."""
    with nothing_changes():
        predicted = absent(check=True)
    result = absent()
    assert result == predicted
    with nothing_changes():
        assert not absent()["changed"]
    return result


@private
def test_another_dropin_that_stays_applied_is_named() -> None:
    """Whoever has applied it by another path, and forgets that path, must not take UNCHANGED for a host without it."""
    before = contents()
    present(f"{FIN} = 30\n", path=str(ADMIN))
    applied = contents()
    still = (
        f"{ADMIN} is another drop-in of this collection, and stays applied; to roll it back too, name it, "
        f"path: {ADMIN} (timewait_remediate_path)"
    )
    for check in (True, False):
        forgotten = absent(check=check)
        assert (forgotten["changed"], forgotten["warnings"]) == (False, [still])
    third = ADMIN.with_name("97-third.conf")
    present(f"{FIN} = 30\n", path=str(third))
    assert [words.partition(" ")[0] for words in absent()["warnings"]] == [str(third), str(ADMIN)]
    absent(path=str(third))
    present(f"{REUSE} = 1\n")
    assert absent(keys=[REUSE])["warnings"] == []
    present(f"{REUSE} = 1\n")
    assert absent()["warnings"] == [still]
    assert contents() == applied
    assert absent(path=str(ADMIN))["warnings"] == []
    assert contents() == before


# Files from before the first apply are no decision

BEFORE = {
    "a range that the kernel refuses": f"{RANGE} = 1000 65535\n",
    "values that are not those in force": f"{REUSE} = 0\n{FIN} = 20\n{RANGE} = 20000 30001\n",
    "part of the reservations": f"{RESERVED} = 8080\n",
    "no values": f"{REUSE} = yes\n{FIN} = 65536x\n{RESERVED} = 5,,6\n{RANGE} = 010\n",
}


@pytest.mark.parametrize("text", BEFORE.values(), ids=BEFORE)
@private
def test_what_a_file_said_before_is_not_what_was_in_force(text: str) -> None:
    ADMIN.write_text(text)
    put(RESERVED, "8080,15431")
    before = contents()
    present(f"{ALL}{RESERVED} = 8080,15431,15432\n")
    present(f"{ALL}{RESERVED} = 8080,15431,20000\n")
    result = rolled_back()
    assert set(statuses(result).values()) == {"restored"}
    assert contents() == before
    assert not STATE.exists()


@private
def test_the_original_of_the_dropin_is_no_decision_either() -> None:
    DROPIN.write_text(f"{REUSE} = 0\n{FIN} = 20\n")
    before = contents()
    present()
    rolled_back()
    assert contents() == before


@private
def test_a_file_that_has_changed_since_is_a_decision() -> None:
    ADMIN.write_text(f"{REUSE} = 2\n{RESERVED} = 8080\n")
    put(RESERVED, "8080,15431")
    present(f"{ALL}{RESERVED} = 8080,15431,15432\n")
    ADMIN.write_text(f"{REUSE} = 0\n{RESERVED} = 8080,9090\n{FIN} = 010\n")
    result = rolled_back()
    assert (get(REUSE), get(RANGE)) == ("0", "32768 60999")
    assert get(RESERVED) == "8080,9090,15431", "reservations are a union"
    assert get(FIN) == "8", "as the kernel reads it"
    assert {one["key"]: one["after"] for one in result["settings"]}[FIN] == "8"


# Reservations


@private
def test_reservations_that_others_have_added_or_dropped_are_respected() -> None:
    put(RESERVED, "80,90")
    present(f"{RESERVED} = 80,90,100,110\n")
    put(RESERVED, "80,100,120")
    result = rolled_back()
    assert (get(RESERVED), statuses(result)) == ("80,120", {RESERVED: "restored"})


# What the kernel refuses holds up nothing else


def late_line() -> None:
    ADMIN.write_text(f"#\n{RANGE} = 1000 65535\n")


def another_range() -> None:
    put(RANGE, "600 65000")


REFUSED: dict[str, tuple[str, Callable[[], None], str, str]] = {
    # what is applied, what somebody does then, the key that is kept, what the warning says
    "line of another file": (
        ALL,
        late_line,
        RANGE,
        f"{RANGE} is kept, because the kernel refuses 1000 65535, which {ADMIN}:2 sets: it begins below {START}, ",
    ),
    "range of an administrator": (
        f"{START} = 500\n{ALL.replace('10240', '500')}",
        another_range,
        START,
        f"{START} is kept, because the kernel refuses 1024, as it was before: {RANGE} begins below it, at 600",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@private
def test_a_value_that_the_kernel_refuses_keeps_its_key_alone(case: str) -> None:
    content, interfere, key, warning = REFUSED[case]
    present(content)
    interfere()
    result = rolled_back()
    assert statuses(result)[key] == "kept"
    assert {one for name, one in statuses(result).items() if name not in (key, RANGE)} == {"restored"}
    assert any(one.startswith(warning) for one in result["warnings"]), result["warnings"]
    assert (DROPIN.exists(), get(REUSE), get(RESERVED), get(FIN)) == (False, "2", "", "60")


@private
def test_a_range_that_was_legal_before_a_reboot() -> None:
    put(START, "400")
    put(RANGE, "500 65534")
    present(ALL)
    put(START, "1024")  # as every boot sets it
    result = rolled_back()
    assert (statuses(result)[RANGE], get(RANGE), get(REUSE)) == ("kept", "10240 65535", "2")
    assert any("the kernel refuses 500" in one for one in result["warnings"])
    put(START, "400")
    assert statuses(absent()) == {RANGE: "restored"}
    assert (get(RANGE), STATE.exists()) == ("500 65534", False)


@private
def test_what_the_kernel_refuses_unforeseen_holds_up_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.netops.ephemeral_ports.plugins.module_utils._dropin import preflight

    present(ALL)
    late_line()
    monkeypatch.setattr(preflight, "value_after", lambda _key, text, *_: text)
    result = absent()
    assert {key for key, status in statuses(result).items() if status == "kept"} == {RANGE}
    assert any(f"the kernel refuses 1000 65535, which {ADMIN}:2 sets" in one for one in result["warnings"])
    assert (DROPIN.exists(), get(REUSE), get(RANGE)) == (False, "2", "10240 65535")


@private
def test_the_kernel_refuses_what_a_trial_would_bring_back() -> None:
    put(START, "400")
    put(RANGE, "500 65534")
    present(ALL, trial=True)
    put(START, "1024")
    predicted = absent(trial=True, check=True)
    result = absent(trial=True)
    assert result == predicted
    assert (statuses(result)[RANGE], get(REUSE), DROPIN.exists()) == ("kept", "2", False)


# A full disk


@pytest.mark.parametrize("foreign", [False, True], ids=["no file before", "file before"])
@private
def test_a_full_disk_does_not_hold_up_a_rollback(foreign: bool) -> None:
    """Neither the note in the journal nor, in the end, a shorter journal can be written."""
    if foreign:
        DROPIN.write_text("# theirs\n")
    values = {key: get(key) for key in (RESERVED, RANGE, REUSE)}
    STATE.mkdir()
    namespaces.mount("tmpfs", STATE, "tmpfs", 0, "mode=700,size=16k")
    present(CONTENT)
    with contextlib.suppress(OSError), (STATE / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 512)
    result = absent()
    assert set(statuses(result).values()) == {"restored"}
    assert {key: get(key) for key in values} == values
    assert (DROPIN.read_text() if foreign else DROPIN.exists()) == ("# theirs\n" if foreign else False)
    assert [path.name for path in STATE.iterdir() if path.suffix] == []
