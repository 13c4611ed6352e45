"""What the purchase lines add up to, per household, before a given moment.

A single pass over the lines, in batches, adds each batch to dense arrays: cents per household (and per household and
product category), first and last purchase, one entry per basket. Money is added as whole cents, so the sums are exact
and do not depend on the size of a batch. A department or category counts over the last 90 days.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from examples.grocery.products import Products, read_products
from examples.grocery.source import Ints, read, seconds

BATCH = 65_536
DAY = 86_400
NEVER = np.iinfo(np.int64).max
LINE_COLUMNS = ["household_id", "basket_id", "product_id", "sales_value", "transaction_timestamp"]

Progress = Callable[[int, int], None]


class Purchases:
    """What the lines read so far add up to, per household. Amounts in cents, moments in seconds since 1970 (UTC)."""

    def __init__(self, households: Ints, products: Products, as_of: int) -> None:
        self.households = households
        self.products = products
        self.as_of = as_of
        size = len(households)
        self.first = np.full(size, NEVER, dtype=np.int64)
        self.last = np.full(size, -NEVER, dtype=np.int64)
        self.cents = {window: np.zeros(size, dtype=np.int64) for window in (30, 90, 365)}
        self.private_cents = np.zeros(size, dtype=np.int64)
        self.category_cents = np.zeros((size, len(products.categories)), dtype=np.int64)
        self.department_cents = np.zeros((size, len(products.departments)), dtype=np.int64)
        self._baskets: list[tuple[Ints, Ints, Ints]] = []

    def add(self, batch: Any) -> None:
        """Takes a batch of lines; those at or after the moment are passed over."""
        moment = seconds(batch.column("transaction_timestamp"))
        known = moment < self.as_of
        moment = moment[known]
        who = np.searchsorted(self.households, batch.column("household_id").to_numpy()[known])
        cents = np.rint(batch.column("sales_value").to_numpy()[known] * 100).astype(np.int64)
        np.minimum.at(self.first, who, moment)
        np.maximum.at(self.last, who, moment)
        for window in self.cents:
            within = moment >= self.as_of - window * DAY
            self.cents[window] += added(who[within], cents[within], len(self.households))
        basket, line = np.unique(batch.column("basket_id").to_numpy()[known], return_index=True)
        self._baskets.append((basket, who[line], moment[line]))
        recent = moment >= self.as_of - 90 * DAY
        self._add_products(who[recent], batch.column("product_id").to_numpy()[known][recent], cents[recent])

    def _add_products(self, who: Ints, product: Ints, cents: Ints) -> None:
        row, found = self.products.rows(product)
        who, row, cents = who[found], row[found], cents[found]
        private = self.products.private[row]
        self.private_cents += added(who[private], cents[private], len(self.households))
        self.category_cents += added_by_code(who, self.products.category[row], cents, self.category_cents.shape)
        self.department_cents += added_by_code(who, self.products.department[row], cents, self.department_cents.shape)

    def visits(self, window: int) -> Ints:
        """Baskets per household in the window's days. A basket whose lines fall in two batches counts once."""
        baskets, who, moment = (np.concatenate(part) for part in zip(*self._baskets, strict=True))
        _, once = np.unique(baskets, return_index=True)
        within = once[moment[once] >= self.as_of - window * DAY]
        return np.bincount(who[within], minlength=len(self.households)).astype(np.int64)


def added(where: Ints, amounts: Ints, size: int) -> Ints:
    """Amounts summed by position. The detour through doubles is exact: the sums are far below 2**53."""
    return np.bincount(where, weights=amounts, minlength=size).astype(np.int64)


def added_by_code(who: Ints, code: Ints, amounts: Ints, shape: tuple[int, ...]) -> Ints:
    """Amounts summed by household (row) and code (column)."""
    return added(who * shape[1] + code, amounts, shape[0] * shape[1]).reshape(shape)


def read_purchases(source: Path, as_of: int, progress: Progress) -> Purchases:
    lines = pq.ParquetFile(source / "transactions.parquet")
    households = np.unique(read(source, "transactions", ["household_id"])["household_id"].to_numpy())
    purchases = Purchases(households, read_products(source), as_of)
    total = lines.metadata.num_rows
    done = 0
    for batch in lines.iter_batches(BATCH, columns=LINE_COLUMNS):
        purchases.add(batch)
        done += batch.num_rows
        progress(done, total)
    return purchases
