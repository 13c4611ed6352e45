"""What a worker decides by, made from a kept catalog without holding up the event loop.

It is most of a second of Python for a thousand actions, in a thread that shares the interpreter with the loop: each
callback of the loop would have to ask for it back, and under load there is no time for that. So the thread works in
slices and sleeps in between, and asks of Python to be interrupted at every call and return for it. What this costs and
gains: docs/decisions/reload.md.
"""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

from catalog.building import build_plan
from catalog.bundle import load_bundle, unpack
from catalog.loading import LoadedCatalog
from catalog.plan import Plan
from models.scoring import Models

SLICE, PAUSE = 0.0003, 0.0006
SWITCH_INTERVAL = 0.0002  # for the little that has no calls in it


class Made(NamedTuple):
    """What a catalog becomes: its plan, and its models, loaded."""

    plan: Plan
    models: Models


def made_of(catalog: LoadedCatalog) -> Made:
    """Raises ModelError."""
    plan = build_plan(catalog)
    return Made(plan, Models(plan))


def made_of_packed(packed: bytes, digest: str, folder: Path) -> Made:
    """For `folder` see `load_bundle`; it isn't needed afterwards. Raises BundleError, ModelError, OSError."""
    return made_of(load_bundle(unpack(packed), digest, folder))


async def made_beside_the_loop(packed: bytes, digest: str, folder: Path) -> Made:
    """The same in about ten times the time, for a loop that has others to serve meanwhile."""
    with _little_interrupted():
        return await asyncio.to_thread(_in_slices, packed, digest, folder)


def _in_slices(packed: bytes, digest: str, folder: Path) -> Made:
    sys.setprofile(_breathing())  # of this thread alone
    try:
        return made_of_packed(packed, digest, folder)
    finally:
        sys.setprofile(None)


def _breathing() -> Callable[[object, str, object], None]:
    began = perf_counter()

    def breathe(frame: object, event: str, argument: object) -> None:
        nonlocal began
        if perf_counter() - began > SLICE:
            sleep(PAUSE)
            began = perf_counter()

    return breathe


@contextlib.contextmanager
def _little_interrupted() -> Iterator[None]:
    """The thread gives the interpreter up soon when the loop wants it, and what it makes is never looked through.

    All that loading leaves stays as long as its plan: the collector would walk over it, which stops everything for a
    tenth of a second.
    """
    interval, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
        sys.setswitchinterval(interval)
