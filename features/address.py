"""Where a Redis is, read from its URL.

redis://[[username]:password@]host[:port][/database]
rediss://…                                  the same over TLS, with options
    ?ssl_ca_certs=/path/to/ca.pem               for a private authority; absent: the system's
    &ssl_certfile=/path/to/client.pem           where Redis asks for a certificate of ours
    &ssl_keyfile=/path/to/client.key            its key, unless the same file has it
unix://[[username]:password@]/path/to.sock[?db=database]

The options are named as redis-py names them. None of them makes a certificate or a host's name go unchecked.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = {"redis": {"db"}, "rediss": {"db", *_TLS}, "unix": {"db", "password"}}


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
    tls = _tls(*map(options.get, _TLS)) if parts.scheme == "rediss" else None
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


def _tls(authority: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """TLS by the files that were named. Raises ValueError, which says which of them won't do."""
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ValueError(f"ssl_ca_certs: {authority}: {_why(error, 'has no certificates in PEM')}") from None
    if certificate is None:
        if key is not None:
            raise ValueError(f"ssl_keyfile: {key}: it belongs to no certificate, as there is no ssl_certfile")
        return context
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except OSError as error:
        files, wanted = f"{certificate} and {key or 'its key'}", "are not a certificate and its own key, in PEM"
        raise ValueError(f"ssl_certfile: {files}: {_why(error, wanted)}") from None
    return context


def _why(error: OSError, wanted: str) -> str:
    # What OpenSSL says of its own, such as "[SSL] PEM lib (_ssl.c:3895)", helps nobody.
    return wanted if isinstance(error, ssl.SSLError) else str(error.strerror)


def _no_password() -> str:
    """Else OpenSSL asks at the terminal, and a service waits there for ever."""
    raise ValueError("ssl_keyfile: the key is encrypted, and nobody is there to type its password")
