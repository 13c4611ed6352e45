"""Importing: what is stored of the rows, and what is not overruled by them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from features.columns import BadRow, ImportRow
from features.consents import DOUBT, UNDATED, with_consent
from features.customer import EMPTY, Consent, Contact, Customer, micros
from features.deadline import Deadline
from features.importing import import_customers
from features.merging import Profile, united
from features.rows import read_rows
from features.store import CustomerStore
from features.suppression import Suppression, suppress
from rules.types import EARLIEST
from tests.customers import SOME_DECISION, customer_of
from tests.features.row_files import (
    COLUMNS,
    CSV,
    EXPECTED,
    wrote,
)


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
    contact = Contact(1, "a", "web", "", "inbound", SOME_DECISION)
    before = customer_of({"visits": 1, "spend": 2.0}, {"service": Consent(True, 1, "form")}, (contact,), test=True)
    await store.update("c", lambda customer, now: before, patient())
    rows = [(1, ImportRow("c", {"visits": 5}, {"service": True, "marketing": False}))]
    await imported(store, rows)
    after = (await states(store))["c"]
    assert after.attributes == {"visits": 5, "spend": 2.0}
    assert after.consents["service"] == Consent(True, 1, "form")  # nothing new: the statement stays the one it was
    assert not after.consents["marketing"].granted
    assert (after.contacts, after.test) == ((contact,), True)


@pytest.mark.anyio
async def test_what_erased_customers_had_refused_stands_against_the_file(store: CustomerStore) -> None:
    await suppress(store.ledger, ["a"], Suppression(9, {"marketing": 5}), patient())
    await suppress(store.ledger, ["b"], Suppression(9, {}), patient())
    await imported(store, [(line, ImportRow(name, {}, {"marketing": True})) for line, name in enumerate("ab")])
    found = await states(store)
    assert [found[name].consents["marketing"].granted for name in "ab"] == [False, False]
    assert found["a"].consents["marketing"].source == "erased"
    rows = [(line, ImportRow(name, {}, {"marketing": True})) for line, name in enumerate("ab")]
    await import_customers(store, rows, "dated", lambda row: None, lambda count: None, 10)
    found = await states(store)
    assert [found[name].consents["marketing"].granted for name in "ab"] == [False, True], "said after the erasure"


GRANTED, REFUSED = Consent(True, 5, "form"), Consent(False, 5, "mail")
LATER = 5 + timedelta(days=1) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("known", "stated", "then"),
    [
        (None, True, Consent(True, UNDATED, "import x")),
        (None, False, Consent(False, LATER, "import x")),
        (GRANTED, True, GRANTED),
        (GRANTED, False, Consent(False, LATER, "import x")),
        (REFUSED, False, Consent(False, LATER, "import x")),
        (Consent(False, 5, "import x"), False, Consent(False, 5, "import x")),
        (REFUSED, True, REFUSED),
    ],
)
def test_a_yes_is_older_than_all_else_and_a_no_is_stated_as_of_the_import(
    known: Consent | None, stated: bool, then: Consent
) -> None:
    before = Customer(consents={} if known is None else {"marketing": known})
    changed = ImportRow("c", {}, {"marketing": stated}).change("import x")(before, LATER)
    assert changed.consents == {"marketing": then}


@pytest.mark.parametrize(("at", "granted"), [(5 + DOUBT, False), (6 + DOUBT, True)])
def test_a_yes_that_is_dated_is_a_statement_of_that_time(at: int, granted: bool) -> None:
    for order in (REFUSED, None), (None, REFUSED):
        customer = EMPTY
        for known in order:
            if known is None:
                customer = ImportRow("c", {}, {"marketing": True}).change("import x", at)(customer, LATER)
            else:
                customer = with_consent(customer, "marketing", known)
        assert customer.consents["marketing"].granted is granted
        again = ImportRow("c", {}, {"marketing": True}).change("import x", at)(customer, LATER)
        assert again == customer


@pytest.mark.parametrize("told_at", [micros(EARLIEST), -1, 0, 5, LATER])
def test_no_refusal_is_undone_by_a_file_whenever_it_is_told_or_merged_in(told_at: int) -> None:
    refusal = Consent(False, told_at, "letter")
    imported = ImportRow("c", {}, {"marketing": True}).change("import x")(EMPTY, LATER)
    refused = with_consent(EMPTY, "marketing", refusal)
    assert with_consent(imported, "marketing", refusal).consents == {"marketing": refusal}
    for one, two in ((imported, refused), (refused, imported)):
        assert united(Profile("one", one), Profile("two", two), {}).consents == {"marketing": refusal}


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
