"""The engine on a real Redis: what an answer writes, what it leaves alone, and what it says in doubt."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catalog.plan import Plan
from decision.deciding import Answer
from decision.engine import Engine
from decision.reasons import Degradation, Reason, Status
from decision.record import answer_in, read_record
from decision.request import NextActionRequest, RequestError
from features.cache import Cache
from features.clock import ServerClock
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, with_attributes
from features.deadline import Deadline
from features.identity import merge
from features.keys import parse_decision_id
from features.ledger import Ledger
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from features.workers import Lease, LeasedStore
from tests.decision.plans import plan_of
from tests.engines import AtOnce, ByTask
from tests.features.proxy import Proxy

pytestmark = pytest.mark.anyio

PATIENT = 30.0
HOUR = 3_600_000_000
CATALOG = """
customer: {email: string}
purposes: [marketing]
channels:
  web: {direction: inbound, placements: [top]}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  offer: {value: 9, treatments: {web: {t: Offer}, email: {t: Offer}}}
  news: {value: 5, treatments: {email: {t: News}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
contact_policies:
  weekly-email: {limit: 1, rolling: 7d, scope: {channel: email}}
  daily-web: {limit: 2, rolling: 1d, scope: {channel: web}}
fallback: {top: hello}
"""
WITHOUT = "channels: {app: {direction: inbound}}\nactions: {hi: {value: 1, treatments: {app: {t: Hi}}}}\n"
REQUEST = NextActionRequest("c-1", placements=["top"])
BOTH = NextActionRequest("c-1", channels=["web", "email"], placements=["top"])


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture(params=[ByTask, AtOnce])
def way(request: pytest.FixtureRequest) -> type[Engine]:
    chosen: type[Engine] = request.param
    return chosen


@pytest.fixture
def engine(store: CustomerStore, plan: Plan, way: type[Engine]) -> Engine:
    return way(store, plan)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """One to stop, freeze and fill."""
    with EmbeddedRedis.start(tmp_path) as server:
        yield server


@pytest.fixture
async def own_store(own_redis: EmbeddedRedis) -> AsyncIterator[CustomerStore]:
    store = await open_store(own_redis.url)
    yield store
    await store.ledger.link.close()


def patient() -> Deadline:
    return Deadline(PATIENT, lambda: 0.0)


async def asked(engine: Engine, request: NextActionRequest, seconds: float = PATIENT) -> tuple[Answer, dict[str, Any]]:
    answer = await engine.next_action(request, "key", seconds)
    return answer, json.loads(answer.body)


async def reachable(store: CustomerStore, *, test: bool = False) -> None:
    def known(customer: Customer, now: int) -> Customer:
        told = with_attributes(customer, {"email": "ana@example.com"})
        return replace(with_consent(told, "marketing", Consent(True, now)), test=test)

    await store.update("c-1", known, patient())


async def stream(store: CustomerStore, name: str) -> list[bytes]:
    layout = store.ledger.layout
    partition = layout.partition("c-1")
    key = layout.outbox(partition) if name == "outbox" else layout.decisions(partition)
    return [fields[-1] for _, fields in await store.ledger.link.ask("XRANGE", key, "-", "+", within=PATIENT)]


async def contacts(store: CustomerStore) -> tuple[Contact, ...]:
    return (await store.snapshot("c-1", patient(), fresh=True)).customer.contacts


async def everything(store: CustomerStore) -> dict[bytes, Any]:
    """Every key with its whole content."""
    link = store.ledger.link
    keys = await link.ask("KEYS", "*", within=PATIENT)
    return {key: await link.ask("DUMP", key, within=PATIENT) for key in keys}


async def test_an_answer_is_counted_recorded_and_sent(store: CustomerStore, engine: Engine) -> None:
    await reachable(store)
    answer, body = await asked(engine, BOTH)
    assert (answer.status, answer.reason, answer.degraded) == (Status.DECIDED, Reason.RANKED, ())
    assert [action["treatment"] for action in body["actions"]] == ["offer/web", "news/email"]
    assert [(c.action, c.channel, c.decision) for c in await contacts(store)] == [
        ("offer", "web", body["decision_id"]),
        ("news", "email", body["decision_id"]),
    ]
    (record,) = await stream(store, "decisions")
    assert answer_in(record) == answer.body
    assert await store.ledger.record(body["decision_id"], PATIENT) == record
    (message,) = map(json.loads, await stream(store, "outbox"))
    assert (message["treatment"], message["address"]) == ("news/email", "ana@example.com")
    _, again = await asked(engine, BOTH)
    assert [action["treatment"] for action in again["actions"]] == ["offer/web"]  # the week's e-mail is spent
    assert len(await stream(store, "outbox")) == 1


async def test_a_test_customer_is_decided_for_and_never_sent_to(store: CustomerStore, engine: Engine) -> None:
    await reachable(store, test=True)
    _, body = await asked(engine, BOTH)
    assert [action["channel"] for action in body["actions"]] == ["web", "email"]
    assert (len(await contacts(store)), len(await stream(store, "decisions"))) == (2, 1)
    assert await stream(store, "outbox") == []


async def test_a_dry_run_leaves_nothing(store: CustomerStore, engine: Engine) -> None:
    await reachable(store)
    before = await everything(store)
    for request in (replace(BOTH, dry_run=True), replace(BOTH, dry_run=True, request_id="r", customer_id="stranger")):
        answer, body = await asked(engine, request)
        assert (answer.status, body["decision_id"]) == (Status.DECIDED, None)
    assert await everything(store) == before


async def test_nothing_and_fallback_are_recorded_but_raise_no_version(store: CustomerStore, engine: Engine) -> None:
    for _ in range(2):
        await asked(engine, REQUEST)
    version = (await store.snapshot("c-1", patient(), fresh=True)).version
    answer, body = await asked(engine, REQUEST)
    assert (answer.status, answer.reason) == (Status.FALLBACK, Reason.CONTACT_POLICY)
    assert [action["fallback"] for action in body["actions"]] == [True]
    assert (await store.snapshot("c-1", patient(), fresh=True)).version == version
    assert len(await stream(store, "decisions")) == 3


async def test_the_same_request_id_is_the_same_answer_and_counts_once(store: CustomerStore, engine: Engine) -> None:
    first, body = await asked(engine, replace(REQUEST, request_id="r"))
    again, _ = await asked(engine, replace(REQUEST, request_id="r", deadline_ms=7))
    assert (again.body, again.repeated, first.repeated) == (first.body, True, False)
    assert (again.status, again.reason) == (first.status, first.reason)
    assert len(await contacts(store)) == 1
    with pytest.raises(RequestError) as refused:
        await asked(engine, replace(REQUEST, request_id="r", limit=2))
    assert refused.value.code == "request_id_reused"
    other = json.loads((await engine.next_action(replace(REQUEST, request_id="r"), "other key", PATIENT)).body)
    assert other["decision_id"] != body["decision_id"]


async def test_an_answered_request_is_answered_the_same_though_the_catalog_has_changed(
    store: CustomerStore, engine: Engine
) -> None:
    """By one that declares none of what it asks for: only a request that was not answered before is refused."""
    request = replace(BOTH, context={"page": "home"}, request_id="r-1")
    engine.serve(plan_of(CATALOG + "context: {page: string}\n"))
    first, told = await asked(engine, request)
    assert told["status"] == "decided"
    count = len(await contacts(store))
    engine.serve(plan_of(WITHOUT))
    for merged in (False, True):
        if merged:
            await merge(store, "c-1", "c-2", patient())
        again, _ = await asked(engine, request)
        assert (again.body, again.repeated) == (first.body, True)
        for other in ({"request_id": "r-2"}, {"request_id": msgspec.UNSET}, {"dry_run": True}):
            with pytest.raises(RequestError, match="not declared") as refused:
                await asked(engine, replace(request, **other))
            assert refused.value.code == "unknown_channel"
        with pytest.raises(RequestError, match="another body"):
            await asked(engine, replace(request, limit=2))
    assert len((await store.snapshot("c-2", patient(), fresh=True)).customer.log) == count


async def test_a_decision_is_made_on_what_another_worker_wrote(
    redis_url: str, store: CustomerStore, plan: Plan, way: type[Engine]
) -> None:
    await reachable(store)
    engine = way(store, plan)
    await store.snapshot("c-1", patient())
    elsewhere = await open_store(redis_url)
    await elsewhere.update("c-1", lambda c, now: with_consent(c, "marketing", Consent(False, now)), patient())
    await elsewhere.ledger.link.close()
    answer, body = await asked(engine, BOTH)
    assert answer.lost == 1
    assert [action["channel"] for action in body["actions"]] == ["web"]
    assert await stream(store, "outbox") == []


async def degraded(engine: Engine, request: NextActionRequest, seconds: float) -> Degradation:
    """Asks for what would reach the customer; the answer must be the fallback, for the reason returned.

    It names a decision only where a commit was under way.
    """
    answer, body = await asked(engine, request, seconds)
    why, *provisional = answer.degraded
    assert (answer.status, answer.reason) == (Status.FALLBACK, Reason.DEGRADED)
    assert [(action["treatment"], action["fallback"]) for action in body["actions"]] == [("hello/web", True)]
    assert body["degraded"] == list(answer.degraded)
    assert provisional in ([], [Degradation.PROVISIONAL])
    assert (body["decision_id"] is not None) == bool(provisional)
    return why


async def test_redis_gone(own_redis: EmbeddedRedis, own_store: CustomerStore, plan: Plan, way: type[Engine]) -> None:
    await reachable(own_store)
    engine = way(own_store, plan)
    own_redis.stop()
    for request in (BOTH, replace(BOTH, dry_run=True), replace(BOTH, customer_id="stranger")):
        assert await degraded(engine, request, 0.3) in (Degradation.STORE_UNAVAILABLE, Degradation.DEADLINE)


async def test_redis_silent(own_redis: EmbeddedRedis, own_store: CustomerStore, plan: Plan, way: type[Engine]) -> None:
    await reachable(own_store)
    engine = way(own_store, plan)
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        for request in (BOTH, replace(BOTH, dry_run=True), replace(BOTH, customer_id="stranger")):
            assert await degraded(engine, request, 0.05) is Degradation.DEADLINE
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)


async def test_redis_full(own_redis: EmbeddedRedis, own_store: CustomerStore, plan: Plan, way: type[Engine]) -> None:
    await reachable(own_store)
    engine = way(own_store, plan)
    await own_store.ledger.link.ask("CONFIG", "SET", "maxmemory", 1, within=PATIENT)
    assert await degraded(engine, BOTH, PATIENT) is Degradation.STORE_FULL
    await own_store.ledger.link.ask("CONFIG", "SET", "maxmemory", 0, within=PATIENT)
    assert await contacts(own_store) == ()
    answer, _ = await asked(engine, BOTH)
    assert answer.status is Status.DECIDED


async def test_a_clock_before_the_customers_last_commit(store: CustomerStore, engine: Engine) -> None:
    ledger = store.ledger
    clock = ServerClock()
    clock.heard(store.clock.now() + HOUR)
    ahead = CustomerStore(Ledger(ledger.link, ledger.layout, clock_offset_us=HOUR), Cache(9), clock)
    await reachable(ahead)
    assert await degraded(engine, BOTH, PATIENT) is Degradation.CLOCK
    assert await degraded(engine, replace(BOTH, dry_run=True), PATIENT) is Degradation.CLOCK
    assert await contacts(store) == ()


async def test_who_stood_still_with_all_its_clocks_does_not_decide_by_what_it_has(
    store: CustomerStore, plan: Plan, way: type[Engine]
) -> None:
    """Its first try comes too late, and tells that the catalog may be another by now."""
    ledger, clock, lease = Ledger(store.ledger.link, store.ledger.layout), ServerClock(), Lease(lambda: 0.0)
    clock.heard(store.clock.now())
    own = LeasedStore(ledger, Cache(9), clock, lease)
    lease.renew(lease.now())
    await reachable(own)
    engine = way(own, plan)
    ledger.clock_offset_us += 6_000_000  # to who stood still the server seems to have jumped
    assert await degraded(engine, BOTH, PATIENT) is Degradation.STORE_UNAVAILABLE
    assert await contacts(store) == ()
    lease.renew(lease.now())
    answer, _ = await asked(engine, BOTH)
    assert answer.status is Status.DECIDED


async def test_a_cached_customer_whose_last_commit_lies_ahead(store: CustomerStore, engine: Engine) -> None:
    ledger = store.ledger
    await reachable(store)
    clock = ServerClock()
    clock.heard(store.clock.now() + HOUR)
    ahead = CustomerStore(Ledger(ledger.link, ledger.layout, clock_offset_us=HOUR), Cache(9), clock)
    await reachable(ahead)
    assert await degraded(engine, BOTH, PATIENT) is Degradation.CLOCK


async def test_somebody_else_holds_the_right_of_way(store: CustomerStore, engine: Engine) -> None:
    await reachable(store)
    ticket = store.ledger.layout.commit_keys("c-1", b"").ticket
    await store.ledger.link.ask("SET", ticket, "theirs", "PX", 600_000, within=PATIENT)
    assert await degraded(engine, BOTH, 0.1) in (Degradation.CONTENTION, Degradation.DEADLINE)
    assert await contacts(store) == ()
    assert (await stream(store, "decisions"), await stream(store, "outbox")) == ([], [])


async def test_no_time_at_all(store: CustomerStore, engine: Engine) -> None:
    """The customer is cached, so all could be decided at once; but nobody waits for the answer any more."""
    await reachable(store)
    before = await everything(store)
    for request in (BOTH, replace(BOTH, request_id="r")):
        assert await degraded(engine, request, 0.0) is Degradation.DEADLINE
    assert await everything(store) == before


async def test_a_decision_is_found_by_its_id_though_a_try_was_lost(store: CustomerStore, engine: Engine) -> None:
    """The first try was made at a time an hour off: the id, which carries the time, is of the try that counted."""
    await reachable(store)
    store.clock.heard(store.clock.now() + HOUR)
    answer, body = await asked(engine, BOTH)
    assert (answer.status, answer.lost) == (Status.DECIDED, 1)
    record = await store.ledger.record(body["decision_id"], PATIENT)
    assert record is not None
    assert parse_decision_id(body["decision_id"])[1] == read_record(record).at // 1000


async def test_every_try_has_an_id_of_its_own(
    redis_url: str, store: CustomerStore, plan: Plan, way: type[Engine]
) -> None:
    await reachable(store)
    taken = iter(range(1, 100))
    engine = way(store, plan, lambda count: next(taken).to_bytes(count))
    elsewhere = await open_store(redis_url)
    await elsewhere.update("c-1", lambda c, _: with_attributes(c, {"email": "bea@example.com"}), patient())
    await elsewhere.ledger.link.close()
    answer, body = await asked(engine, BOTH)
    assert answer.lost == 1
    seed, first, second = ((number).to_bytes(8) for number in (1, 2, 3))
    assert body["decision_id"].endswith(second.hex())
    (record,) = await stream(store, "decisions")
    assert read_record(record).seed == int.from_bytes(seed), "the draws stay the same from try to try"
    assert first.hex().encode() not in record


async def test_tries_lost_before_a_repeated_answer_are_told(store: CustomerStore, engine: Engine) -> None:
    """Two workers have the same request: one loses a try, and then finds that the other has answered."""
    await reachable(store)
    request = replace(BOTH, request_id="r")
    first, _ = await asked(engine, request)
    ask, layout = store.ledger.link.ask, store.ledger.layout
    (key,) = await ask("KEYS", "*:q:*", within=PATIENT)
    await ask("RENAME", key, "aside", within=PATIENT)
    await ask("SET", layout.commit_keys("c-1", b"").ticket, "theirs", "PX", 600_000, within=PATIENT)
    evaluated = await evaluations(store)
    late = asyncio.create_task(asked(engine, request))
    while await evaluations(store) < evaluated + 2:
        assert not late.done()
    await ask("RENAME", "aside", key, within=PATIENT)
    again, _ = await late
    assert (again.body, again.repeated) == (first.body, True)
    assert again.lost >= 2
    assert len(await stream(store, "decisions")) == 1


async def evaluations(store: CustomerStore) -> int:
    """How many scripts the server has run."""
    stats = (await store.ledger.link.ask("INFO", "commandstats", within=PATIENT)).decode()
    return int(stats.partition("cmdstat_evalsha:calls=")[2].partition(",")[0])


async def test_a_millisecond_is_kept_to_or_said_to_be_too_short(store: CustomerStore, engine: Engine) -> None:
    await reachable(store)
    answer, body = await asked(engine, replace(BOTH, request_id="r"), 0.001)
    if answer.degraded:
        assert set(answer.degraded) <= {Degradation.DEADLINE, Degradation.CONTENTION, Degradation.PROVISIONAL}
        assert body["actions"][0]["fallback"]
    else:
        assert answer.status is Status.DECIDED
    # Whatever became of it, a retry settles it, and it counts once.
    settled, _ = await asked(engine, replace(BOTH, request_id="r"))
    assert settled.status is Status.DECIDED
    assert len(await contacts(store)) == 2


async def test_a_line_has_an_end(redis_url: str, store: CustomerStore, plan: Plan, way: type[Engine]) -> None:
    """One decides, two wait for it, the fourth is told at once; others' lines are their own."""
    async with Proxy(redis_url) as proxy:
        through = await open_store(proxy.url)
        engine = way(through, plan, most_in_line=2)
        for customer_id in ("c-1", "c-2"):
            await through.snapshot(customer_id, patient())
        proxy.hold()
        waiting = [asyncio.create_task(asked(engine, REQUEST)) for _ in range(3)]
        await proxy.seen(b"EVALSHA")
        assert await degraded(engine, REQUEST, PATIENT) is Degradation.CONTENTION
        other = asyncio.create_task(asked(engine, replace(REQUEST, customer_id="c-2")))
        await proxy.seen(b":c:c-2")
        proxy.release()
        assert [answer.degraded for answer, _ in [*await asyncio.gather(*waiting), await other]] == [()] * 4
        await through.ledger.link.close()


async def test_five_hundred_in_line_are_all_answered(store: CustomerStore, engine: Engine) -> None:
    asking = (asked(engine, replace(REQUEST, request_id=f"r-{number}")) for number in range(500))
    assert [answer.degraded for answer, _ in await asyncio.gather(*asking)] == [()] * 500


async def test_the_common_case_takes_no_task(store: CustomerStore, plan: Plan) -> None:
    engine = AtOnce(store, plan)
    await asked(engine, REQUEST)  # loads the customer
    assert engine.taken == 0
    running = asyncio.all_tasks()
    told: asyncio.Future[Answer | Exception] = asyncio.get_running_loop().create_future()
    assert engine.at_once(REQUEST, "key", PATIENT, told.set_result)
    assert asyncio.all_tasks() == running
    assert not engine.at_once(REQUEST, "key", PATIENT, told.set_result), "another has the customer's turn"
    answer = await told
    assert isinstance(answer, Answer)
    assert (answer.status, answer.degraded) == (Status.DECIDED, ())
    assert not engine.at_once(replace(REQUEST, dry_run=True), "key", PATIENT, told.set_result)
    await store.ledger.link.close()
    assert not engine.at_once(REQUEST, "key", PATIENT, told.set_result), "there is no connection"
