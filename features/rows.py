"""Rows: reading CSV, JSON Lines and Parquet into rows with their line numbers, good ones and bad ones."""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from features.columns import CONSENT_PREFIX, ID_COLUMN, TEST_COLUMN, BadRow, Columns, ImportFileError, ImportRow
from rules.types import shown

FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")


def read_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    """The rows of the file with their line numbers. Raises ImportFileError before the first if it can't be read."""
    suffix = format_of(path)
    if suffix == ".csv":
        return _csv_rows(path, columns)
    return _parquet_rows(path, columns) if suffix == ".parquet" else _json_rows(path, columns)


def format_of(path: Path) -> str:
    """One of FORMATS. Raises ImportFileError where it is none, or there is no such file."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ImportFileError(f"{path.name}: can read {', '.join(FORMATS)}")
    if not path.is_file():
        raise ImportFileError(f"no such file: {path}")
    return suffix


def count_rows(path: Path) -> int:
    """How many rows there are to come, for a progress bar; lines for text files. Raises ImportFileError, OSError."""
    if path.suffix.lower() == ".parquet":
        return int(parquet_file(path).metadata.num_rows)
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _csv_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    with csv_rows(path) as (names, reader):
        columns.check(names)
        for line, cells in csv_cells(reader, len(names)):
            if isinstance(cells, BadRow):
                yield line, cells
            else:
                yield line, _row(columns, dict(zip(names, cells, strict=True)), line, text=True)


@contextmanager
def csv_rows(path: Path) -> Iterator[tuple[list[str], Any]]:
    """The names in the header, and the reader of what follows; bytes that are no UTF-8 come as surrogates. Raises
    ImportFileError.
    """
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
        except csv.Error as error:
            raise ImportFileError(f"{path.name}: the header is not CSV: {error}") from None
        yield names, reader


def csv_cells(reader: Any, width: int) -> Iterator[tuple[int, list[str] | BadRow]]:
    """The rows after the header, each with the line it begins on; those that aren't `width` cells are bad."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield line, BadRow(line, f"not CSV: {error}{_swallowed(line, reader.line_num)}")
            continue
        if cells is None:
            return
        if len(cells) == width:
            yield line, cells
        elif cells:  # an empty line is no row
            reason = f"expected {width} cells, got {len(cells)}"
            yield line, BadRow(line, reason + _swallowed(line, reader.line_num))


def _swallowed(first: int, last: int) -> str:
    """The lines that a row which can't be read took with it, to be appended to what is wrong with it."""
    return f"; it takes lines {first} to {last}: is a quote left open?" if last > first else ""


def _json_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    known = {ID_COLUMN, TEST_COLUMN, *columns.types, *(CONSENT_PREFIX + purpose for purpose in columns.purposes)}
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                cells = json.loads(text, object_pairs_hook=unrepeated)
            except (ValueError, RecursionError) as error:
                yield line, BadRow(line, f"not JSON: {error}")
                continue
            if not isinstance(cells, dict):
                yield line, BadRow(line, f"expected an object, got {shown(cells)}")
                continue
            unknown = next((name for name in cells if columns.name(name) not in known), None)
            if len({columns.name(name) for name in cells}) < len(cells):
                yield line, _bad(columns, cells, line, "two keys mean the same")
            elif unknown is not None:
                yield line, _bad(columns, cells, line, f"{unknown!r} is not a declared attribute of the customer")
            else:
                yield line, _row(columns, cells, line, text=False)


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) < len(pairs):
        raise ValueError("a key is given twice")
    return cells


def _parquet_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    file = parquet_file(path)
    columns.check(file.schema_arrow.names)
    line = 0
    for batch in file.iter_batches(batch_size=4096):
        for cells in _cells(batch):
            line += 1
            if isinstance(cells, _OutOfRange):
                yield line, _bad(columns, cells.others, line, cells.reason)
            else:
                yield line, _row(columns, cells, line, text=False)


def parquet_file(path: Path) -> Any:
    """Raises ImportFileError."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ImportFileError(f"{path.name} is not Parquet: {error}") from None


class _OutOfRange(NamedTuple):
    """A row that no Python values hold, and its other cells."""

    reason: str
    others: dict[str, Any]


def _cells(batch: Any) -> Iterator[dict[str, Any] | _OutOfRange]:
    """The rows of a batch; a timestamp finer than a microsecond is cut, one that no calendar holds is a bad row."""
    for place, kind in enumerate(batch.schema):
        if pa.types.is_timestamp(kind.type) and kind.type.unit == "ns":
            coarser = batch.column(place).cast(pa.timestamp("us", kind.type.tz), safe=False)
            batch = batch.set_column(place, kind.name, coarser)
    try:
        yield from batch.to_pylist()
    except (OverflowError, ValueError):
        for place in range(batch.num_rows):
            yield _cells_of_one(batch.slice(place, 1))


def _cells_of_one(row: Any) -> dict[str, Any] | _OutOfRange:
    cells, reason = {}, ""
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            cells[name] = column[0].as_py()
        except (OverflowError, ValueError) as error:
            reason = reason or f"a value is out of range: {error}"
    return _OutOfRange(reason, cells) if reason else cells


def _row(columns: Columns, cells: Mapping[str, Any], line: int, *, text: bool) -> ImportRow | BadRow:
    try:
        return columns.row(cells, text=text)
    except (ValueError, RecursionError) as error:
        return _bad(columns, cells, line, str(error))


def _bad(columns: Columns, cells: Mapping[str, Any], line: int, reason: str) -> BadRow:
    """An opt-out is not lost for what stands beside it in its row."""
    kept = columns.noes(cells)
    if kept is None:
        return BadRow(line, reason)
    return BadRow(line, f"{reason}; its no to {', '.join(kept.consents)} is kept", kept)
