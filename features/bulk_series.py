"""What many events come to in series, per piece of a batch, by sorting and adding up columns instead of event by event.

A piece (some events of one customer) gets for each series what `features.series.put` would make of its events, as a
state of its own, to be joined to the customer's: that joining is the same in any order is what makes this exact. Sums
are whole numbers here as there; where 64 bits could overflow they are Python's.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from catalog.series import Kept, Series
from features.bulk_batch import Batch
from features.bulk_coded import Ints, Mask
from features.readings import frame_of, holds
from features.series import Stored, joined, kept_sum, scaled, short, told

_MOST = 2**62


class Reads(NamedTuple):
    """The rows that a series reads, as far as its filter holds, whether or not they are too old for it."""

    event: str
    series: Series
    rows: Ints


def readers(batch: Batch) -> list[Reads]:
    """Who reads what."""
    return [
        Reads(event_type, series, _counted(batch, event_type, series, rows))
        for event_type, fed in batch.aggregates.of_event.items()
        if len(rows := batch.rows_of(event_type))
        for series in fed
    ]


def _counted(batch: Batch, event_type: str, series: Series, rows: Ints) -> Ints:
    if series.property is not None:
        column, typed = batch.typed(event_type, series.property)
        rows = rows[typed.present[column.codes[rows]]]
    return rows if series.where is None or not len(rows) else rows[_filtered(batch, event_type, series, rows)]


def _filtered(batch: Batch, event_type: str, series: Series, rows: Ints) -> Mask:
    """Where the filter holds, asked once for each combination of the values that it reads."""
    names = sorted(series.filtered or batch.aggregates.needed[event_type])
    columns = [batch.typed(event_type, name) for name in names]
    which = np.zeros(len(rows), dtype=np.int64)
    firsts = np.zeros(1, dtype=np.int64)
    for column, _ in columns:
        _, firsts, which = np.unique(
            which * len(column.values) + column.codes[rows], return_index=True, return_inverse=True
        )
    answers = np.zeros(len(firsts), dtype=bool)
    for place, row in enumerate(rows[firsts].tolist()):
        values = {name: typed.made[column.codes[row]] for name, (column, typed) in zip(names, columns, strict=True)}
        present = {name: value for name, value in values.items() if value is not None}
        answers[place] = holds(series, frame_of(present))
    found: Mask = answers[which]
    return found


def deltas(batch: Batch, found: list[Reads], piece_of: Ints, pieces: int) -> list[dict[int, Stored]]:
    """Per piece what its events come to, by the key of the series. `piece_of` has the piece of each row, −1 for none.

    Events that no window can see any more are left out, as in features.readings.kept.
    """
    made: list[dict[int, Stored]] = [{} for _ in range(pieces)]
    for event, series, rows in found:
        counted = rows[(piece_of[rows] >= 0) & ~too_old(series, batch.at[rows], batch.now)]
        if len(counted):
            for piece, stored in _KINDS[series.kept](batch, event, series, counted, piece_of[counted]):
                made[piece][series.key] = stored
    return made


def too_old(series: Series, at: Ints, now: int) -> Mask:
    """As features.series.is_past."""
    if not series.horizon:
        return np.zeros(len(at), dtype=bool)
    end = now - series.horizon
    return at <= end if series.kept is Kept.LATEST else at // series.tile <= end // series.tile


class _Tiles(NamedTuple):
    """Rows put together by piece and tile. `order` sorts the rows so; group i begins at `starts[i]` of them and is of
    `pieces[i]`, `tiles[i]`; the groups of a piece begin at `firsts`.
    """

    order: Ints
    starts: Ints
    pieces: Ints
    tiles: Ints
    firsts: Ints

    def columns(self, *columns: list[Any]) -> Iterator[tuple[int, Stored]]:
        """Per piece its tiles and its part of each column, which have a value per group."""
        tiles, ends = self.tiles.tolist(), [*self.firsts[1:].tolist(), len(self.starts)]
        for first, end, piece in zip(self.firsts.tolist(), ends, self.pieces[self.firsts].tolist(), strict=True):
            yield piece, [tiles[first:end], *(column[first:end] for column in columns)]


def _tiles(series: Series, pieces: Ints, at: Ints, *more: Ints) -> _Tiles:
    """Within a group rows ascend by `more`, the first of them first."""
    tiles = at // series.tile if series.tile else np.zeros(len(at), np.int64)
    order = np.lexsort((*reversed(more), tiles, pieces))
    pieces, tiles = pieces[order], tiles[order]
    begins = _begins(pieces)
    starts = np.flatnonzero(begins | _begins(tiles))
    return _Tiles(order, starts, pieces[starts], tiles[starts], np.flatnonzero(_begins(pieces[starts])))


def _begins(values: Ints) -> Mask:
    """Where a value differs from the one before."""
    found = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


Made = Iterator[tuple[int, Stored]]


def _added(batch: Batch, event: str, series: Series, rows: Ints, pieces: Ints) -> Made:
    groups = _tiles(series, pieces, batch.at[rows])
    counts = np.diff(groups.starts, append=len(rows)).tolist()
    if not series.sums or series.property is None:
        for piece, (tiles, seen) in groups.columns(counts):
            yield piece, [tiles, seen, []]
        return
    column, typed = batch.typed(event, series.property)
    wholes = [0 if value is None else scaled(series, value) for value in typed.made]
    fits = max(map(abs, wholes), default=0) * len(rows) < _MOST
    amounts = np.array(wholes, dtype=np.int64 if fits else object)[column.codes[rows][groups.order]]
    sums = np.add.reduceat(amounts, groups.starts).tolist()
    yield from groups.columns(counts, sums if fits else list(map(kept_sum, sums)))


def _extreme(batch: Batch, event: str, series: Series, rows: Ints, pieces: Ints) -> Made:
    values, ranks = _ranked(batch, event, series, rows)
    groups = _tiles(series, pieces, batch.at[rows], ranks if series.kept is Kept.LEAST else -ranks)
    best = groups.order[groups.starts]
    yield from groups.columns([values[rank] for rank in ranks[best].tolist()])


def _ended(batch: Batch, event: str, series: Series, rows: Ints, pieces: Ints) -> Made:
    """The first or the last in each tile."""
    values, ranks = _ranked(batch, event, series, rows)
    at, sign = batch.at[rows], 1 if series.kept is Kept.FIRST else -1
    groups = _tiles(series, pieces, at, sign * at, sign * ranks)
    best = groups.order[groups.starts]
    for piece, stored in groups.columns(at[best].tolist(), [values[rank] for rank in ranks[best].tolist()]):
        yield piece, _as_kept(series, stored)


def _latest(batch: Batch, event: str, series: Series, rows: Ints, pieces: Ints) -> Made:
    order = np.argsort(pieces, kind="stable")
    starts = np.flatnonzero(_begins(pieces[order]))
    latest = np.maximum.reduceat(batch.at[rows][order], starts)
    yield from zip(pieces[order][starts].tolist(), latest.tolist(), strict=True)


def _values(batch: Batch, event: str, series: Series, rows: Ints, pieces: Ints) -> Made:
    column, typed = batch.typed(event, series.property or "")
    codes = column.codes[rows]
    tiles = batch.at[rows] // series.tile if series.tile else np.zeros(len(rows), np.int64)
    order = np.lexsort((codes, tiles, pieces))
    pieces, tiles, codes = pieces[order], tiles[order], codes[order]
    once = np.flatnonzero(_begins(pieces) | _begins(tiles) | _begins(codes))
    pieces, tiles = pieces[once], tiles[once]
    firsts = np.flatnonzero(_begins(pieces))
    groups = _Tiles(order, once, pieces, tiles, firsts)
    shown = [None if value is None else told(series, value) for value in typed.made]
    for piece, stored in groups.columns([shown[code] for code in codes[once].tolist()]):
        yield piece, _as_kept(series, stored)


def _as_kept(series: Series, stored: Stored) -> Stored:
    """In the order, and with no more, than is kept."""
    return joined(series, [[] for _ in stored], stored)


def _ranked(batch: Batch, event: str, series: Series, rows: Ints) -> tuple[list[Any], Ints]:
    """The distinct values, ascending, and the rank of each row's."""
    column, typed = batch.typed(event, series.property or "")
    made = [short(value) for value in typed.made]
    there = [code for code, value in enumerate(made) if value is not None]
    there.sort(key=made.__getitem__)
    rank_of = np.zeros(len(made), dtype=np.int64)
    rank_of[there] = np.arange(len(there))
    return [made[code] for code in there], rank_of[column.codes[rows]]


_KINDS = {
    Kept.ADDED: _added,
    Kept.LEAST: _extreme,
    Kept.MOST: _extreme,
    Kept.FIRST: _ended,
    Kept.LAST: _ended,
    Kept.LATEST: _latest,
    Kept.VALUES: _values,
}
