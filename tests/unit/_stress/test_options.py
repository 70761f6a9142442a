# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stress may be asked to do."""

from __future__ import annotations

import math

import pytest

from ansible_collections.netops.ephemeral_ports.plugins.module_utils._common.errors import OptionError
from ansible_collections.netops.ephemeral_ports.plugins.module_utils._stress import options

GOOD = {
    "url": None,
    "serve": "127.0.0.1",
    "serve_port": 0,
    "total": 1,
    "time_limit": 1.0,
    "rate": 0.0,
    "concurrency": 1,
    "connect_timeout": 5.0,
    "max_failed": None,
}


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1",
        "https://example.org:8443/health?x=%20",
        "HTTP://example.org/",
        "http://[2001:db8::1]:80/",
        "http://user@example.org/",
    ],
)
def test_url_accepted(url: str) -> None:
    options.check({**GOOD, "serve": None, "url": url})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must begin with"),
        ("example.org", "must begin with"),
        ("ftp://example.org/", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("http://", "has no host"),
        ("http:///path", "has no host"),
        ("http://:8080/", "has no host"),
        ("http://[2001:db8::1/", "is malformed"),
        ("http://example.org:http/", "is malformed"),
        ("http://example.org:65536/", "is malformed"),
        ("http://example.org:0/", "port 0"),
        ("http://example.org/a b", "percent-encode"),
        ("http://exämple.org/", "percent-encode"),
    ],
)
def test_url_refused(url: str, reason: str) -> None:
    with pytest.raises(OptionError, match=f"^url .*{reason}"):
        options.check({**GOOD, "serve": None, "url": url})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://192.0.2.1:80/a", "http://192.0.2.1:80/a"),
        ("https://user:p%40ss@example.org/a?token=x#y", "https://example.org/a"),
        ("http://user:p@ss@example.org", "http://example.org"),
        ("http://u:p@[2001:db8::1/", "http://[2001:db8::1/"),
        ("http://example.org/a@b", "http://example.org/a@b"),
        ("http://example.org#u:p@x", "http://example.org"),
    ],
)
def test_secrets_are_not_shown(url: str, shown: str) -> None:
    assert options.without_secrets(url) == shown


@pytest.mark.parametrize(
    "url", ["ftp://u:secret@x/", "http://u:secret@[::1/", "http://u:secret@x:0/", "http://u:secret@/"]
)
def test_secrets_are_not_in_errors(url: str) -> None:
    with pytest.raises(OptionError) as caught:
        options.check({**GOOD, "serve": None, "url": url})
    assert "secret" not in str(caught.value)


def test_serve_port_belongs_to_serve() -> None:
    with pytest.raises(OptionError, match=r"^serve_port "):
        options.check({**GOOD, "serve": None, "url": "http://192.0.2.1/", "serve_port": 80})


@pytest.mark.parametrize("name", options.BOUNDS)
def test_bounds(name: str) -> None:
    lowest, highest = options.BOUNDS[name]
    for value in (lowest, highest):
        options.check({**GOOD, name: value})
    for value in (lowest - 1, -1, highest + 1, math.nan, math.inf, -math.inf):
        with pytest.raises(OptionError, match=f"^{name} must be from "):
            options.check({**GOOD, name: value})
