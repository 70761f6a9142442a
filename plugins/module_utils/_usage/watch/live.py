# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A view in the terminal that is drawn anew, as top does it."""

import shutil
import signal
import sys
import time
from typing import Callable, List

from ..._common.errors import OptionError
from ..._common.layout import cut_end

# Another screen, which leaves what was there before; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
SHORTEST = 0.5


def watch(lines: Callable[[], List[str]], seconds: float) -> int:
    """Show lines() every so many seconds until SIGINT or SIGTERM; the screen is then as it was before. Gives 0."""
    if not seconds >= SHORTEST:
        raise OptionError(f"--watch {seconds:g} is too often: give {SHORTEST:g} s or more")
    if not sys.stdout.isatty():
        raise OptionError("--watch draws on a terminal, and standard output is none")
    signal.signal(signal.SIGTERM, _interrupt)
    sys.stdout.write(_ENTER)
    try:
        while True:
            size = shutil.get_terminal_size()
            sys.stdout.write(screen(_clock(seconds), lines(), size.columns, size.lines))
            sys.stdout.flush()
            time.sleep(seconds)
    except KeyboardInterrupt:
        return 0
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _clock(seconds: float) -> str:
    return f"ephemeral-ports  {time.strftime('%H:%M:%S')}  every {seconds:g} s, Ctrl-C ends"


def screen(title: str, lines: List[str], columns: int, rows: int) -> str:
    """What fits, drawn over what was there: cleared first, it would flicker."""
    shown = [title, "", *lines][:rows]
    if len(lines) + 2 > rows:
        shown[-1] = f"... {len(lines) + 2 - rows + 1} lines more"
    drawn = f"{_TO_END_OF_LINE}\r\n".join(cut_end(line, columns) for line in shown)
    return f"{_HOME}{drawn}{_TO_END_OF_LINE}{_TO_END}"
