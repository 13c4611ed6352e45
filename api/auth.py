"""Who may come in: holders of an API key, each with scopes; without any key, this machine alone.

Only a key's SHA-256 is configured. A key is long and random, so one hash is enough and there is nothing to salt.

Without keys, "this machine" is: a peer on loopback, asking for a loopback Host (a foreign name that resolves to
127.0.0.1 is how a page in a browser would reach us), without a sign of a proxy in between (the peer would then be the
proxy, not the caller), and not from a page of another origin. A unix socket has no peer address and is mostly where a
proxy connects, so it is not served without keys.
"""

import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from api.asgi import Scope
from api.headers import RequestHeaders
from api.problems import Problem

LOOPBACK_CALLER = "loopback"
_PROXY_SIGNS = (b"forwarded", b"via", b"x-forwarded-", b"x-real-ip")
_KEY = re.compile(r"([0-9a-fA-F]{64}):([a-z+]+)(?::([A-Za-z0-9._-]{1,64}))?")


class Permission(StrEnum):
    """What a key may do: its scopes."""

    DECIDE = "decide"
    INGEST = "ingest"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """One API key. `caller` tells its request ids from another key's. Admin includes every other permission."""

    digest: bytes
    permissions: frozenset[Permission]
    caller: str


def read_keys(text: str | None) -> tuple[Key, ...]:
    """`<sha256 hex>:<scope>[+<scope>…][:<name>]`, separated by commas or white space. Raises ValueError."""
    keys = tuple(_key(place, entry) for place, entry in enumerate((text or "").replace(",", " ").split(), 1))
    for what, seen in (("hash", [key.digest for key in keys]), ("name", [key.caller for key in keys])):
        if len(set(seen)) != len(seen):
            raise ValueError(f"two API keys have the same {what}")
    return keys


def _key(place: int, entry: str) -> Key:
    found = _KEY.fullmatch(entry)
    if found is None:
        raise ValueError(
            f"API key {place} must read <sha256 hex>:<scope>[+<scope>...][:<name>], "
            'such as the output of `printf %s "$KEY" | sha256sum`, then :decide+ingest:shop'
        )
    digest, scopes, name = found.groups()
    try:
        permissions = frozenset(Permission(scope) for scope in scopes.split("+"))
    except ValueError:
        raise ValueError(f"API key {place}: scopes are {', '.join(Permission)}, joined by +") from None
    if Permission.ADMIN in permissions:
        permissions = frozenset(Permission)
    return Key(bytes.fromhex(digest), permissions, name or digest[:8].lower())


class Door:
    """Lets requests in, or raises Problem."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys

    @property
    def keyed(self) -> bool:
        return bool(self._keys)

    def admit(self, scope: Scope, headers: RequestHeaders, needed: Permission) -> str:
        """Who the caller is."""
        if not self._keys:
            require_loopback(scope, headers)
            return LOOPBACK_CALLER
        key = self._presented(headers)
        if needed not in key.permissions:
            raise Problem("forbidden", f"this needs a key with the scope {needed}")
        return key.caller

    def _presented(self, headers: RequestHeaders) -> Key:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            raise Problem("unauthorized", "send an API key as Authorization: Bearer <key>")
        digest = sha256(token.strip()).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise Problem("unauthorized", "this API key is not known")
        return found


def require_loopback(scope: Scope, headers: RequestHeaders) -> None:
    """Raises Problem for whoever isn't on this machine, as far as can be told."""
    client = scope.get("client")
    if client is None or not _is_loopback(client[0]):
        raise Problem("loopback_only", "configure API keys to serve other machines, or a unix socket")
    if not is_loopback_host(headers.get(b"host", b"")):
        raise Problem("loopback_only", "without API keys the Host must be localhost, 127.0.0.1 or [::1]")
    for name in headers:
        if name.startswith(_PROXY_SIGNS):
            raise Problem(
                "loopback_only", f"without API keys nothing that came through a proxy is served ({name.decode()})"
            )
    origin = headers.get(b"origin")
    if origin is not None and not _is_loopback_origin(origin):
        raise Problem("loopback_only", "without API keys no page of another origin is served")


def is_loopback_host(host: bytes) -> bool:
    """`host` as in the header: a name or an address, in brackets if IPv6, and perhaps a port."""
    text = host.decode("latin-1")
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return False
        port = port[1:]
    else:
        name, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback_origin(origin: bytes) -> bool:
    try:
        parts = urlsplit(origin.decode("latin-1"))
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_loopback_host(parts.netloc.encode("latin-1"))


def _is_loopback(address: str) -> bool:
    if address == "127.0.0.1":
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)
