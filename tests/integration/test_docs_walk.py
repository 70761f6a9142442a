# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages whose commands can be followed are followed: each is one session, and must print what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import PROMPTLY

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("walk.md", "quick-start.md")
PRIVATE_SHELL = ("scripts/private_namespaces.py", "-- bash")
PROGRAMS = ("curl", "strace", "ss", "nstat")
MARK = "=-=-= {} =-=-="


class Step(NamedTuple):
    """A command of a page, and what the page says that it prints; `...` stands for anything."""

    command: str
    shown: str

    def matches(self, printed: str) -> bool:
        """Compare as a reader would: blanks at the ends of lines and empty lines say nothing."""
        return re.fullmatch("".join(map(_pattern, _plain(self.shown))), "".join(_plain(printed))) is not None


def _pattern(line: str) -> str:
    return r"(?:.*\n)*" if line == "...\n" else r"(?s:.*)".join(re.escape(part) for part in line.split("..."))


def _plain(text: str) -> list[str]:
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines())
    return [f"{line}\n" for line in lines if line]


def steps(block: str) -> list[Step]:
    """The commands of a console block: `$ ` begins one, `> ` goes on with it, everything else is output."""
    found: list[Step] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], ""))
        elif line.startswith("> "):
            found[-1] = Step(f"{found[-1].command}\n{line[2:]}", "")
        else:
            found[-1] = Step(found[-1].command, f"{found[-1].shown}{line}\n")
    return found


def session(page: str, is_root: bool) -> list[Step]:
    """The commands of a page in their order, without the sections that need root where this is not root."""
    sections = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    chosen = [one for one in sections if is_root or "(root)" not in one.partition("\n")[0]]
    blocks = re.findall(r"^```console\n(\$ .*?)^```$", "".join(chosen), re.MULTILINE | re.DOTALL)
    return [step for block in blocks for step in steps(block)]


def can_trace() -> bool:
    """Whether this is root of the machine itself, where the kernel's tracing is to be had."""
    return os.geteuid() == 0 and Path("/sys/kernel/tracing").is_dir()


@pytest.mark.parametrize("page", PAGES)
def test_page_can_be_followed(page: str, tmp_path: Path) -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    followed = session((ROOT / "docs" / page).read_text(), is_root=can_trace())
    assert all(word in followed[0].command for word in PRIVATE_SHELL), "the page must not touch the machine"
    script = "exec 2>&1\n" + "".join(f"{step.command}\necho '{MARK.format(n)}'\n" for n, step in enumerate(followed))
    done = subprocess.run(
        [*PROMPTLY, "bash"],
        input=script,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build"),
            "ANSIBLE_HOME": str(tmp_path.parent / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "cannot make private namespaces" in done.stdout:
        pytest.skip(done.stdout)
    printed = re.split("|".join(f"{re.escape(MARK.format(n))}\n" for n in range(len(followed))), done.stdout)
    failed = [
        f"$ {step.command}\npage:\n{step.shown}\nprinted:\n{output}"
        for step, output in zip(followed, printed, strict=False)
        if not step.matches(output)
    ]
    assert not failed, "\n".join(failed)
    # What follows the `exit` is for the outer shell, whose own marks come last.
    assert len(printed) == len(followed) + 1, done.stdout


def test_comparison_notices() -> None:
    assert Step("", "a ... c\nd\n").matches("a  b c\n\nd\n")
    assert not Step("", "a ... c\n").matches("a b\n")
    assert not Step("", "").matches("an error\n")
    assert steps("$ one \\\n> two\nout\n$ three\n") == [Step("one \\\ntwo", "out\n"), Step("three", "")]
    page = "## 1\n```console\n$ a\n```\n## 2 (root)\n```console\n$ b\n```\n"
    assert [step.command for step in session(page, is_root=False)] == ["a"]
    assert [step.command for step in session(page, is_root=True)] == ["a", "b"]
