"""Where a Redis is, read from its URL.

redis://[[username]:password@]host[:port][/database]
rediss://…                                  the same over TLS; ?ssl_ca_certs=/path/to/ca.pem for a private authority
unix://[[username]:password@]/path/to.sock[?db=database]
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_OPTIONS = {"redis": {"db"}, "rediss": {"db", "ssl_ca_certs"}, "unix": {"db", "password"}}


@dataclass(frozen=True, slots=True)
class Address:
    """One Redis. Either `path` (a unix socket) or `host` and `port`. Printing it never shows the password."""

    path: str = ""
    host: str = ""
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """Raises ValueError, saying what is wrong without repeating the password."""
    parts = urlsplit(url)
    if parts.scheme not in _OPTIONS:
        raise ValueError(f"a Redis URL starts with redis://, rediss:// or unix://, not {parts.scheme or 'nothing'}://")
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := sorted(options.keys() - _OPTIONS[parts.scheme]):
        raise ValueError(f"unknown option in the Redis URL: {', '.join(unknown)}")
    username, password = unquote(parts.username or ""), unquote(parts.password or "") or options.get("password", "")
    if parts.scheme == "unix":
        return _unix(parts, username, password, options)
    tls = ssl.create_default_context(cafile=options.get("ssl_ca_certs")) if parts.scheme == "rediss" else None
    database = _database(options.get("db") or parts.path.strip("/"))
    return Address("", parts.hostname or "localhost", parts.port or 6379, username, password, database, tls)


def _unix(parts: SplitResult, username: str, password: str, options: dict[str, str]) -> Address:
    if not parts.path or (parts.hostname or ""):
        raise ValueError("a unix Redis URL has an absolute path: unix:///path/to.sock")
    database = _database(options.get("db", ""))
    return Address(unquote(parts.path), username=username, password=password, database=database)


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"the database in a Redis URL is a number, not {text!r}")
    return int(text)
