"""Retention: how long the catalog in force wants things kept, and which days have passed.

It is asked anew at every drain, as a reload may have changed it. What can't be read lets nothing be removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from catalog.bundle import unpack
from catalog.retention import Retention
from features.catalogs import NOTHING, CatalogStore
from features.customer import micros
from features.link import Link

_MICROSECOND = timedelta(microseconds=1)


async def retention_in_force(link: Link) -> Retention:
    """For ever, where no catalog is in force. Raises StoreError, ValueError if the catalog in Redis can't be read."""
    catalogs = CatalogStore(link)
    pointer = await catalogs.in_force()
    if pointer == NOTHING:
        return Retention()
    values = json.loads(unpack(await catalogs.packed(pointer.digest)).values)
    return Retention.model_validate(values.get("retention", {}))


def expired_days(days: Iterable[tuple[date, Path]], now_us: int, kept: timedelta | None) -> list[Path]:
    """The days all of whose moments are at least as long before `now_us` (service time, microseconds since 1970)."""
    if kept is None:
        return []
    retention_us = kept // _MICROSECOND
    return [path for day, path in days if _end_us(day) + retention_us <= now_us]


def _end_us(day: date) -> int:
    return micros(datetime.combine(day, time(), UTC)) + timedelta(days=1) // _MICROSECOND
