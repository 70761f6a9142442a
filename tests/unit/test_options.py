# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as the validator reads them, again and again."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._options import Options

KNOWN = Options({"many": {"type": "int", "default": 3}, "names": {"type": "list", "elements": "str", "default": []}})


class Marked(str):
    """As ansible-core marks where a text is from."""

    def __deepcopy__(self, _known: Any) -> Any:
        raise AssertionError("to copy it takes long")


def test_what_one_host_has_is_not_what_the_next_has() -> None:
    assert KNOWN.read({"many": "5", "names": ["a"]}) == {"many": 5, "names": ["a"]}
    assert KNOWN.read({}) == {"many": 3, "names": []}


def test_marks_are_not_copied() -> None:
    assert KNOWN.read({Marked("names"): [Marked("a")]})["names"] == ["a"]


@pytest.mark.parametrize(("given", "words"), [({"many": True}, "many must be a number"), ({"mayn": 1}, "mayn")])
def test_what_is_wrong_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        KNOWN.read(given)
