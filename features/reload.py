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
from features.errors import StoreError, Uncertain
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
        with contextlib.suppress(StoreError):  # it runs out by itself
            await catalogs.end_reload(token)


async def _reload(
    catalogs: CatalogStore, workers: Workers, digest: str, within: float, replace: bool
) -> Sequence[Present]:
    before = await catalogs.in_force()
    if not replace:
        await refuse_another_name(catalogs, await catalogs.name_of(digest), before)
    pointer = await _moved(catalogs, digest, before, within)
    if pointer is None:
        raise ReloadFailed("another catalog was put in force at the same moment; look which one is served")
    try:
        async with asyncio.timeout(within):
            return await _all_follow(catalogs, workers, pointer)
    except TimeoutError:
        reason = await _who_is_late(workers, pointer, within)
    except _Refused as refusal:
        reason = str(refusal)
    raise ReloadFailed(f"{reason}; {await _back(catalogs, workers, pointer, before, within)}")


async def _moved(catalogs: CatalogStore, digest: str, instead: Pointer, within: float) -> Pointer | None:
    """The pointer at `digest`; None if it no longer was where `instead` says. Raises StoreError, ReloadFailed.

    Where a reply is lost it may have moved, or may yet: left open, nobody would watch who follows. So the same
    move is asked for again, which comes to nothing after the first, until Redis says where the pointer stands.
    """
    try:
        return await catalogs.put_in_force(digest, instead)
    except Uncertain as error:
        lost = str(error)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while True:
                with contextlib.suppress(StoreError):
                    pointer = await catalogs.put_in_force(digest, instead) or await catalogs.in_force()
                    # Nobody else reloads meanwhile, so what is the next one is ours.
                    return pointer if pointer == Pointer(instead.epoch + 1, digest) else None
                await asyncio.sleep(LOOK_EVERY)
    raise ReloadFailed(
        f"whether {digest} is in force is not known, as Redis has not answered for {within:.0f} s ({lost}): "
        "look which catalog is served, and reload again"
    )


async def _who_is_late(workers: Workers, pointer: Pointer, within: float) -> str:
    try:
        late = [worker for worker in await workers.present() if worker.entry.pointer != pointer]
    except StoreError as error:
        return f"who serves it is not known, as Redis does not answer: {error}"
    return "; ".join(f"{worker.name} has not taken it up within {within:.0f} s" for worker in late)


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
    try:
        back = await _moved(catalogs, before.digest, pointer, within)
    except ReloadFailed as error:
        return str(error)
    if back is None:
        return "another catalog was put in force meanwhile"
    try:
        async with asyncio.timeout(within):
            await _all_follow(catalogs, workers, back)
    except (TimeoutError, _Refused, ReloadFailed) as error:
        return f"{before.digest} is in force again, but not everybody has returned to it: {str(error) or 'too slow'}"
    return f"{before.digest} is in force again"
