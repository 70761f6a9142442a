# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stress may be asked to do. Everything here is checked before the first packet."""

from typing import Any, Mapping
from urllib.parse import urlsplit

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


def check_bounds(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError that names the first option outside its bounds; None means not given."""
    for name, (lowest, highest) in BOUNDS.items():
        value = arguments[name]
        if value is not None and not lowest <= value <= highest:  # written so that NaN is outside too
            raise ValueError("{0} must be from {1} to {2}, not {3}".format(name, lowest, highest, value))


def check_url(url: str) -> None:
    """Raise ValueError unless `url` is an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("url {0!r} is malformed: {1}".format(url, error))
    if parts.scheme not in ("http", "https"):
        raise ValueError("url {0!r} must begin with http:// or https://".format(url))
    if not host:
        raise ValueError("url {0!r} names no host".format(url))
    if port == 0:
        raise ValueError("url {0!r}: nobody can listen on port 0".format(url))
    if not all("!" <= character <= "~" for character in url):
        raise ValueError("url {0!r} must be ASCII without blanks: percent-encode the rest".format(url))
