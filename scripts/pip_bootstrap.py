# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give ansible-test the pip bootstrap script that it looks for in its cache, where it cannot download that itself.

ansible-test gets `get-pip-VERSION.py` from a host of its own, which is out of reach for machines that know only a
package index. The stand-in does the same with pip's wheel from that index, unpacked.

usage: python scripts/pip_bootstrap.py CACHE_DIRECTORY
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

# A copy, with what Python compiles of it on the first occasion: each kind of sanity test makes an environment of its
# own, and installing pip into one would compile it three times.
STAND_IN = """\
import os, shutil, sys, sysconfig
unpacked = os.path.join(os.path.dirname(os.path.abspath(__file__)), "{unpacked}")
sys.path.insert(0, unpacked)
from pip._internal.cli.main import main
from pip._internal.commands import install, uninstall
for name in os.listdir(unpacked):
    shutil.copytree(os.path.join(unpacked, name), os.path.join(sysconfig.get_path("purelib"), name))
others = [argument for argument in sys.argv[1:] if not argument.startswith(("-", "pip=="))]
sys.exit(main(["install"] + others) if others else 0)
"""


def ansible_test_source(file: str) -> str:
    """The text of one of ansible-test's own files."""
    spec = find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("error: ansible-test is not installed")
    return (Path(spec.submodule_search_locations[0]) / file).read_text()


def wanted_scripts() -> dict[str, str]:
    """pip version to the address of its bootstrap script, as this ansible-test has them."""
    address = re.search(r"'(https://[^']*get-pip-%s\.py)'", ansible_test_source("_util/target/setup/requirements.py"))
    versions = re.findall(r"pip='([\d.]+)'", ansible_test_source("_internal/python_requirements.py"))
    return {version: address.group(1) % version for version in versions} if address else {}


def main(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    for version, address in wanted_scripts().items():
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if script.exists():
            continue
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                script.write_bytes(answer.read())
        except (urllib.error.URLError, TimeoutError):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, f"--dest={cache}", f"pip=={version}"], check=True)
            (wheel,) = cache.glob(f"pip-{version}-*.whl")
            shutil.unpack_archive(wheel, cache / wheel.stem, "zip")
            script.write_text(STAND_IN.format(unpacked=wheel.stem))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
