"""The catalogs in Redis: each kept as a bundle under its digest, and a pointer to the one in force.

A digest says what a catalog means, so what is kept under it never changes, and whoever wrote it first has written it
for all. Nothing removes a catalog: for as long as a decision is kept that names it, it is needed to decide again, and
it is small. The pointer counts its moves: of two pointers the one with the larger epoch is the later one, also where
a reload has led back to a catalog that was in force before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalog.bundle import Bundle, BundleError, load_bundle, name_in, pack, unpack
from catalog.loading import LoadedCatalog
from features.keys import IN_FORCE, RELOADING, catalog_key
from features.link import Link

WITHIN = 5.0

# From what was seen, or not at all; without an epoch given, one more than there is.
_MOVE = """
local seen = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local epoch = tonumber(ARGV[3])
if epoch == 0 then
  if seen ~= tonumber(ARGV[2]) then return 0 end
  epoch = seen + 1
elseif seen >= epoch then
  return 0
end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'digest', ARGV[1])
return epoch
"""


_END = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class NoSuchCatalog(BundleError):  # noqa: N818 - as a caller thinks of it
    """Nothing is kept under this digest."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which catalog is in force. `epoch` counts the moves, from 1; 0 stands for no catalog yet."""

    epoch: int
    digest: str


NOTHING = Pointer(0, "")


class CatalogStore:
    """Every method raises StoreError when Redis does not answer as it should."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def keep(self, digest: str, bundle: Bundle) -> None:
        await self.keep_packed(digest, pack(bundle))

    async def keep_packed(self, digest: str, packed: bytes) -> None:
        await self._link.ask("SET", catalog_key(digest), packed, "NX", within=WITHIN)

    async def packed(self, digest: str) -> bytes:
        """The bundle as it is kept. Raises NoSuchCatalog."""
        found = await self._link.ask("GET", catalog_key(digest), within=WITHIN)
        if found is None:
            raise NoSuchCatalog(f"no catalog is kept as {digest}")
        packed: bytes = found
        return packed

    async def load(self, digest: str, folder: Path) -> LoadedCatalog:
        """The catalog as it was; for `folder` see `load_bundle`. Raises BundleError, OSError."""
        return load_bundle(unpack(await self.packed(digest)), digest, folder)

    async def name_of(self, digest: str) -> str | None:
        """What the catalog is called; None where nothing is kept, or what this Tino can't read."""
        try:
            return name_in(unpack(await self.packed(digest)))
        except BundleError:
            return None

    async def names(self) -> list[str]:
        """The digests of all catalogs that are kept. Walks over every key there is: not for busy times."""
        found: set[str] = set()
        cursor = b"0"
        while True:
            cursor, keys = await self._link.ask("SCAN", cursor, "MATCH", catalog_key("*"), "COUNT", 1000, within=WITHIN)
            found.update(key.decode().removeprefix(catalog_key("")) for key in keys)
            if cursor == b"0":
                return sorted(found)

    async def in_force(self) -> Pointer:
        """NOTHING before the first catalog."""
        epoch, digest = await self._link.ask("HMGET", IN_FORCE, "epoch", "digest", within=WITHIN)
        return NOTHING if epoch is None or digest is None else Pointer(int(epoch), digest.decode())

    async def put_in_force(self, digest: str, instead: Pointer) -> Pointer | None:
        """Moves the pointer on to `digest`, which is kept already; None if it no longer is where `instead` says."""
        epoch = await self._link.ask("EVAL", _MOVE, 1, IN_FORCE, digest, instead.epoch, 0, within=WITHIN)
        return Pointer(int(epoch), digest) if epoch else None

    async def begin_reload(self, token: str, seconds: float) -> bool:
        """Whether nobody else is reloading; until `end_reload`, or for so many seconds, nobody else will."""
        milliseconds = int(seconds * 1000)
        return bool(await self._link.ask("SET", RELOADING, token, "NX", "PX", milliseconds, within=WITHIN))

    async def end_reload(self, token: str) -> None:
        await self._link.ask("EVAL", _END, 1, RELOADING, token, within=WITHIN)

    async def restore(self, pointer: Pointer, packed: bytes) -> None:
        """Brings back what Redis has lost: the catalog, and the pointer, unless that has moved on since."""
        await self.keep_packed(pointer.digest, packed)
        await self._link.ask("EVAL", _MOVE, 1, IN_FORCE, pointer.digest, 0, pointer.epoch, within=WITHIN)
