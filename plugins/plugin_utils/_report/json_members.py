# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON file read member by member, however it is laid out: never more of it in memory than its longest value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 1 << 20
_BLANKS = " \t\n\r"

_decode = json.JSONDecoder().raw_decode


def members(file: TextIO, listed: str) -> Iterator[tuple[str, Any]]:
    """Name and value of each member of the object in the file. Of the member `listed`, each item by itself.

    Raises ValueError where the file is no object, or ends too early; what was read before has been returned then.
    """
    text = _Text(file)
    if text.upcoming() != "{":
        raise ValueError("expected a dictionary")
    for _member in text.items("{", "}"):
        name = text.value()
        text.expect(":")
        if name == listed and text.upcoming() == "[":
            for _item in text.items("[", "]"):
                yield name, text.value()
        else:
            yield name, text.value()
    if text.upcoming():
        raise ValueError("something follows its end")


class _Text:
    """What was read of a file and not decoded yet."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def upcoming(self) -> str:
        """The next character that is no blank, or nothing at the end of the file."""
        while True:
            while self._text[self._at : self._at + 1] and self._text[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def expect(self, signs: str) -> str:
        found = self.upcoming()
        if not found:
            raise ValueError("it ends too early")
        if found not in signs:
            raise ValueError(f"expected {' or '.join(signs)} before {self._shown()}")
        self._at += 1
        return found

    def items(self, opening: str, closing: str) -> Iterator[None]:
        """Stands before each item in turn, which is to be read then."""
        self.expect(opening)
        sign = self.expect(closing) if self.upcoming() == closing else ","
        while sign != closing:
            yield
            sign = self.expect(f",{closing}")

    def value(self) -> Any:  # noqa: ANN401 - JSON
        self.upcoming()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    why = f"{error.msg} in {self._shown()}" if self.upcoming() else "it ends too early"
                    raise ValueError(why) from None
                continue
            if end == len(self._text) and self._more():  # a number may go on
                continue
            self._at = end
            return value

    def _more(self) -> bool:
        """As much as there is already, so that a long value is decoded few times in vain."""
        rest = self._text[self._at :]
        more = self._file.read(max(_CHUNK, len(rest)))
        self._text, self._at = rest + more, 0
        return bool(more)

    def _shown(self) -> str:
        return repr(self._text[self._at : self._at + 40])
