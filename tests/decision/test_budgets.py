"""Budgets in the engine, by both ways in: what an answer takes, and what comes when nothing is left."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catalog.limits import BudgetPlan
from catalog.plan import Plan
from decision.budgets import Purse, taken
from decision.deciding import MOST_REFILLS
from decision.engine import Engine
from decision.record import as_data, read_record
from decision.request import NextActionRequest
from features.accounts import Accounts
from features.budgets import Budgets
from features.customer import Customer
from features.deadline import Deadline
from features.keys import budget_key
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from tests.decision.plans import plan_of
from tests.engines import AtOnce, ByTask
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio

PATIENT = 30.0
DAY_US = 86_400_000_000
NOON = 22_000 * DAY_US + DAY_US // 2
CHANNELS = "channels: {web: {direction: inbound, placements: [top]}}\n"
ACTIONS = """
actions:
  voucher: {group: deals, value: 9, treatments: {web: {t: Voucher}}}
  coupon: {group: deals, value: 8, treatments: {web: {t: Coupon}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
"""
TWO = "budgets: {vouchers: {limit: 2, lifetime: true, scope: {action: voucher}}}\n"
ASK = NextActionRequest("c-1")


@pytest.fixture(params=[ByTask, AtOnce])
def way(request: pytest.FixtureRequest) -> type[Engine]:
    chosen: type[Engine] = request.param
    return chosen


@pytest.fixture
async def elsewhere(store: CustomerStore, redis_url: str) -> AsyncIterator[CustomerStore]:
    """Another worker's, on the same Redis."""
    store = await open_store(redis_url)
    yield store
    await store.ledger.link.close()


def plan_with(budgets: str, more: str = "") -> Plan:
    return plan_of(CHANNELS + ACTIONS + budgets + more)


async def asked(engine: Engine, request: NextActionRequest = ASK, **changes: Any) -> dict[str, Any]:
    answer = await engine.next_action(replace(request, **changes), "key", PATIENT)
    body: dict[str, Any] = json.loads(answer.body)
    return {**body, "chosen": [action["action"] for action in body["actions"]]}


async def at_noon(store: CustomerStore) -> None:
    """The clock starts there, so that no period ends while a test is under way."""
    _, real = await store.ledger.load("nobody", PATIENT)
    store.ledger.clock_offset_us = NOON - real
    store.clock.heard(NOON)


async def left(engine: Engine, name: str) -> int:
    (budget,) = (each for each in engine.plan.budgets if each.name == name)
    return await Budgets(engine.store.ledger.link, engine.store.ledger.layout).left(
        budget, engine.store.clock.now(), Deadline(PATIENT)
    )


async def records(store: CustomerStore) -> list[dict[str, Any]]:
    layout = store.ledger.layout
    found = []
    for partition in range(layout.partitions):
        entries = await store.ledger.link.ask("XRANGE", layout.decisions(partition), "-", "+", within=PATIENT)
        found += [as_data(read_record(fields[-1])) for _, fields in entries]
    return sorted(found, key=lambda record: record["at"])


async def test_what_is_granted_is_taken_until_nothing_is_left(store: CustomerStore, way: type[Engine]) -> None:
    engine = way(store, plan_with(TWO))
    chosen = [(await asked(engine, customer_id=f"c-{number}"))["chosen"] for number in range(5)]
    assert chosen == [["voucher"], ["voucher"], ["coupon"], ["coupon"], ["coupon"]]
    assert await left(engine, "vouchers") == 0
    told = await records(store)
    assert [record.get("budgets") for record in told] == [None, None, *[{"vouchers": 0}] * 3]
    assert [record["removed"] for record in told] == [{}, {}, *[{"budget": 1}] * 3]
    assert engine.store.budgets.granted == {"vouchers": 2}


async def test_another_worker_finds_it_used_up(
    store: CustomerStore, elsewhere: CustomerStore, way: type[Engine]
) -> None:
    plan = plan_with(TWO.replace("{action: voucher}", "{channel: web}"))
    first, second = way(store, plan), way(elsewhere, plan)
    assert [(await asked(first, customer_id=f"c-{number}"))["status"] for number in range(2)] == ["decided"] * 2
    answer = await asked(second, customer_id="c-9")
    assert (answer["status"], answer["reason"], answer["degraded"]) == ("nothing", "budget", [])


async def test_of_several_budgets_every_one_is_taken_from_or_none(store: CustomerStore, way: type[Engine]) -> None:
    both = """
budgets:
  vouchers: {limit: 5, calendar: month, scope: {action: voucher}}
  deals: {limit: 2, calendar: day, timezone: America/Mexico_City, scope: {group: deals}}
"""
    await at_noon(store)
    engine = way(store, plan_with(both))
    chosen = [(await asked(engine, customer_id=f"c-{number}"))["chosen"] for number in range(4)]
    assert chosen == [["voucher"], ["voucher"], ["hello"], ["hello"]]
    assert (await left(engine, "vouchers"), await left(engine, "deals")) == (3, 0)


async def test_the_picks_of_one_answer_need_one_each(store: CustomerStore, way: type[Engine]) -> None:
    engine = way(store, plan_with("budgets: {deals: {limit: 3, lifetime: true, scope: {group: deals}}}"))
    assert (await asked(engine, limit=3))["chosen"] == ["voucher", "coupon", "hello"]
    assert await left(engine, "deals") == 1
    # One is left, so of the two best deals the better one comes.
    assert (await asked(engine, customer_id="c-2", limit=3))["chosen"] == ["voucher", "hello"]
    assert await left(engine, "deals") == 0
    assert [record.get("budgets") for record in await records(store)] == [None, {"deals": 1}]
    assert (await asked(engine, limit=3))["chosen"] == ["hello"]


async def test_a_repeated_request_takes_once(store: CustomerStore, way: type[Engine]) -> None:
    engine = way(store, plan_with(TWO))
    first = await asked(engine, request_id="r")
    assert first == await asked(engine, request_id="r")
    assert await left(engine, "vouchers") == 1
    await asked(engine)
    assert await asked(engine, request_id="r") == first, "it is told what it was told, though nothing is left"


async def test_a_dry_run_says_what_is_left_and_takes_nothing(
    store: CustomerStore, elsewhere: CustomerStore, way: type[Engine]
) -> None:
    engine = way(store, plan_with(TWO))
    for _ in range(3):
        assert (await asked(engine, dry_run=True))["chosen"] == ["voucher"]
    for _ in range(2):
        await asked(engine)
    assert (await asked(way(elsewhere, engine.plan), dry_run=True))["chosen"] == ["coupon"]


async def test_a_dry_run_of_more_than_is_left(store: CustomerStore, way: type[Engine]) -> None:
    engine = way(store, plan_with("budgets: {deals: {limit: 1, lifetime: true, scope: {group: deals}}}"))
    assert (await asked(engine, limit=3, dry_run=True))["chosen"] == ["voucher", "hello"]
    assert await left(engine, "deals") == 1


async def test_what_is_withheld_takes_nothing(store: CustomerStore, way: type[Engine]) -> None:
    control = "purposes: [marketing]\ncontrol_group: {share: 0.99, salt: s, purposes: [marketing]}"
    answer = await asked(way(store, plan_with(TWO, control)))
    assert (answer["status"], answer["chosen"]) == ("control", [])
    assert await store.ledger.link.ask("KEYS", "*budget*", within=PATIENT) == []
    (record,) = await records(store)
    assert [pick["action"] for pick in record["withheld"]] == ["voucher"]


async def test_a_fallback_takes_nothing(store: CustomerStore, way: type[Engine]) -> None:
    one = "budgets: {all: {limit: 1, lifetime: true, scope: {channel: web}}}\n"
    engine = way(store, plan_with(one, "fallback: {top: voucher}"))
    assert (await asked(engine, placements=["top"]))["status"] == "decided"
    for _ in range(2):
        answer = await asked(engine, placements=["top"])
        assert (answer["status"], answer["reason"], answer["chosen"]) == ("fallback", "budget", ["voucher"])
    assert await left(engine, "all") == 0
    assert engine.store.budgets.granted == {"all": 1}


async def test_a_test_customer_takes_as_all_do(store: CustomerStore, way: type[Engine]) -> None:
    def as_test(customer: Customer, now: int) -> Customer:
        return replace(customer, test=True)

    await store.update("c-1", as_test, Deadline(PATIENT))
    engine = way(store, plan_with(TWO))
    assert (await asked(engine))["chosen"] == ["voucher"]
    assert await left(engine, "vouchers") == 1


async def test_a_customer_who_moved_costs_nothing(
    store: CustomerStore, elsewhere: CustomerStore, way: type[Engine]
) -> None:
    """The other worker's commit comes between: what was decided on the old state takes nothing."""
    engine = way(store, plan_with("budgets: {all: {limit: 10, lifetime: true, scope: {channel: web}}}\n"))
    await asked(engine)
    await asked(way(elsewhere, engine.plan))
    answer = await engine.next_action(ASK, "key", PATIENT)
    assert (answer.lost, await left(engine, "all")) == (1, 7)


async def test_many_at_once(store: CustomerStore, way: type[Engine]) -> None:
    await at_noon(store)
    engine = way(store, plan_with("budgets: {vouchers: {limit: 100, calendar: day, scope: {action: voucher}}}\n"))
    answers = await asyncio.gather(*(asked(engine, customer_id=f"c-{number}") for number in range(300)))
    assert [answer["degraded"] for answer in answers if answer["degraded"]] == []
    assert sum(answer["chosen"] == ["voucher"] for answer in answers) == 100
    assert sum(answer["chosen"] == ["coupon"] for answer in answers) == 200


async def test_a_new_period_has_all_of_it_again(store: CustomerStore, way: type[Engine]) -> None:
    """The same worker, which remembers that yesterday's was used up; the clock goes on by a day."""
    await at_noon(store)
    engine = way(store, plan_with("budgets: {vouchers: {limit: 1, calendar: day, scope: {action: voucher}}}\n"))
    assert (await asked(engine))["chosen"] == ["voucher"]
    assert (await asked(engine))["chosen"] == ["coupon"]
    store.ledger.clock_offset_us += DAY_US
    assert (await asked(engine))["chosen"] == ["voucher"]
    assert (await asked(engine))["chosen"] == ["coupon"]
    keys = await store.ledger.link.ask("KEYS", "tino:budget:*", within=PATIENT)
    first, second = sorted(int(key.rpartition(b"-")[2]) for key in keys)
    assert second - first == 86_400


async def test_a_raised_limit_is_there_at_once_and_a_lowered_one_gives_nothing(
    store: CustomerStore, way: type[Engine]
) -> None:
    engine = way(store, plan_with(TWO))
    for limit, chosen in (
        (2, ["voucher", "voucher", "coupon"]),
        (3, ["voucher", "coupon"]),
        (1, ["coupon"]),
        (3, ["coupon"]),
    ):
        engine.serve(plan_with(TWO.replace("limit: 2", f"limit: {limit}")))
        assert [*[(await asked(engine))["chosen"][0] for _ in chosen]] == chosen


async def test_a_limit_of_0_stops_what_was_dealt_out(store: CustomerStore, way: type[Engine]) -> None:
    """The customer's partition has plenty when the limit is lowered."""
    many = TWO.replace("limit: 2", "limit: 100000")
    engine = way(store, plan_with(many))
    assert (await asked(engine))["chosen"] == ["voucher"]
    account = store.ledger.layout.account(store.ledger.layout.partition("c-1"), "vouchers:lifetime")
    assert int(await store.ledger.link.ask("HGET", account, "left", within=PATIENT)) > 10
    engine.serve(plan_with(TWO.replace("limit: 2", "limit: 0")))
    for asking in (ASK, replace(ASK, dry_run=True), replace(ASK, customer_id="c-2")):
        assert (await asked(engine, asking))["chosen"] == ["coupon"]
    assert [record.get("budgets") for record in await records(store)] == [None, *[{"vouchers": 0}] * 2]
    assert await left(engine, "vouchers") == 0
    engine.serve(plan_with(many))
    assert (await asked(engine))["chosen"] == ["voucher"]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path) as server:
        yield server


@pytest.fixture
async def own_store(own_redis: EmbeddedRedis) -> AsyncIterator[CustomerStore]:
    store = await open_store(own_redis.url)
    yield store
    await store.ledger.link.close()


async def test_where_a_share_can_not_be_had_nobody_is_contacted(own_store: CustomerStore, way: type[Engine]) -> None:
    engine, link = way(own_store, plan_with(TWO)), own_store.ledger.link
    await own_store.snapshot("c-1", Deadline(PATIENT))  # at hand, so that it is the commit that finds out
    await link.ask("CONFIG", "SET", "maxmemory", "1", within=PATIENT)
    answer = await asked(engine)
    assert (answer["status"], answer["reason"], answer["degraded"]) == ("nothing", "degraded", ["store_full"])
    assert await records(own_store) == []
    await link.ask("CONFIG", "SET", "maxmemory", "0", within=PATIENT)
    assert (await asked(engine))["chosen"] == ["voucher"]


async def test_where_a_share_takes_too_long_the_next_best_comes(
    store: CustomerStore, redis_url: str, way: type[Engine]
) -> None:
    """The way to the counter is held up, and nothing else is."""
    engine = way(store, plan_with(TWO))
    await store.snapshot("c-1", Deadline(PATIENT))
    async with Proxy(redis_url) as proxy:
        slow = Link(proxy.url)
        await slow.ask("PING", within=PATIENT)
        proxy.blackhole()
        usual, store.budgets = store.budgets, Budgets(slow, store.ledger.layout)
        answer = json.loads((await engine.next_action(ASK, "key", 1.0)).body)
        assert ([action["action"] for action in answer["actions"]], answer["degraded"]) == (["coupon"], [])
        assert [record["budgets"] for record in await records(store)] == [{"vouchers": 0}]
        store.budgets = usual
        assert (await asked(engine))["chosen"] == ["voucher"], "nothing of that is remembered"
        await slow.close()


class Raced(Budgets):
    """Whatever the partition gets, another takes it first."""

    times = 0

    async def obtain(self, budget: BudgetPlan, now: int, partition: int, needed: int, deadline: Deadline) -> int:
        found = await super().obtain(budget, now, partition, needed, deadline)
        await self._link.ask("HDEL", self._layout.account(partition, budget.period(now).key), "left", within=PATIENT)
        self.times += 1
        return found


async def test_who_comes_too_late_again_and_again_gets_the_next_best(store: CustomerStore, way: type[Engine]) -> None:
    store.budgets = raced = Raced(store.ledger.link, store.ledger.layout)
    engine = way(store, plan_with(TWO.replace("limit: 2", "limit: 1000")))
    assert (await asked(engine))["chosen"] == ["coupon"]
    assert raced.times == MOST_REFILLS
    assert [record["budgets"] for record in await records(store)] == [{"vouchers": 0}]


async def test_a_refusal_by_redis_is_told_as_any(store: CustomerStore, way: type[Engine]) -> None:
    layout = store.ledger.layout
    store.budgets = Budgets(store.ledger.link, layout, b"return redis.error_reply('ERR out of order')")
    answer = await asked(way(store, plan_with(TWO)))
    assert (answer["chosen"], answer["degraded"]) == ([], ["store_unavailable"])
    assert await records(store) == []


async def test_a_catalog_without_budgets_asks_redis_for_nothing_more(store: CustomerStore, way: type[Engine]) -> None:
    engine = way(store, plan_with(""))
    await asked(engine)
    await asked(engine)
    assert await store.ledger.link.ask("KEYS", "*:b:*", within=PATIENT) == []
    assert [record.get("budgets") for record in await records(store)] == [None, None]


async def test_what_no_budget_covers_takes_nothing(store: CustomerStore, way: type[Engine]) -> None:
    engine = way(store, plan_with("budgets: {hellos: {limit: 1, lifetime: true, scope: {action: hello}}}\n"))
    await asked(engine)
    assert await store.ledger.link.ask("KEYS", "tino:budget:*", within=PATIENT) == []


async def test_an_open_transfer_is_finished_by_who_needs_it(store: CustomerStore, way: type[Engine]) -> None:
    """Another worker died when it had debited all there is."""
    engine = way(store, plan_with(TWO))
    (budget,) = engine.plan.budgets
    await asked(engine, customer_id="somebody", dry_run=True)  # so that the time is known
    now, layout = store.clock.now(), store.ledger.layout
    dying = Accounts(store.ledger.link, layout, budget.period(now), now, Deadline(PATIENT))
    given = await dying.give(layout.partition("elsewhere"), 2, 2)
    assert given is not None
    assert given.units == 2
    chosen = [(await asked(engine))["chosen"] for _ in range(3)]
    assert chosen == [["voucher"], ["voucher"], ["coupon"]]
    fields = await store.ledger.link.ask("HKEYS", budget_key(budget.period(now).key), within=PATIENT)
    assert [name for name in fields if name.startswith(b"open")] == []


def test_a_purse_knows_what_it_was_told() -> None:
    plan = plan_with(TWO + "  ")
    voucher, hello = (next(t for t in plan.treatments if t and t.action == name) for name in ("voucher", "hello"))
    purse = Purse(plan.budgets, {"vouchers": 1})
    assert purse.blocked() == 0
    other = purse.copy()
    purse.take(hello)
    assert purse.blocked() == 0
    purse.take(voucher)
    assert (purse.blocked(), other.blocked()) == (1 << voucher.bit, 0)
    assert Purse(plan.budgets, {"other": 0}).blocked() == 0
    (budget,) = plan.budgets
    assert taken(plan.budgets, [voucher, hello, voucher]) == [(budget, 2)]
    assert taken(plan.budgets, [hello]) == []
