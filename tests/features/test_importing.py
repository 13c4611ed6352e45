"""Importing: the same rows from every format, each kind of bad row with its line and reason, and what is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.columns import BadRow, Columns, ImportFileError, ImportRow
from features.customer import EMPTY, Consent, Contact, Customer, with_consent
from features.deadline import Deadline
from features.importing import import_customers
from features.opening import open_store
from features.rows import count_rows, read_rows
from features.store import CustomerStore
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


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    lines = wrote(tmp_path, "rows.jsonl", "\n\n".join(map(as_json, ROWS)) + "\n \n")
    assert read(wrote(tmp_path, "rows.csv", CSV)) == list(zip((2, 3, 4), EXPECTED, strict=True))
    assert read(lines) == list(zip((1, 3, 5), EXPECTED, strict=True))
    assert read(wrote(tmp_path, "rows.NDJSON", lines.read_bytes())) == read(lines)
    assert read(wrote_parquet(tmp_path, ROWS)) == list(zip((1, 2, 3), EXPECTED, strict=True))


def test_parquet_timestamps_without_a_zone_are_utc(tmp_path: Path) -> None:
    naive = JOINED.replace(tzinfo=None)
    tokyo = pa.timestamp("us", tz="Asia/Tokyo")
    for kind in (pa.timestamp("us"), pa.timestamp("ms"), tokyo):
        file = wrote_parquet(tmp_path, [{"customer_id": "c", "joined": naive}], joined=kind)
        assert read(file) == [(1, ImportRow("c", {"joined": JOINED}, {}))]


def test_parquet_timestamps_finer_than_a_microsecond_are_cut(tmp_path: Path) -> None:
    nanoseconds = int(JOINED.timestamp()) * 10**9 + 250_000_999
    for zone in (None, "UTC", "Asia/Tokyo"):
        kind = pa.timestamp("ns", tz=zone)
        rows: list[dict[str, Any]] = [{"customer_id": "a", "joined": nanoseconds}, {"customer_id": "b"}]
        assert read(wrote_parquet(tmp_path, rows, joined=kind)) == [
            (1, ImportRow("a", {"joined": JOINED}, {})),
            (2, ImportRow("b", {}, {})),
        ]


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize(("unit", "beyond"), [("s", 253_402_300_800), ("ms", -62_135_596_800_001), ("us", 2**62)])
def test_a_parquet_timestamp_out_of_range_is_a_bad_row(
    tmp_path: Path, unit: str, beyond: int, zone: str | None
) -> None:
    rows: list[dict[str, Any]] = [
        {"customer_id": "a", "joined": 0},
        {"customer_id": "b", "joined": beyond},
        {"customer_id": "c"},
    ]
    file = wrote_parquet(tmp_path, rows * 2, joined=pa.timestamp(unit, tz=zone))
    (line, reason), (second, _) = bad(file)
    assert (line, second) == (2, 5)
    assert "out of range" in reason
    assert good(file) == ["a", "c", "a", "c"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert good(wrote(tmp_path, "rows.csv", b"\xef\xbb\xbfcustomer_id\r\nc-1\r\n")) == ["c-1"]
    assert good(wrote(tmp_path, "rows.jsonl", b'\xef\xbb\xbf{"customer_id": "c-1"}\r\n')) == ["c-1"]


def test_times_without_a_zone_are_the_catalogs(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("customer_id,joined\na,2026-01-31\nb,2026-07-31T09:30\nc,2026-01-31T00:00:00Z\n")
    columns = Columns(TYPES, [], zone=ZoneInfo("America/New_York"))
    joined = [row.attributes["joined"] for _, row in read_rows(file, columns) if isinstance(row, ImportRow)]
    assert [moment.isoformat() for moment in joined] == [
        "2026-01-31T05:00:00+00:00",
        "2026-07-31T13:30:00+00:00",
        "2026-01-31T00:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("customer_id;first_name", "separated by commas, not semicolons"),
        ("customer_id,consent_marketing", "did you mean 'consent:marketing'?"),
        ("customer_id,firstname", "did you mean 'first_name'?"),
    ],
)
def test_a_header_that_is_nearly_right_is_told_what_would_be(tmp_path: Path, header: str, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"{header}\na,b\n")
    with pytest.raises(ImportFileError) as refused:
        list(read_rows(file, COLUMNS))
    assert said in str(refused.value)


def test_columns_are_mapped(tmp_path: Path) -> None:
    mapped = Columns(TYPES, ["marketing"], {"id": "customer_id", "Name": "first_name", "ok": "consent:marketing"})
    expected = ImportRow("7", {"first_name": "Ana"}, {"marketing": True})
    assert read(wrote(tmp_path, "rows.csv", "Name,id,ok\nAna,7,1\n"), mapped) == [(2, expected)]
    assert read(wrote(tmp_path, "rows.jsonl", '{"id": 7, "Name": "Ana", "ok": true}'), mapped) == [(1, expected)]
    assert read(wrote_parquet(tmp_path, [{"id": 7, "Name": "Ana", "ok": True}]), mapped) == [(1, expected)]


def test_cells_where_nothing_is_known_state_nothing(tmp_path: Path) -> None:
    nothing = ImportRow("c", {}, {})
    assert read(wrote(tmp_path, "rows.csv", "customer_id,visits,consent:marketing,test\nc,,,\n")) == [(2, nothing)]
    empty = '{"customer_id": "c", "visits": null, "consent:marketing": null, "test": null}'
    assert read(wrote(tmp_path, "rows.jsonl", empty)) == [(1, nothing)]
    assert read(wrote_parquet(tmp_path, [{"customer_id": "c", "visits": None}], visits=pa.int64())) == [(1, nothing)]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("visits", "3.0", "visits: expected a whole number"),
        ("visits", "three", "got 'three'"),
        ("visits", "9223372036854775808", "at most 64 bits"),
        ("visits", "9" * 5000, "..."),
        ("spend", "nan", "spend: expected a finite number"),
        ("spend", "-inf", "expected a finite number"),
        ("spend", "1e999", "expected a finite number"),
        ("spend", "12,5", "got '12,5'"),
        ("member", "maybe", "member: expected true or false"),
        ("joined", "next Friday", "joined: expected an RFC 3339 timestamp with a zone"),
        ("joined", "yesterday", "got 'yesterday'"),
        ("joined", "0001-01-01T00:00:00Z", "between the years 1 and 9999"),
        ("segments", "[1]", "segments: expected a list of strings"),
        ("visits", "1_000", "got '1_000'"),
        ("spend", "1_000", "got '1_000'"),
        ("segments", "[a", "segments: "),
        ("segments", "[" * 100_000, "recursion"),
        ("timezone", "Mars/Olympus", "timezone: 'Mars/Olympus' is not an IANA time zone"),
        ("consent:marketing", "perhaps", "consent:marketing: expected true or false"),
        ("test", "2", "test: expected true or false"),
    ],
)
def test_a_bad_csv_cell_is_told_and_the_others_kept(tmp_path: Path, column: str, cell: str, said: str) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    file = wrote(tmp_path, "rows.csv", f"customer_id,{column}\na,\nb,{quoted}\nc,\n")
    ((line, reason),) = bad(file)
    assert line == 3
    assert said in reason
    assert len(reason) < 200
    assert good(file) == ["a", "c"]


@pytest.mark.parametrize("identifier", ["", "x" * 257, "a\tb", "a\x00b", "a\x7f", "a\u2028b", "a\u202eb"])
def test_a_customer_needs_a_short_printable_id(tmp_path: Path, identifier: str) -> None:
    rows = [{"customer_id": "first"}, {"customer_id": identifier}, {"customer_id": "last"}]
    csv = "customer_id,visits\n" + "".join(f'"{row["customer_id"]}",1\n' for row in rows)
    for file, number in (
        (wrote(tmp_path, "rows.csv", csv), 3),
        (wrote(tmp_path, "rows.jsonl", "\n".join(map(json.dumps, rows))), 2),
        (wrote_parquet(tmp_path, rows), 2),
    ):
        ((line, reason),) = bad(file)
        assert line == number
        assert "customer_id" in reason
        assert good(file) == ["first", "last"]


def test_rows_that_are_no_csv(tmp_path: Path) -> None:
    file = wrote(
        tmp_path,
        "rows.csv",
        b"customer_id,first_name,visits\n"  # line 1
        b"a,Ana,1\n"
        b"b,Bea\n"
        b"c,Cleo,1,1\n"
        b'd,"Dora" Dee,1\n'
        b'e,"on\nthree\nlines",x\n'
        b"\n"
        b"f,\xff\xfe,1\n"
        b"g,Gil,1\n"
        b'h,"never closed,1\n'
        b"i,Ida,1\n",
    )
    found = bad(file)
    assert [line for line, _ in found] == [3, 4, 5, 6, 10, 12]
    for (_, reason), said in zip(
        found,
        ("expected 3 cells, got 2", "expected 3 cells, got 4", "not CSV", "visits", "not UTF-8", "not CSV"),
        strict=True,
    ):
        assert said in reason
        assert ("lines 12 to 13: is a quote left open?" in reason) is (reason == found[-1][1])
    assert good(file) == ["a", "g"]


@pytest.mark.parametrize("end", ['x,"Xi",1\n', 'x,Xi",1,1\n', "x,Xi,1\n"])
def test_a_quote_left_open_tells_which_lines_it_took(tmp_path: Path, end: str) -> None:
    rows = ["customer_id,first_name,visits\n", "a,Ana,1\n", 'b,"Bea,1\n', *(["c,Cleo,1\n"] * 50), end]
    ((line, reason),) = bad(wrote(tmp_path, "rows.csv", "".join(rows)))
    assert line == 3
    assert reason.endswith("; it takes lines 3 to 54: is a quote left open?")


def test_rows_that_are_no_json_object(tmp_path: Path) -> None:
    file = wrote(
        tmp_path,
        "rows.jsonl",
        b'{"customer_id": "a"}\n'
        b"{'customer_id': 'b'}\n"
        b'["c"]\n'
        b"null\n"
        b'{"customer_id": "d", "visits": 1.5}\n'
        b'{"customer_id": "e", "spend": NaN}\n'
        b'{"customer_id": "f", "visits": "3"}\n'
        b'{"customer_id": "g", "first_name": "\xff"}\n'
        b'{"customer_id": "h", "colour": "red"}\n'
        b'{"customer_id": "i", "consent:sharing": true}\n'
        b'{"first_name": "J"}\n'
        b'{"customer_id": true}\n'
        b'{"customer_id": "l", "spend": ' + b"9" * 400 + b"}\n"
        b'{"customer_id": "m", "visits": ' + b"9" * 5000 + b"}\n"
        b'{"customer_id": "n", "segments": "a;b"}\n'
        b'{"customer_id": "o", "visits": 1, "visits": 2}\n'
        b'{"customer_id": "p", "first_name": "\\ud800"}\n'
        b'{"customer_id": "q", "segments": ["\\udfff"]}\n' + b"[" * 100_000 + b"\n"
        b'{"customer_id": "z"}\n',
    )
    found = bad(file)
    assert [line for line, _ in found] == list(range(2, 20))
    said = [
        "not JSON",
        "expected an object",
        "expected an object, got None",
        "visits: expected a whole number",
        "finite number",
        "visits: expected a whole number",
        "not JSON",
        "'colour' is not a declared attribute",
        "'consent:sharing'",
        "customer_id is empty",
        "customer_id",
        "spend: expected a finite number",
        "",
        "segments: expected a list",
        "a key is given twice",
        "first_name: expected a string",
        "segments: expected a list of strings",
        "not JSON",
    ]
    for (_, reason), words in zip(found, said, strict=True):
        assert words in reason
        assert len(reason) < 200
    assert good(file) == ["a", "z"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("customer_id,colour", "column 'colour' is not a declared attribute"),
        ("customer_id,consent:sharing", "'sharing' is not a declared purpose"),
        ("first_name,visits", "no column customer_id"),
        ("customer_id,visits,visits", "two columns mean 'visits'"),
        ("customer_id,", "column '' is not"),
        ("", "no column customer_id"),
        ("Customer_ID", "no column customer_id"),
    ],
)
def test_a_header_that_can_not_be_understood_is_refused_before_any_row(tmp_path: Path, header: str, said: str) -> None:
    file = wrote(tmp_path, "rows.csv", header + "\na,b\n" if header else "")
    with pytest.raises(ImportFileError, match=said):
        read(file)


def test_two_columns_may_not_be_mapped_to_one_meaning(tmp_path: Path) -> None:
    mapped = Columns(TYPES, [], {"id": "customer_id", "Name": "first_name"})
    for header, said in (
        ("id,Name,customer_id", "two columns mean 'customer_id'"),
        ("id,Name,first_name", "two columns mean 'first_name'"),
        ("id", "mapped column 'Name' is not in the file, which has id"),
    ):
        with pytest.raises(ImportFileError, match=said):
            read(wrote(tmp_path, "rows.csv", f"{header}\n"), mapped)


def test_two_keys_may_not_be_mapped_to_one_meaning(tmp_path: Path) -> None:
    mapped = Columns(TYPES, [], {"id": "customer_id"})
    file = wrote(tmp_path, "rows.jsonl", '{"id": "a", "customer_id": "b"}\n{"id": "c"}')
    assert (bad(file, mapped), good(file, mapped)) == ([(1, "two keys mean the same")], ["c"])


def test_bytes_that_are_no_utf_8_are_told_wherever_they_stand(tmp_path: Path) -> None:
    file = wrote(
        tmp_path, "rows.csv", b"customer_id,segments,visits,joined\na,x;\xff,,\nb,,\xff,\nc,,,\xff\n\xff,,,\nd,,,\n"
    )
    assert [line for line, _ in bad(file)] == [2, 3, 4, 5]
    assert good(file) == ["d"]


def test_a_header_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="the header is not CSV"):
        read(wrote(tmp_path, "rows.csv", 'customer_id,"visits\na,1\n'))


def test_files_that_can_not_be_read_at_all(tmp_path: Path) -> None:
    for file, said in (
        (wrote(tmp_path, "rows.xlsx", "PK"), "can read .csv, .jsonl, .ndjson, .parquet"),
        (tmp_path / "absent.csv", "no such file"),
        (tmp_path, "can read"),
        (wrote(tmp_path, "rows.parquet", "PAR1 but not really"), "is not Parquet"),
        (wrote(tmp_path, "none.parquet", ""), "is not Parquet"),
    ):
        with pytest.raises(ImportFileError, match=said):
            read(file)


def test_an_empty_json_lines_file_has_no_rows(tmp_path: Path) -> None:
    assert read(wrote(tmp_path, "rows.jsonl", "\n \n")) == []


def test_rows_are_counted_for_progress(tmp_path: Path) -> None:
    assert count_rows(wrote_parquet(tmp_path, ROWS)) == 3
    assert count_rows(wrote(tmp_path, "rows.jsonl", "{}\n{}\n")) == 2


# What an import makes of what is stored.


@pytest.fixture
async def store(unix_redis: str) -> AsyncIterator[CustomerStore]:
    store = await open_store(unix_redis)
    await store.ledger.link.ask("FLUSHALL", within=5)
    yield store
    await store.ledger.link.close()


def patient() -> Deadline:
    return Deadline(30.0, lambda: 0.0)


async def imported(store: CustomerStore, rows: Iterable[tuple[int, ImportRow | BadRow]]) -> tuple[int, list[int], int]:
    """How many were stored, the lines left out, and how many rows progress was told of."""
    left_out: list[BadRow] = []
    told: list[int] = []
    stored = await import_customers(store, rows, "import rows.csv", left_out.append, told.append)
    return stored, [row.line for row in left_out], sum(told)


async def states(store: CustomerStore) -> dict[str, Customer]:
    return {name: (await store.snapshot(name, patient(), fresh=True)).customer async for name in store.customer_ids(5)}


@pytest.mark.anyio
async def test_importing_twice_ends_in_the_same_state(tmp_path: Path, store: CustomerStore) -> None:
    file = wrote(tmp_path, "rows.csv", CSV + "bad\n")
    assert await imported(store, read_rows(file, COLUMNS)) == (3, [6], 4)
    first = await states(store)
    assert first["c-1"].attributes == EXPECTED[0].attributes
    assert (first["c-1"].consents["marketing"].granted, first["c-1"].consents["marketing"].source) == (
        True,
        "import rows.csv",
    )
    assert (first["c-2"].consents["marketing"].granted, first["c-2"].test) == (False, True)
    assert await imported(store, read_rows(file, COLUMNS)) == (3, [6], 4)
    assert await states(store) == first


@pytest.mark.anyio
async def test_one_customer_twice_in_a_file_is_told_twice_in_order(tmp_path: Path, store: CustomerStore) -> None:
    lines = [f"c-{number % 3},{number},{'' if number % 2 else f'n{number}'},{number % 4 < 2}" for number in range(200)]
    file = wrote(tmp_path, "rows.csv", "customer_id,visits,first_name,consent:marketing\n" + "\n".join(lines))
    assert await imported(store, read_rows(file, COLUMNS)) == (200, [], 200)
    found = await states(store)
    assert {name: state.attributes for name, state in found.items()} == {
        "c-0": {"visits": 198, "first_name": "n198"},
        "c-1": {"visits": 199, "first_name": "n196"},
        "c-2": {"visits": 197, "first_name": "n194"},
    }
    assert {name: state.consents["marketing"].granted for name, state in found.items()} == {
        "c-0": False,
        "c-1": False,
        "c-2": False,  # the last row says yes, but not that it is later than the no before
    }


@pytest.mark.anyio
async def test_what_the_file_does_not_know_stays(store: CustomerStore) -> None:
    contact = Contact(1, "a", "web", "", "inbound", "d")
    before = Customer({"visits": 1, "spend": 2.0}, {"service": Consent(True, 1, "form")}, (contact,), test=True)
    await store.update("c", lambda customer, now: before, patient())
    rows = [(1, ImportRow("c", {"visits": 5}, {"service": True, "marketing": False}))]
    await imported(store, rows)
    after = (await states(store))["c"]
    assert after.attributes == {"visits": 5, "spend": 2.0}
    assert after.consents["service"] == Consent(True, 1, "form")  # nothing new: the statement stays the one it was
    assert not after.consents["marketing"].granted
    assert (after.contacts, after.test) == ((contact,), True)


GRANTED, REFUSED = Consent(True, 5, "form"), Consent(False, 5, "mail")
LATER = 5 + timedelta(days=1) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("known", "stated", "then"),
    [
        (None, True, Consent(True, LATER, "import x")),
        (None, False, Consent(False, LATER, "import x")),
        (GRANTED, True, GRANTED),
        (GRANTED, False, Consent(False, LATER, "import x")),
        (REFUSED, False, REFUSED),
        (REFUSED, True, REFUSED),
    ],
)
def test_a_consent_is_stated_as_of_the_import_and_never_overrules_a_refusal(
    known: Consent | None, stated: bool, then: Consent
) -> None:
    before = Customer(consents={} if known is None else {"marketing": known})
    changed = ImportRow("c", {}, {"marketing": stated}).change("import x")(before, LATER)
    assert changed.consents == {"marketing": then}


def test_a_row_that_says_nothing_changes_nothing() -> None:
    assert ImportRow("c", {}, {}, test=False).change("x")(EMPTY, LATER) == EMPTY


@pytest.mark.anyio
async def test_an_opt_out_survives_the_import_of_an_older_file(tmp_path: Path, store: CustomerStore) -> None:
    file = wrote(tmp_path, "rows.csv", "customer_id,consent:marketing\nc,yes\n")
    await imported(store, read_rows(file, COLUMNS))
    await store.update("c", lambda customer, now: with_consent(customer, "marketing", Consent(False, now)), patient())
    opted_out = await states(store)
    await imported(store, read_rows(file, COLUMNS))
    assert await states(store) == opted_out
