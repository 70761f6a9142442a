# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ephemeral-ports with its bytecode beside its sources, so that no run has to compile them.

Run by the Python that is to run the command, from the command itself: bytecode of another is not taken, and where that
Python changes, its sources are, until this runs again. Pure, but for `main`.
"""

import importlib.util
import io
import marshal
import struct
import sys
import time
import zipfile
from typing import List

# zipimport compares a hash of the source since 3.8. 3.7 takes no such bytecode, and 3.6 knows none: they compare the
# time of the source in the archive, which is in local time.
_BY_HASH, _BY_TIME_WITH_FLAGS = (3, 8), (3, 7)
_CHECKED_HASH = 0b11


def main(path: str) -> int:
    """The command as it comes on standard input, with bytecode on standard output. path: where it will be."""
    sys.stdout.buffer.write(with_bytecode(sys.stdin.buffer.read(), path))
    return 0


def with_bytecode(application: bytes, path: str) -> bytes:
    """The same application gives the same bytes, where strings have the same hashes in each run (PYTHONHASHSEED)."""
    first_line = application[: application.index(b"\n") + 1]
    stream = io.BytesIO()
    stream.write(first_line)
    with zipfile.ZipFile(io.BytesIO(application)) as old, zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            source = old.read(entry)
            code = compile(source, f"{path}/{entry.filename}", "exec", dont_inherit=True)
            new.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), source, zipfile.ZIP_DEFLATED)
            compiled = zipfile.ZipInfo(f"{entry.filename}c", entry.date_time)
            new.writestr(compiled, _header(source, entry) + marshal.dumps(code), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _header(source: bytes, entry: zipfile.ZipInfo) -> bytes:
    """What begins a .pyc, by which it is told whether it is that of this source."""
    version, magic = sys.version_info[:2], importlib.util.MAGIC_NUMBER
    if version >= _BY_HASH:
        hashed = importlib.util.source_hash(source)  # novm: not before 3.8
        return magic + struct.pack("<I", _CHECKED_HASH) + hashed
    seconds = int(time.mktime((*entry.date_time, 0, 0, -1)))
    fields: List[int] = [seconds & 0xFFFFFFFF, len(source)]
    if version >= _BY_TIME_WITH_FLAGS:
        fields.insert(0, 0)
    return magic + struct.pack(f"<{len(fields)}I", *fields)
