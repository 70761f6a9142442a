# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stress may be asked to do. Everything here is checked before the first packet."""

import re
from typing import Any, Mapping
from urllib.parse import urlsplit

from .._common.errors import OptionError

# Lowest and highest accepted value, both included. The highest ones bound what a typing error can do to a network.
BOUNDS = {
    "total": (1, 1000000),
    "time_limit": (0.001, 86400),
    "rate": (0, 1000000),
    "concurrency": (1, 1000),
    "connect_timeout": (0.001, 300),
    "serve_port": (0, 65535),
    "max_failed": (0, 1000000),
}


def check(arguments: Mapping[str, Any]) -> None:
    """Raise OptionError for the first of the module's arguments that is not acceptable."""
    check_bounds(arguments)
    if arguments["url"] is not None:
        check_url(arguments["url"])
        if arguments["serve_port"]:
            raise OptionError("serve_port is for serve; put the port into the URL")


def check_bounds(arguments: Mapping[str, Any]) -> None:
    """Raise OptionError for the first option outside its bounds; None means not given."""
    for name, (lowest, highest) in BOUNDS.items():
        value = arguments[name]
        if value is not None and not lowest <= value <= highest:  # written so that NaN is outside too
            raise OptionError(f"{name} must be from {lowest} to {highest}, not {value}")


def without_secrets(url: str) -> str:
    """Without user, password and query, for all that is shown; of a malformed URL as well."""
    return re.sub(r"(?<=//)[^/?#]*@", "", re.sub(r"[?#].*", "", url, flags=re.DOTALL))


def check_url(url: str) -> None:
    """Raise OptionError unless url is an http or https URL with a host."""
    shown = without_secrets(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OptionError(f"url {shown!r} is malformed: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise OptionError(f"url {shown!r} must begin with http:// or https://")
    if not host:
        raise OptionError(f"url {shown!r} has no host")
    if port == 0:
        raise OptionError(f"url {shown!r}: port 0 cannot be connected to")
    if not all("!" <= character <= "~" for character in url):
        raise OptionError(f"url {shown!r} must be ASCII without blanks: percent-encode the rest")
