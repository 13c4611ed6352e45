"""Importing events: each counts once, whatever else happens meanwhile and whenever it is cut short."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import features.bulk
import features.bulk_pieces
import features.importing_events
from features.aggregates import values_at
from features.applying import Sent
from features.columns import ImportFileError
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, moment, with_contacts
from features.deadline import Deadline
from features.event_columns import EventColumns
from features.identity import merge, update
from features.importing_events import Import, Progress
from features.intake import Intake
from features.opening import open_store
from features.store import CustomerStore
from features.suppression import Suppression, suppress
from features.turns import Turns
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of
from tests.features.killed_import import CATALOG, COLUMNS, PLAN, STEPS, cut_small, imported, imports, logged
from tests.forked import forked, status_of

CUSTOMERS = [f"c-{number}" for number in range(11)]
DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(unix_redis: str) -> AsyncIterator[CustomerStore]:
    store = await open_store(unix_redis)
    await store.ledger.link.ask("FLUSHALL", within=5)
    await store.ledger.link.close()
    store = await open_store(unix_redis)
    store.counts(PLAN.aggregates)
    yield store
    await store.ledger.link.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (features.importing_events, "ROWS"),
        (features.importing_events, "JSON_ROWS"),
        (features.bulk, "MOST_PIECES"),
        (features.bulk_pieces, "MOST_EVENTS"),
        (features.bulk_pieces, "MOST_IDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back afterwards
    cut_small()


def amount(number: int) -> int:
    return number % 7


def wrote(folder: Path, store: CustomerStore, *, ids: bool, count: int = 150) -> Path:
    """Purchases of the last days, one an hour, by customers in turn."""
    now = store.clock.now()
    file = folder / "events.csv"
    lines = ["customer_id,at,amount,department" + (",id" if ids else "")]
    for number in range(count):
        at = moment(now - (count - number) * DAY_US // 24).isoformat()
        lines.append(f"{CUSTOMERS[number % 11]},{at},{amount(number)},D{number % 3}" + (f",e-{number}" if ids else ""))
    file.write_text("\n".join(lines) + "\n")
    return file


async def totals(store: CustomerStore) -> dict[str, tuple[int, float]]:
    """Of each customer, visits and spend."""
    found: dict[str, tuple[int, float]] = {}
    async for name in store.customer_ids(5):
        snapshot = await store.snapshot(name, Deadline(5), fresh=True)
        values = values_at(PLAN.aggregates, snapshot.customer.series, store.clock.now()).by_name
        if not snapshot.customer.merged_into:
            found[name] = (values["visits"], values["spend"])
    return found


def expected(count: int = 150) -> dict[str, tuple[int, float]]:
    visits: Counter[str] = Counter()
    spend: Counter[str] = Counter()
    for number in range(count):
        visits[CUSTOMERS[number % 11]] += 1
        spend[CUSTOMERS[number % 11]] += amount(number)
    return {name: (visits[name], float(spend[name])) for name in visits}


async def ids_in_log(store: CustomerStore) -> list[str]:
    return sorted([event_id async for _, ids in logged(store) for event_id in ids])


@pytest.mark.anyio
@pytest.mark.parametrize("ids", [True, False])
async def test_a_file_counts_once(tmp_path: Path, store: CustomerStore, ids: bool) -> None:
    file = wrote(tmp_path, store, ids=ids)
    for _ in range(2):
        tally = await imported(store, file, tmp_path / "imports")
        assert (tally["stored"], tally["left_out"], tally["duplicate"]) == (150, 0, 0)
        assert await totals(store) == expected()
        assert len(set(await ids_in_log(store))) == len(await ids_in_log(store)) == 150


@pytest.mark.anyio
async def test_an_emptied_redis_gets_all_of_it_again(tmp_path: Path, store: CustomerStore) -> None:
    file = wrote(tmp_path, store, ids=False)
    await imported(store, file, tmp_path)
    await store.ledger.link.ask("FLUSHALL", within=5)
    again = await open_store(f"unix://{store.ledger.link.address.path}")
    assert (await imported(again, file, tmp_path))["stored"] == 150
    assert await totals(again) == expected()
    await again.ledger.link.close()


@pytest.mark.anyio
async def test_what_was_sent_before_is_not_counted_again(tmp_path: Path, store: CustomerStore) -> None:
    file = wrote(tmp_path, store, ids=True)
    intake = Intake(store, Turns(), lambda: PLAN)
    sent = [Sent(f"e-{n}", CUSTOMERS[n % 11], "purchase", None, {"amount": float(amount(n))}) for n in range(0, 150, 4)]
    await intake.take(sent, 5.0)
    tally = await imported(store, file, tmp_path)
    assert (tally["stored"], tally["duplicate"]) == (150 - len(sent), len(sent))
    assert await totals(store) == expected()
    assert {result.status for result in await intake.take(sent, 5.0)} == {"duplicate"}


@pytest.mark.anyio
async def test_events_that_come_meanwhile_count_too(tmp_path: Path, store: CustomerStore, unix_redis: str) -> None:
    file = wrote(tmp_path, store, ids=False)
    other = await open_store(unix_redis)
    intake = Intake(other, Turns(), lambda: PLAN)

    async def keep_sending() -> None:
        for number in range(60):
            await intake.take([Sent(f"o-{number}", CUSTOMERS[number % 11], "purchase", None, {"amount": 1.0})], 5.0)

    await asyncio.gather(keep_sending(), imported(store, file, tmp_path))
    wanted = {
        name: (visits + len(range(place, 60, 11)), spend + len(range(place, 60, 11)))
        for place, (name, (visits, spend)) in enumerate(expected().items())
    }
    assert await totals(store) == wanted
    await other.ledger.link.close()


@pytest.mark.anyio
async def test_events_of_a_merged_customer_are_those_of_the_other(tmp_path: Path, store: CustomerStore) -> None:
    await merge(store, "c-3", "c-5", Deadline(5))
    await imported(store, wrote(tmp_path, store, ids=True), tmp_path)
    wanted = expected()
    visits, spend = wanted.pop("c-3")
    wanted["c-5"] = (wanted["c-5"][0] + visits, wanted["c-5"][1] + spend)
    assert await totals(store) == wanted


@pytest.mark.anyio
@pytest.mark.parametrize("ids", [True, False])
async def test_long_after_it_was_cut_short_the_log_tells_what_is_there(
    tmp_path: Path, store: CustomerStore, ids: bool
) -> None:
    file = wrote(tmp_path, store, ids=ids)
    cut = 0

    class CutShort(Exception):  # noqa: N818
        pass

    def cut_short(count: int) -> None:
        nonlocal cut
        cut += 1
        if cut == 12:
            raise CutShort

    run = Import(store, PLAN, file, COLUMNS, tmp_path / "imports")
    with pytest.raises(CutShort):
        await run.run(cut_short, lambda: logged(store))
    (kept,) = (tmp_path / "imports").glob("*.json")
    progress = json.loads(kept.read_text())
    assert progress["began"] > 0
    kept.write_text(json.dumps({**progress, "began": progress["began"] - 2 * DAY_US}))
    await forget_ids(store)
    await merge(store, "c-3", "c-5", Deadline(5))
    tally = await imported(store, file, tmp_path / "imports")
    assert tally["stored"] + tally["duplicate"] == 150
    wanted = expected()
    visits, spend = wanted.pop("c-3")
    wanted["c-5"] = (wanted["c-5"][0] + visits, wanted["c-5"][1] + spend)
    assert await totals(store) == wanted
    assert len(set(await ids_in_log(store))) == len(await ids_in_log(store)) == 150


async def forget_ids(store: CustomerStore) -> None:
    """As time does."""
    for key in await store.ledger.link.ask("KEYS", "tino:*:e:*", within=5):
        await store.ledger.link.ask("DEL", key, within=5)


@pytest.mark.anyio
async def test_an_outcome_answers_its_contact(tmp_path: Path, store: CustomerStore) -> None:
    contact = Contact(store.clock.now(), "hello", "email", "g", "outbound", SOME_DECISION)
    await store.update("a", lambda customer, now: with_contacts(customer, (contact,)), Deadline(5))
    file = tmp_path / "events.jsonl"
    at = moment(store.clock.now()).isoformat()
    lines = [
        {"customer_id": "a", "type": "click", "at": at, "decision_id": SOME_DECISION},
        {"customer_id": "a", "type": "click", "at": at, "decision_id": "0" * 32},
        {"customer_id": "a", "type": "purchase", "at": at, "properties": {"amount": 2}},
        {"customer_id": "a", "type": "unheard of", "at": at},
        {"customer_id": "a", "type": "click", "at": at, "properties": {"action": "hello"}},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = Import(store, PLAN, file, EventColumns(PLAN.aggregates.declared), tmp_path)
    tally = await run.run(lambda count: None, lambda: logged(store))
    assert (tally["stored"], tally["no_contact"], tally["no_decision"], tally["unknown_type"]) == (5, 1, 1, 1)
    customer: Customer = (await store.snapshot("a", Deadline(5), fresh=True)).customer
    assert [each.kind for each in customer.log[0].responses] == ["click"]
    assert (await totals(store))["a"] == (1, 2.0)


@pytest.mark.anyio
@pytest.mark.parametrize("own", ["", "properties"])
async def test_outcomes_that_name_no_decision_are_counted(tmp_path: Path, store: CustomerStore, own: str) -> None:
    """All of them; of those that name one among their properties, that is told besides."""
    at = moment(store.clock.now()).isoformat()
    said: list[dict[str, Any]] = [
        {"action": "hello"},
        {"treatment": "hello/email"},
        {"decision_id": SOME_DECISION} if own else {"channel": "email"},
        {},
    ]
    rows = [
        {"customer_id": f"c-{number}", "type": kind, "at": at} | ({own: named} if own else named)
        for number, (kind, named) in enumerate((kind, named) for kind in ("click", "purchase") for named in said)
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Import(store, PLAN, file, EventColumns(PLAN.aggregates.declared), tmp_path)
    tally = await run.run(lambda count: None, lambda: logged(store))
    assert (tally["stored"], tally["no_decision"], tally["decision_in_properties"]) == (8, 4, 1 if own else 0)


@pytest.mark.anyio
@pytest.mark.parametrize("at_hand", [True, False])
async def test_who_was_erased_has_still_refused(tmp_path: Path, store: CustomerStore, at_hand: bool) -> None:
    """Though the first that is heard of them is a refusal of before."""
    now = store.clock.now()

    def says(granted: bool, at: int) -> Callable[[Customer, int], Customer]:
        return lambda customer, _: with_consent(customer, "service", Consent(granted, at))

    await update(store, "a", says(False, now - 9 * DAY_US), Deadline(5))
    await suppress(store.ledger, ["a"], Suppression(now, {"service": now - 9 * DAY_US}), Deadline(5))
    await store.ledger.link.ask("DEL", store.ledger.layout.state("a"), within=5)
    store.cache.forget("a")
    if at_hand:
        await store.snapshot("a", Deadline(5))
    file = tmp_path / "events.jsonl"
    line = {"customer_id": "a", "type": "unsubscribed", "at": moment(now - 5 * DAY_US).isoformat()}
    file.write_text(json.dumps(line) + "\n")
    plan = plan_of("purposes: [service]\n" + CATALOG)
    run = Import(store, plan, file, EventColumns(plan.aggregates.declared), tmp_path)
    await run.run(lambda count: None, lambda: logged(store))
    _, back = await update(store, "a", says(True, now - DAY_US), Deadline(5))
    assert not back.customer.consents["service"].granted


@pytest.mark.anyio
@pytest.mark.chaos
@pytest.mark.parametrize("ids", [True, False])
async def test_killed_at_any_step_and_run_again(
    tmp_path: Path, store: CustomerStore, unix_redis: str, ids: bool
) -> None:
    file = wrote(tmp_path, store, ids=ids)
    killed = set()
    for step, times in (
        ("event", 3),
        ("saving", 1),
        ("saved", 1),
        ("event", 5),
        ("stored", 1),
        ("saving", 2),
        ("read", 2),
    ):
        status = await status_of(forked(imports, unix_redis, file, tmp_path, step, times))
        assert status in (0, -signal.SIGKILL)
        killed |= {step} if status else set()
    assert killed == set(STEPS)
    tally = await imported(store, file, tmp_path)
    assert tally["stored"] + tally["duplicate"] == 150
    assert await totals(store) == expected()
    assert len(set(await ids_in_log(store))) == len(await ids_in_log(store)) == 150


@pytest.mark.anyio
async def test_progress_that_can_not_be_read_is_said(tmp_path: Path, store: CustomerStore) -> None:
    file = wrote(tmp_path, store, ids=True)
    run = Import(store, PLAN, file, COLUMNS, tmp_path)
    (tmp_path / f"{run.source}.json").write_text("{")
    with pytest.raises(ImportFileError, match="is no progress of an import"):
        await run.run(lambda count: None, lambda: logged(store))
    assert run.progress == Progress("events.csv", "")
