# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of the host code something needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.plugin_utils._host_files import (
    COLLECTIONS,
    HOST_CODE,
    NotSelfContainedError,
    needed_files,
)


def plant(root: Path, **sources: str) -> Path:
    for name, source in sources.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


def test_an_observation_needs_what_it_imports_and_no_more() -> None:
    files = needed_files("_usage.run")
    assert {"ephemeral_ports/_usage/run.py", "ephemeral_ports/_usage/observe.py"} <= set(files)
    assert files["ephemeral_ports/_usage/run.py"] == (HOST_CODE / "_usage" / "run.py").read_text()
    assert not any("_stress" in path or "transaction" in path or "shell" in path for path in files)


def test_it_is_in_the_same_order_each_time() -> None:
    files = needed_files("_usage.run", "_common.answer")
    assert [*files] == sorted(files) == [*needed_files("_common.answer", "_usage.run")]


def test_every_way_to_import(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        a__begin="from . import near, one_more\nfrom ..b import far\nfrom ..b.names import NAME\nimport json",
        a__near="def late():\n    from .later import x\n",
        a__one_more="from os import path",
        a__later="x = 1",
        a__unused="",
        b__far="from .. import top",
        b__names="NAME = 1",
        top="",
    )
    names = ["a/__init__", "a/begin", "a/later", "a/near", "a/one_more", "b/__init__", "b/far", "b/names", "top"]
    assert [*needed_files("a.begin", root=root)] == [f"ephemeral_ports/{one}.py" for one in ["__init__", *names]]


def test_every_package_has_an_init(tmp_path: Path) -> None:
    """zipimport takes no folder without one for a package before Python 3.8."""
    files = needed_files("a.b.c", root=plant(tmp_path, a__b__c="x = 1"))
    assert files == {
        "ephemeral_ports/__init__.py": "",
        "ephemeral_ports/a/__init__.py": "",
        "ephemeral_ports/a/b/__init__.py": "",
        "ephemeral_ports/a/b/c.py": "x = 1",
    }


@pytest.mark.parametrize(
    "source",
    ["import ansible", "from ansible.module_utils import basic", "def f():\n    import ansible_collections.x\n"],
)
def test_ansible_is_not_on_a_host(tmp_path: Path, source: str) -> None:
    with pytest.raises(NotSelfContainedError, match="begin imports ansible"):
        needed_files("begin", root=plant(tmp_path, begin=source))


def test_for_a_module_it_is(tmp_path: Path) -> None:
    root = plant(tmp_path, begin="from ansible.module_utils import basic\nfrom ansible_collections import x")
    with pytest.raises(NotSelfContainedError, match="begin imports ansible_collections"):
        needed_files("begin", root=root, lacks=COLLECTIONS)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotSelfContainedError, match="begin imports gone, which is absent"):
        needed_files("begin", root=plant(tmp_path, begin="from . import gone"))


def test_what_is_imported_for_its_types_alone_stays_here(tmp_path: Path) -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .types import T\nelse:\n    from . import real\n"
    )
    files = needed_files("begin", root=plant(tmp_path, begin=source, types="import ansible", real="T = 1"))
    assert [*files] == [f"ephemeral_ports/{one}.py" for one in ("__init__", "begin", "real")]
