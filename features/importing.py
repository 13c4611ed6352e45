"""Importing customers from CSV, JSON Lines or Parquet: good rows are stored, bad ones reported with line and reason.

A column is an attribute of the same name unless mapped; `customer_id` is required; `consent:<purpose>` states a consent
(empty: nothing is stated); `test` marks test customers. An imported row merges into what is known: an empty cell leaves
the attribute as it is. A consent in the file is stated as of the import; it never turns a recorded no into a yes. The
same file imported twice ends in the same state.
"""

import asyncio
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.customer import Consent, Customer, with_attributes, with_consent
from features.deadline import Deadline
from features.store import Change, CustomerStore
from rules.types import AttributeType, coerce, shown, valid_zone

ID_COLUMN = "customer_id"
TEST_COLUMN = "test"
CONSENT_PREFIX = "consent:"
FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")
LONGEST_ID = 256
IN_FLIGHT = 64
WITHIN = 30.0
_UNDECODED = re.compile("[\udc80-\udcff]")  # what bytes that are no UTF-8 become
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class ImportFileError(ValueError):
    """The file as a whole can't be imported; nothing was."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out. `line` counts from 1, in a CSV from its header, in Parquet over all rows."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImportRow:
    customer_id: str
    attributes: dict[str, Any]
    consents: dict[str, bool]
    test: bool | None = None

    def change(self, source: str) -> Change:
        """The change this row makes to a customer."""

        def apply(customer: Customer, now: int) -> Customer:
            changed = with_attributes(customer, self.attributes)
            for purpose, granted in self.consents.items():
                known = changed.consents.get(purpose)
                # A file doesn't say when its consents were given: a refusal on record is not overruled by it.
                if known is None or (known.granted and not granted):
                    changed = with_consent(changed, purpose, Consent(granted, now, source))
            if self.test is not None and self.test is not changed.test:
                changed = Customer(changed.attributes, changed.consents, changed.contacts, self.test)
            return changed

        return apply


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file mean, against the declared attributes. `mapping` is from column to attribute."""

    types: Mapping[str, AttributeType]
    purposes: Sequence[str]
    mapping: Mapping[str, str] = field(default_factory=dict)

    def name(self, column: str) -> str:
        return self.mapping.get(column, column)

    def check(self, columns: Iterable[str]) -> None:
        """Raises ImportFileError for a column that means nothing, or none that identifies the customer."""
        names = [self.name(column) for column in columns]
        missing = [column for column in self.mapping if column not in set(columns)]
        if missing:
            raise ImportFileError(f"mapped column {missing[0]!r} is not in the file, which has {', '.join(columns)}")
        if ID_COLUMN not in names:
            raise ImportFileError(f"no column {ID_COLUMN}: map one to it, as in --map id={ID_COLUMN}")
        for name in names:
            purpose = name.removeprefix(CONSENT_PREFIX) if name.startswith(CONSENT_PREFIX) else None
            if purpose is not None and purpose not in self.purposes:
                raise ImportFileError(f"column {name!r}: {purpose!r} is not a declared purpose")
            if purpose is None and name not in self.types and name not in (ID_COLUMN, TEST_COLUMN):
                raise ImportFileError(f"column {name!r} is not a declared attribute of the customer")
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ImportFileError(f"two columns mean {repeated!r}")

    def row(self, cells: Mapping[str, Any], *, text: bool) -> ImportRow:
        """`cells` of one row; `text` says that values are text to be parsed, as in CSV. Raises ValueError."""
        attributes: dict[str, Any] = {}
        consents: dict[str, bool] = {}
        test: bool | None = None
        customer_id = None
        for column, raw in cells.items():
            name = self.name(column)
            if raw is None or (text and raw == ""):
                continue
            if name == ID_COLUMN:
                customer_id = _customer_id(raw)
            elif name == TEST_COLUMN:
                test = _boolean(raw, name)
            elif name.startswith(CONSENT_PREFIX):
                consents[name.removeprefix(CONSENT_PREFIX)] = _boolean(raw, name)
            else:
                attributes[name] = self._attribute(name, raw, text)
        if customer_id is None:
            raise ValueError(f"{ID_COLUMN} is empty")
        return ImportRow(customer_id, attributes, consents, test)

    def _attribute(self, name: str, raw: Any, text: bool) -> Any:
        try:
            value = coerce(self.types[name], _parsed(self.types[name], raw) if text else _plain(raw))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if name == "timezone" and not valid_zone(str(value)):
            raise ValueError(f"timezone: {shown(value)} is not an IANA time zone")
        return value


