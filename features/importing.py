"""Importing customers from CSV, JSON Lines or Parquet: good rows are stored, bad ones reported with line and reason.

A column is an attribute of the same name unless mapped; `customer_id` is required; `consent:<purpose>` states a consent
(empty: nothing is stated); `test` marks test customers. An imported row merges into what is known: an empty cell leaves
the attribute as it is. A yes in the file is older than any no, told before or after, unless it is said when it was
given; a no in it is made as it is imported, and taken from a bad row too. The same file imported twice ends in the same
state.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from features.columns import BadRow, ImportRow
from features.deadline import Deadline
from features.identity import update
from features.store import CustomerStore

IN_FLIGHT = 64
WITHIN = 30.0


async def import_customers(
    store: CustomerStore,
    rows: Iterable[tuple[int, ImportRow | BadRow]],
    source: str,
    bad: Callable[[BadRow], None],
    done: Callable[[int], None],
    agreed_at: int | None = None,
) -> int:
    """Stores the good rows, up to 64 at a time, and returns how many; and what is kept of bad ones. Raises StoreError
    when one can't be stored.

    Rows of the same customer are applied in the order of the file. `agreed_at` as in ImportRow.change.
    """
    stored = 0
    for rows_at_once in _distinct(rows, IN_FLIGHT):
        deadline = Deadline(WITHIN)
        takes = [taken for _, row in rows_at_once if (taken := _taken(row)) is not None]
        await asyncio.gather(
            *(update(store, row.customer_id, row.change(source, agreed_at), deadline) for row in takes)
        )
        for _, row in rows_at_once:
            if isinstance(row, BadRow):
                bad(row)
        stored += sum(isinstance(row, ImportRow) for _, row in rows_at_once)
        done(len(rows_at_once))
    return stored


def _taken(row: ImportRow | BadRow) -> ImportRow | None:
    """What is stored of a row."""
    return row.kept if isinstance(row, BadRow) else row


def _distinct(
    rows: Iterable[tuple[int, ImportRow | BadRow]], most: int
) -> Iterator[list[tuple[int, ImportRow | BadRow]]]:
    """`rows` in runs of at most `most` in which no customer occurs twice."""
    run: list[tuple[int, ImportRow | BadRow]] = []
    seen: set[str] = set()
    for line, row in rows:
        taken = _taken(row)
        customer_id = None if taken is None else taken.customer_id
        if len(run) >= most or customer_id in seen:
            yield run
            run, seen = [], set()
        run.append((line, row))
        if customer_id is not None:
            seen.add(customer_id)
    if run:
        yield run
