"""The grocery example's raw rows, read one by one: what its own code computes by columns is compared with these."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
import pyarrow.parquet as pq

STORE = ZoneInfo("America/New_York")
AS_OF = datetime(2017, 10, 1, tzinfo=STORE)
SAMPLE = [1, 13, 371, 900, 1228, 2489]

Row = dict[str, Any]


def row_of(table: Any, household: int) -> Row:
    row: Row = table.filter(pc.equal(table["customer_id"], f"hh-{household}")).to_pylist()[0]
    return row


def lines_of(raw: Path, household: int) -> list[Row]:
    """The household's lines before the moment, with moments in UTC."""
    lines: list[Row] = pq.read_table(
        raw / "transactions.parquet", filters=[("household_id", "=", household)]
    ).to_pylist()
    for line in lines:
        line["at"] = line["transaction_timestamp"].replace(tzinfo=UTC)
    return [line for line in lines if line["at"] < AS_OF]


def products_of(raw: Path) -> dict[int, Row]:
    return {row["product_id"]: row for row in pq.read_table(raw / "products.parquet").to_pylist()}
