"""Reloading: another catalog is put in force, and everybody who serves has taken it up, or nobody has.

Either all workers that are there confirm the new catalog, or, when one can't load it or doesn't answer in time, the
pointer goes back and they all return: a service in which two catalogs decide would hold neither's limits. A worker that
was killed is waited for until its entry has run out. One that starts, or comes back, meanwhile sees the pointer itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from secrets import token_hex

from features.catalogs import CatalogStore, Pointer
from features.errors import StoreError
from features.replacing import refuse_another_name
from features.workers import Present, Workers

LOOK_EVERY = 0.05
_SPARE = 10.0


class ReloadFailed(Exception):  # noqa: N818 - as a caller thinks of it
    """The catalog that was in force before still is, or is again; the message names who couldn't follow, and why."""


async def reload(
    catalogs: CatalogStore, workers: Workers, digest: str, within: float, *, replace: bool = False
) -> Sequence[Present]:
    """Puts `digest`, which is kept already, in force; returns those who serve it, once all do.

    `within` is how long, in seconds, they may take; `replace` says that it may have another name than what is in force.
    Raises ReloadFailed, AnotherName, StoreError.
    """
    token = token_hex(8)
    # As long as going there and back may take: of two at once, one would return to what the other never confirmed.
    if not await catalogs.begin_reload(token, 2 * within + _SPARE):
        raise ReloadFailed("another reload is under way; look which catalog is served, and reload again")
    try:
        return await _reload(catalogs, workers, digest, within, replace)
    finally:
        await catalogs.end_reload(token)


async def _reload(
    catalogs: CatalogStore, workers: Workers, digest: str, within: float, replace: bool
) -> Sequence[Present]:
    before = await catalogs.in_force()
    if not replace:
        await refuse_another_name(catalogs, await catalogs.name_of(digest), before)
    pointer = await catalogs.put_in_force(digest, before)
    if pointer is None:
        raise ReloadFailed("another catalog was put in force at the same moment; look which one is served")
    try:
        async with asyncio.timeout(within):
            return await _all_follow(catalogs, workers, pointer)
    except TimeoutError:
        late = [worker for worker in await workers.present() if worker.entry.pointer != pointer]
        reason = "; ".join(f"{worker.name} has not taken it up within {within:.0f} s" for worker in late)
    except _Refused as refusal:
        reason = str(refusal)
    raise ReloadFailed(f"{reason}; {await _back(catalogs, workers, pointer, before, within)}")


class _Refused(Exception):  # noqa: N818
    pass


async def _all_follow(catalogs: CatalogStore, workers: Workers, pointer: Pointer) -> Sequence[Present]:
    while True:
        # The pointer has moved: were nobody to watch because Redis was away for a moment, nobody would move it back.
        with contextlib.suppress(StoreError):
            # Who is there is asked first: whoever enters later than this looks at the pointer after it has moved.
            there = await workers.present()
            refusing = [worker for worker in there if worker.entry.refused == pointer.epoch]
            if refusing:
                raise _Refused("; ".join(f"{worker.name}: {worker.entry.reason}" for worker in refusing))
            if await catalogs.in_force() != pointer:
                raise ReloadFailed("another catalog was put in force meanwhile; look which one is served")
            if all(worker.entry.pointer == pointer for worker in there):
                return there
        await asyncio.sleep(LOOK_EVERY)


async def _back(catalogs: CatalogStore, workers: Workers, pointer: Pointer, before: Pointer, within: float) -> str:
    """Returns to `before`; says what has come of it."""
    if before.digest in ("", pointer.digest):
        return "there is nothing to go back to"
    back = await catalogs.put_in_force(before.digest, pointer)
    if back is None:
        return "another catalog was put in force meanwhile"
    try:
        async with asyncio.timeout(within):
            await _all_follow(catalogs, workers, back)
    except (TimeoutError, _Refused, ReloadFailed) as error:
        return f"{before.digest} is in force again, but not everybody has returned to it: {str(error) or 'too slow'}"
    return f"{before.digest} is in force again"
