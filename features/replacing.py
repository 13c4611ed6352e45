"""Whether a catalog may take the place of the one in force: not without a word where it has another name.

A digest says which version of a catalog it is, its name says whose. Another version under the same name is what a
reload is for. Another name is nearly always a mistyped --data: the other service would go on with a catalog that isn't
its own, and what waits in its outbox would be ended as not declared any more. Whoever means it says so.
"""

from __future__ import annotations

from catalog.bundle import Bundle, BundleError, unpack
from catalog.gone import gone
from features.catalogs import CatalogStore, Pointer


class AnotherName(ValueError):  # noqa: N818 - as a caller thinks of it
    """The catalog in force has another name. Nothing was changed."""


async def refuse_another_name(catalogs: CatalogStore, name: str | None, pointer: Pointer) -> None:
    """Raises AnotherName if the catalog at `pointer` isn't called `name`, StoreError.

    What this Tino can't read has no name here, None: whoever goes back to an older one has to get past it.
    """
    known = await catalogs.name_of(pointer.digest)
    if None not in (known, name) and known != name:
        raise AnotherName(
            f"the catalog in force here is {known!r}, and this one is {name!r}: is this the data you mean? "
            f"If {name!r} is to take its place, serve or reload it with --replace-catalog (TINO_REPLACE_CATALOG=1)"
        )


async def gone_by(catalogs: CatalogStore, bundle: Bundle, pointer: Pointer) -> list[str]:
    """What the catalog at `pointer` declares, and the one in `bundle`, which is to take its place, doesn't; a sentence
    each. Nothing where this Tino can't read the one. Raises StoreError.
    """
    try:
        return gone(unpack(await catalogs.packed(pointer.digest)), bundle)
    except BundleError:
        return []
