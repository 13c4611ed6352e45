"""What a row that is left out of an import says no to is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from features.columns import BadRow, Columns, ImportRow
from features.customer import Consent, Customer
from features.deadline import Deadline
from features.importing import import_customers
from features.rows import read_rows
from features.store import CustomerStore
from tests.features.row_files import COLUMNS, TYPES, bad, wrote, wrote_parquet

KEPT = "; its no to marketing is kept"
NO = {"marketing": False}


def kept(file: Path, columns: Columns = COLUMNS) -> list[ImportRow | None]:
    """Of each bad row."""
    rows = [row for _, row in read_rows(file, columns) if isinstance(row, BadRow)]
    assert all((row.kept is not None) is row.reason.endswith(" is kept") for row in rows)
    return [row.kept for row in rows]


def test_a_no_is_kept_of_a_bad_row_and_nothing_else(tmp_path: Path) -> None:
    csv = (
        b"customer_id,first_name,visits,consent:marketing,consent:service,test\n"
        b"a,Ana,many,false,true,true\n"
        b"b,\xff,1,no,,\n"
        b"c,,,false,perhaps,\n"
        b"d,,many,,,\n"
        b"e,,many,true,0,\n"
        b"f,,many,perhaps,,\n"
        b",,many,false,,\n"
        b"h,,1,false\n"
    )
    file = wrote(tmp_path, "rows.csv", csv)
    service = ImportRow("e", {}, {"service": False})
    nothing = [None, None, None]
    assert kept(file) == [*(ImportRow(name, {}, NO) for name in "abc"), None, service, *nothing]
    assert bad(file)[0] == (2, f"visits: expected a whole number of at most 64 bits, got 'many'{KEPT}")


def test_of_keys_that_mean_nothing_or_the_same_too(tmp_path: Path) -> None:
    no = {"consent:marketing": False}
    rows = [
        {"customer_id": "a", "colour": "red", **no},
        {"customer_id": "b", "consent:partners": False, **no},
        {"customer_id": "c", "ok": True, **no},
        {"customer_id": "d", "id": "e", **no},
        {"customer_id": "f", "consent:partners": False},
        {"customer_id": "g", "visits": "3", "consent:service": [], **no},
    ]
    file = wrote(tmp_path, "rows.jsonl", "\n".join(map(json.dumps, rows)))
    mapped = Columns(TYPES, ["marketing", "service"], {"id": "customer_id", "ok": "consent:marketing"})
    assert kept(file, mapped) == [*(ImportRow(name, {}, NO) for name in "abc"), None, None, ImportRow("g", {}, NO)]


def test_beside_a_time_that_no_calendar_holds(tmp_path: Path) -> None:
    rows = [
        {"customer_id": "a", "joined": 2**62, "consent:marketing": False},
        {"customer_id": "b", "joined": 0, "consent:marketing": True},
    ]
    file = wrote_parquet(tmp_path, rows, joined=pa.timestamp("us", "UTC"))
    assert kept(file) == [ImportRow("a", {}, NO)]


@pytest.mark.anyio
async def test_it_is_stored_in_the_order_of_the_file_and_the_row_not_counted(
    tmp_path: Path, store: CustomerStore
) -> None:
    before = Customer({"visits": 1}, consents={"marketing": Consent(True, 1, "form")})
    await store.update("c", lambda customer, now: before, Deadline(30.0))
    text = "customer_id,visits,consent:marketing\nc,2,true\nc,many,false\nc,3,true\nd,many,true\n"
    left_out: list[BadRow] = []
    rows = read_rows(wrote(tmp_path, "rows.csv", text), COLUMNS)
    at_once: list[int] = []
    assert await import_customers(store, rows, "import rows.csv", left_out.append, at_once.append) == 2
    assert at_once == [1, 1, 2], "one row of a customer at a time"
    found = (await store.snapshot("c", Deadline(30.0), fresh=True)).customer
    assert (found.attributes, found.consents["marketing"].granted) == ({"visits": 3}, False)
    assert found.consents["marketing"].source == "import rows.csv"
    assert [row.line for row in left_out] == [3, 5]
    assert [name async for name in store.customer_ids(5)] == ["c"]
