# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that host code raises on purpose. Anything else is a defect, or an OSError.

Error                 the text tells the user what is wrong
  OptionError         an option has a value that it must not have; the text names it
  UnsupportedError    this host, or this container, lacks what is needed
    NotAllowedError   it has it, but not for this user                      (in _sockets.probe)
  SockDiagError       netlink refused the request or broke off
  ProcfsError         a file of /proc is not as kernels write it
  NamespaceError      a network namespace could not be entered
  LoadFailedError     more connections failed than the task allows
  ApplyError          the change was not made
  LockedError         another run held the lock for too long
  JournalError        a file is not a journal of this collection
  UntrustedError      somebody else could have written the journal
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


class NamespaceError(Error):
    """ended: it is gone."""

    def __init__(self, text: str, ended: bool) -> None:
        super().__init__(text)
        self.ended = ended


class LoadFailedError(Error):
    pass


def format_os_error(error: OSError) -> str:
    """The file, what the kernel says of it, and what helps."""
    words = error.strerror or str(error)
    if isinstance(error, PermissionError):
        words += "; run this as root (become: true)"
    return f"{error.filename}: {words}" if error.filename else words
