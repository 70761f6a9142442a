# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow publishes nothing that a maintainer has not signed: its step runs as on GitHub, with a gh of ours."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STEPS = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["publish"]["steps"]
(CHECK,) = [step["run"] for step in STEPS if "has signed" in step.get("name", "")]
TARBALL = "netops-ephemeral_ports-1.0.0.tar.gz"

pytestmark = pytest.mark.skipif(not shutil.which("gpg") or not shutil.which("gpgv"), reason="needs gpg and gpgv")


def tarball(manifest: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("MANIFEST.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest))
    return packed.getvalue()


class Release:
    """What was built, the draft that it became, and the keys of a maintainer and of somebody else."""

    def __init__(self, root: Path) -> None:
        self.built, self.draft, self._home = root / "built", root / "draft", root / "gpg"
        self._home.mkdir(mode=0o700)
        self._programs = root / "bin"
        self._programs.mkdir()
        (self._programs / "gh").write_text('#!/bin/sh\ncp -r "$DRAFT" draft\n')
        (self._programs / "gh").chmod(0o755)
        for name in ("maintainer", "stranger"):
            self.gpg("--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
        self.key = self.gpg("--armor", "--export", "maintainer")
        self.built.mkdir()
        (self.built / "MANIFEST.json").write_bytes(b"{}")
        (self.built / "SHA256SUMS").write_text("sums")
        (self.built / TARBALL).write_bytes(tarball(b"{}"))
        shutil.copytree(self.built, self.draft)
        self.sign("maintainer")

    def gpg(self, *arguments: str) -> str:
        command = ["gpg", "--homedir", str(self._home), "--batch", "--yes", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def sign(self, who: str) -> None:
        signature = self.draft / "MANIFEST.json.asc"
        manifest = str(self.draft / "MANIFEST.json")
        self.gpg("--local-user", who, "--armor", "--detach-sign", "--output", str(signature), manifest)

    def end(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=False)

    def check(self) -> subprocess.CompletedProcess[str]:
        more = {"LC_ALL": "C", "DRAFT": str(self.draft), "GITHUB_REF_NAME": "v1.0.0", "RELEASE_PUBLIC_KEY": self.key}
        return subprocess.run(
            ["bash", "-e", "-c", CHECK],
            cwd=self.built,
            env={**os.environ, **more, "PATH": f"{self._programs}:{os.environ['PATH']}", "GNUPGHOME": str(self._home)},
            check=False,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    made = Release(tmp_path)
    yield made
    made.end()


def test_what_a_maintainer_has_signed_passes(release: Release) -> None:
    done = release.check()
    assert done.returncode == 0, done.stderr


def not_signed(release: Release) -> None:
    (release.draft / "MANIFEST.json.asc").unlink()


def signed_by_a_stranger(release: Release) -> None:
    release.sign("stranger")


def no_key_is_set(release: Release) -> None:
    release.key = ""


def another_tarball_in_the_draft(release: Release) -> None:
    (release.draft / TARBALL).write_bytes(tarball(b"[]"))


def one_file_more_in_the_draft(release: Release) -> None:
    (release.draft / "install.sh").write_text("")


def a_manifest_that_is_not_that_of_the_tarball(release: Release) -> None:
    for folder in (release.built, release.draft):
        (folder / TARBALL).write_bytes(tarball(b"[]"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (not_signed, "MANIFEST.json.asc"),
        (signed_by_a_stranger, "No public key"),
        (no_key_is_set, "RELEASE_PUBLIC_KEY: has to be set in the environment release"),
        (another_tarball_in_the_draft, f"{TARBALL} differ"),
        (one_file_more_in_the_draft, "Only in draft: install.sh"),
        (a_manifest_that_is_not_that_of_the_tarball, "- MANIFEST.json differ"),
    ],
)
def test_anything_else_is_not_published(release: Release, make: Callable[[Release], None], reason: str) -> None:
    make(release)
    done = release.check()
    assert done.returncode
    assert reason in done.stdout + done.stderr
