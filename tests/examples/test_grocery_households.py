"""What the grocery example says of its households besides events: all of them, once, and what was invented for good."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from examples.grocery import source
from examples.grocery.households import households
from tests.examples.raw import row_of

CATALOG = Path(source.__file__).with_name("catalog.yaml")


@pytest.fixture(scope="module")
def everyone(raw: Path) -> Any:
    return households(raw)


def test_every_household_is_there_once_also_those_that_bought_nothing_yet(raw: Path, everyone: Any) -> None:
    bought = pc.unique(pq.read_table(raw / "transactions.parquet", columns=["household_id"])["household_id"])
    assert len(bought) == 2469
    assert set(everyone["customer_id"].to_pylist()) == {f"hh-{number}" for number in bought.to_pylist()}
    assert everyone.num_rows == 2469


def test_demographics_are_null_where_unknown(everyone: Any) -> None:
    for name in ("age", "income", "household_size", "kids_count"):
        assert everyone.num_rows - everyone[name].null_count == 801
    assert pc.max(everyone["household_size"]).as_py() == 5
    assert pc.max(everyone["kids_count"]).as_py() == 3


def test_consents_are_spread_as_declared_and_never_change(everyone: Any) -> None:
    granted = {name: everyone[f"consent:{name}"].to_pylist().count(True) / 2469 for name in ("marketing", "service")}
    assert granted == pytest.approx({"marketing": 0.70, "service": 0.95}, abs=0.03)
    assert row_of(everyone, 900)["email"] == "household-900@example.com"
    # Fixed by the hash: another answer would change who may be contacted in every run of the example.
    fixed = {1: True, 2: True, 900: True, 907: None, 5: False}
    assert {number: row_of(everyone, number)["consent:marketing"] for number in fixed} == fixed


def test_the_catalog_declares_every_column_with_its_type(everyone: Any) -> None:
    catalog = YAML(typ="safe").load(CATALOG)
    kinds = {pa.string(): "string", pa.int64(): "int", pa.bool_(): "bool"}
    columns = {field.name: kinds[field.type] for field in everyone.schema}
    consents = {name for name in columns if name.startswith("consent:")}
    assert consents == {f"consent:{purpose}" for purpose in catalog["purposes"]}
    assert catalog["customer"] == {
        name: kind for name, kind in columns.items() if name not in {"customer_id", *consents}
    }
