# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host code as one executable file that stays on a host: a zip application, see Python's zipapp. Pure, but for reading.

The same collection gives the same bytes, so that a copy that is up to date is told from one that is not.
"""

from __future__ import annotations

import io
import zipfile

from ._host_files import PACKAGE, needed_files
from ._lean import without_words

# To import this runs it too: as a file, Python loads twice as much before it begins.
RUN = f"run_{PACKAGE}"
# The earliest that a zip file can name.
_DATE = (1980, 1, 1, 0, 0, 0)


def build_application(entry: str, version: str, interpreter: str, *besides: str) -> bytes:
    """A file that runs main(version) of this module with this interpreter.

    entry: as `_usage.watch.start`; besides: what else it can import. interpreter: a path. Raises NotSelfContainedError,
    or ValueError for a path that no kernel would find behind #!.
    """
    if not interpreter.startswith("/") or any(one.isspace() for one in interpreter):
        raise ValueError(f"{interpreter!r} is not an absolute path without blanks, as an interpreter has to be")
    run = f"import sys\nfrom {PACKAGE}.{entry} import main\nsys.exit(main({version!r}))\n"
    files = {**needed_files(entry, *besides), f"{RUN}.py": run, "__main__.py": f"import {RUN}\n"}
    stream = io.BytesIO()
    stream.write(f"#!{interpreter}\n".encode())
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, source in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path, _DATE), without_words(source), zipfile.ZIP_DEFLATED)
    return stream.getvalue()
