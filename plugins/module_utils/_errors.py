# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that host code raises on purpose; anything else is a defect, or an OSError.

Error                 the text tells the user what is wrong and, where that is known, what to do
  OptionError         an option has a value that it must not have; the text names the option
  UnsupportedError    this host, or this container, lacks what is needed
    NotAllowedError   it has it, but not for this user                      (in _sockets.probe)
  SockDiagError       netlink refused the request or broke off
  ProcfsError         a file of /proc holds something else than what kernels write there
  LoadFailedError     more connections failed than the task allows
  ApplyError          the change was not made                               (in _dropin.dropin)
  LockedError         another run held the lock for too long                (in _dropin.lock)
  JournalError        a file is not a journal of this collection             (in _dropin.journal)
  UntrustedError      somebody else could have written the journal          (in _dropin.trust)
"""

from typing import Dict


class Error(Exception):
    """result: what the module returns besides the text."""

    def __init__(self, text: str, **result: object) -> None:
        super().__init__(text)
        self.result: Dict[str, object] = result


class OptionError(Error):
    pass


class UnsupportedError(Error):
    pass


class SockDiagError(Error):
    pass


class ProcfsError(Error):
    pass


class LoadFailedError(Error):
    pass


def format_os_error(error: OSError) -> str:
    """The file, what the kernel says of it, and what helps."""
    words = error.strerror or str(error)
    if isinstance(error, PermissionError):
        words += "; run this as root (become: true)"
    return f"{error.filename}: {words}" if error.filename else words