def read_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    """The rows of the file with their line numbers. Raises ImportFileError before the first if it can't be read."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ImportFileError(f"{path.name}: can read {', '.join(FORMATS)}")
    if not path.is_file():
        raise ImportFileError(f"no such file: {path}")
    if suffix == ".csv":
        return _csv_rows(path, columns)
    return _parquet_rows(path, columns) if suffix == ".parquet" else _json_rows(path, columns)


def count_rows(path: Path) -> int:
    """How many rows there are to come, for a progress bar; lines for text files."""
    if path.suffix.lower() == ".parquet":
        return int(pq.ParquetFile(path).metadata.num_rows)
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _csv_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
        except csv.Error as error:
            raise ImportFileError(f"{path.name}: the header is not CSV: {error}") from None
        columns.check(names)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield line, BadRow(line, f"not CSV: {error}")
                continue
            if cells is None:
                return
            if len(cells) == len(names):
                yield line, _row(columns, dict(zip(names, cells, strict=True)), line, text=True)
            elif cells:  # an empty line is no row
                yield line, BadRow(line, f"expected {len(names)} cells, got {len(cells)}")


def _json_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    known = {ID_COLUMN, TEST_COLUMN, *columns.types, *(CONSENT_PREFIX + purpose for purpose in columns.purposes)}
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                cells = json.loads(text, object_pairs_hook=_unrepeated)
            except (ValueError, RecursionError) as error:
                yield line, BadRow(line, f"not JSON: {error}")
                continue
            if not isinstance(cells, dict):
                yield line, BadRow(line, f"expected an object, got {shown(cells)}")
                continue
            unknown = next((name for name in cells if columns.name(name) not in known), None)
            if len({columns.name(name) for name in cells}) < len(cells):
                yield line, BadRow(line, "two keys mean the same")
            elif unknown is not None:
                yield line, BadRow(line, f"{unknown!r} is not a declared attribute of the customer")
            else:
                yield line, _row(columns, cells, line, text=False)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) < len(pairs):
        raise ValueError("a key is given twice")
    return cells


def _parquet_rows(path: Path, columns: Columns) -> Iterator[tuple[int, ImportRow | BadRow]]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ImportFileError(f"{path.name} is not Parquet: {error}") from None
    columns.check(file.schema_arrow.names)
    line = 0
    for batch in file.iter_batches(batch_size=4096):
        for cells in _cells(batch):
            line += 1
            if isinstance(cells, BadRow):
                yield line, BadRow(line, cells.reason)
            else:
                yield line, _row(columns, cells, line, text=False)


def _cells(batch: Any) -> Iterator[dict[str, Any] | BadRow]:
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


def _cells_of_one(row: Any) -> dict[str, Any] | BadRow:
    try:
        return dict(row.to_pylist()[0])
    except (OverflowError, ValueError) as error:
        return BadRow(0, f"a value is out of range: {error}")


def _row(columns: Columns, cells: Mapping[str, Any], line: int, *, text: bool) -> ImportRow | BadRow:
    try:
        return columns.row(cells, text=text)
    except (ValueError, RecursionError) as error:
        return BadRow(line, str(error))


def _customer_id(raw: Any) -> str:
    text = str(raw) if type(raw) in (str, int) else ""
    if not text or len(text) > LONGEST_ID or not text.isprintable():
        raise ValueError(f"{ID_COLUMN}: expected up to {LONGEST_ID} printable characters, got {shown(raw)}")
    return text


def _boolean(raw: Any, name: str) -> bool:
    value = raw if type(raw) is bool else _BOOLEANS.get(str(raw).strip().lower())
    if value is None:
        raise ValueError(f"{name}: expected true or false, got {shown(raw)}")
    return bool(value)


def _parsed(kind: AttributeType, text: str) -> Any:
    """A CSV cell as the JSON value it stands for; lists are separated by semicolons or written as JSON."""
    if not text.isprintable() and _UNDECODED.search(text):
        raise ValueError("is not UTF-8")
    match kind:
        case AttributeType.INT | AttributeType.DOUBLE:
            number = int if kind is AttributeType.INT else float
            try:
                return text if "_" in text else number(text)
            except ValueError:
                return text
        case AttributeType.BOOL:
            return _BOOLEANS.get(text.strip().lower(), text)
        case AttributeType.STRING_LIST:
            if text.startswith("["):
                return json.loads(text)
            return [part.strip() for part in text.split(";") if part.strip()]
    return text


def _plain(raw: Any) -> Any:
    """Parquet's naive timestamps are in UTC, as its specification has them."""
    return raw.replace(tzinfo=UTC) if isinstance(raw, datetime) and raw.tzinfo is None else raw


async def import_customers(
    store: CustomerStore,
    rows: Iterable[tuple[int, ImportRow | BadRow]],
    source: str,
    bad: Callable[[BadRow], None],
    done: Callable[[int], None],
) -> int:
    """Stores the good rows, up to 64 at a time, and returns how many; raises StoreError when one can't be stored.

    Rows of the same customer are applied in the order of the file.
    """
    stored = 0
    for rows_at_once in _distinct(rows, IN_FLIGHT):
        deadline = Deadline(WITHIN)
        good = [row for _, row in rows_at_once if isinstance(row, ImportRow)]
        for _, row in rows_at_once:
            if isinstance(row, BadRow):
                bad(row)
        await asyncio.gather(*(store.update(row.customer_id, row.change(source), deadline) for row in good))
        stored += len(good)
        done(len(rows_at_once))
    return stored


def _distinct(
    rows: Iterable[tuple[int, ImportRow | BadRow]], most: int
) -> Iterator[list[tuple[int, ImportRow | BadRow]]]:
    """`rows` in runs of at most `most` in which no customer occurs twice."""
    run: list[tuple[int, ImportRow | BadRow]] = []
    seen: set[str] = set()
    for line, row in rows:
        customer_id = row.customer_id if isinstance(row, ImportRow) else None
        if len(run) >= most or customer_id in seen:
            yield run
            run, seen = [], set()
        run.append((line, row))
        if customer_id is not None:
            seen.add(customer_id)
    if run:
        yield run
