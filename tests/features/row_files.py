"""Files of rows to import, the same in every format, and what reading one gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.columns import BadRow, Columns, ImportRow
from features.rows import read_rows
from rules.types import AttributeType

TYPES = {
    "first_name": AttributeType.STRING,
    "timezone": AttributeType.STRING,
    "visits": AttributeType.INT,
    "spend": AttributeType.DOUBLE,
    "member": AttributeType.BOOL,
    "joined": AttributeType.TIMESTAMP,
    "segments": AttributeType.STRING_LIST,
}
COLUMNS = Columns(TYPES, ["marketing", "service"])
JOINED = datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {
        "customer_id": "c-1",
        "first_name": 'Ana, «la "jefa"»',
        "timezone": "America/Mexico_City",
        "visits": 3,
        "spend": 12.5,
        "member": True,
        "joined": JOINED,
        "segments": ["a b", "c"],
        "consent:marketing": True,
        "test": False,
    },
    {"customer_id": "c-2", "spend": 1e-7, "member": False, "consent:marketing": False, "test": True},
    {"customer_id": "ñ 3", "visits": -(2**63), "segments": [], "first_name": "two\nlines"},
]
EXPECTED = [
    ImportRow(
        "c-1",
        {
            "first_name": 'Ana, «la "jefa"»',
            "timezone": "America/Mexico_City",
            "visits": 3,
            "spend": 12.5,
            "member": True,
            "joined": JOINED,
            "segments": ["a b", "c"],
        },
        {"marketing": True},
        False,
    ),
    ImportRow("c-2", {"spend": 1e-7, "member": False}, {"marketing": False}, True),
    ImportRow("ñ 3", {"visits": -(2**63), "segments": [], "first_name": "two\nlines"}, {}),
]
CSV = """customer_id,first_name,timezone,visits,spend,member,joined,segments,consent:marketing,test
c-1,"Ana, «la ""jefa""»",America/Mexico_City,3,12.5,true,2026-01-31T03:30:00.250-06:00,a b;c,yes,0
c-2,,,,1e-7,FALSE,,,no,1
ñ 3,"two
lines",,-9223372036854775808,,,,[],,
"""


def wrote(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def wrote_parquet(folder: Path, rows: list[dict[str, Any]], **types: pa.DataType) -> Path:
    file = folder / "rows.parquet"
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names}
    pq.write_table(pa.table(columns), file)
    return file


def read(file: Path, columns: Columns = COLUMNS) -> list[tuple[int, ImportRow | BadRow]]:
    return list(read_rows(file, columns))


def bad(file: Path, columns: Columns = COLUMNS) -> list[tuple[int, str]]:
    """Line and reason of the bad rows, each told with its own line."""
    found = [(line, row) for line, row in read(file, columns) if isinstance(row, BadRow)]
    assert all(line == row.line for line, row in found)
    return [(row.line, row.reason) for _, row in found]


def good(file: Path, columns: Columns = COLUMNS) -> list[str]:
    return [row.customer_id for _, row in read(file, columns) if isinstance(row, ImportRow)]


def as_json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, default=lambda value: value.isoformat())
