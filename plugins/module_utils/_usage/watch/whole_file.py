# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that a reader finds old or new, never half. It need not outlive the machine, so nothing is synced."""

import posix as os  # os itself loads ten modules more, which a run on a quiet host does not need

# Whoever runs node_exporter has to read it.
_MODE = 0o644


def hidden(path: str, suffix: str) -> str:
    """Beside that file, under a name that no collector reads."""
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}.{name}.{suffix}"


def remove(path: str) -> None:
    try:  # noqa: SIM105 - contextlib loads more than all of this
        os.unlink(path)
    except FileNotFoundError:
        pass


def replace(path: str, content: bytes) -> None:
    """Write the file beside its place, under a name that no collector reads, and rename it. Raises OSError.

    What a run that was killed left there is removed by the next.
    """
    beside = hidden(path, "new")
    remove(beside)
    # Created here, not opened: the directory may belong to a user who prepared a link.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)
            file.write(content)
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
