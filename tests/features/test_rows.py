"""Reading: the same rows from every format, and each kind of bad row with its line and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from features.columns import Columns, ImportFileError, ImportRow
from features.rows import count_rows, read_rows
from tests.features.row_files import (
    COLUMNS,
    CSV,
    EXPECTED,
    JOINED,
    ROWS,
    TYPES,
    as_json,
    bad,
    good,
    read,
    wrote,
    wrote_parquet,
)


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
        ("segments", "[" * 100_000, "nested too deeply"),
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
        "expected an object, got null",
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
        ("customer_id,consent:marketting", "is not a declared purpose; did you mean 'consent:marketing'?"),
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
