"""A commit whose reply was lost is found by its decision id, or named in a provisional answer, and never sent twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catalog.plan import Plan
from decision.deciding import Answer
from decision.engine import Engine
from decision.reasons import Degradation, Status
from decision.record import RECORD_VERSION, answer_in
from decision.request import NextActionRequest, RequestError
from features.consents import with_consent
from features.customer import Consent
from features.deadline import Deadline
from features.opening import open_store
from features.store import CustomerStore
from tests.decision.plans import plan_of
from tests.engines import AtOnce, ByTask
from tests.features.proxy import Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

PATIENT = 30.0
CATALOG = """
channels: {web: {direction: inbound, placements: [top]}}
actions:
  offer: {value: 9, treatments: {web: {t: Offer}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
contact_policies: {once: {limit: 1, lifetime: true, scope: {action: offer}}}
fallback: {top: hello}
"""
UNCONTACTED = """
purposes: [marketing]
channels: {web: {direction: inbound, placements: [top, side]}}
actions: {offer: {value: 9, purpose: marketing, treatments: {web: {placements: [top], t: Offer}}}}
control_group: {share: 0.999999}
"""
ASK = NextActionRequest("c-1", placements=["top"], request_id="r")
EVALSHA = b"EVALSHA"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture
async def proxy(redis_url: str, store: CustomerStore) -> AsyncIterator[Proxy]:
    """In front of the Redis of `store`, which was emptied."""
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture(params=[ByTask, AtOnce])
async def engine(request: pytest.FixtureRequest, proxy: Proxy, plan: Plan) -> AsyncIterator[Engine]:
    """On the other side of the proxy, with the customer at hand and the script loaded."""
    store = await open_store(proxy.url)
    engine: Engine = request.param(store, plan)
    await engine.next_action(replace(ASK, customer_id="c-2", request_id="other"), "key", PATIENT)
    await store.snapshot("c-1", Deadline(PATIENT))
    proxy.requests.clear()
    yield engine
    await store.ledger.link.close()


def begin(engine: Engine, seconds: float = PATIENT) -> asyncio.Task[Answer]:
    return asyncio.create_task(engine.next_action(ASK, "key", seconds))


async def committed(store: CustomerStore) -> list[dict[str, Any]]:
    """The answers in the records of c-1."""
    layout = store.ledger.layout
    stream = layout.decisions(layout.partition("c-1"))
    found = await store.ledger.link.ask("XRANGE", stream, "-", "+", within=PATIENT)
    answers = [json.loads(answer_in(fields[3])) for _, fields in found]
    return [answer for answer in answers if answer["customer_id"] == "c-1"]


def doubtful(answer: Answer, why: Degradation) -> dict[str, Any]:
    """The body of an answer that must be the fallback, provisional, for this reason."""
    body: dict[str, Any] = json.loads(answer.body)
    assert answer.degraded == (why, Degradation.PROVISIONAL)
    assert body["degraded"] == [why.value, "provisional"]
    assert (answer.status, [action["action"] for action in body["actions"]]) == (Status.FALLBACK, ["hello"])
    return body


async def test_a_commit_whose_reply_was_lost_is_found(engine: Engine, proxy: Proxy, store: CustomerStore) -> None:
    proxy.hold()
    asked = begin(engine)
    await proxy.kept.wait()
    proxy.cut()
    proxy.release()
    answer = await asked
    assert (answer.status, answer.degraded, answer.repeated) == (Status.DECIDED, (), False)
    assert await committed(store) == [json.loads(answer.body)]
    again = await begin(engine)
    assert (again.body, again.repeated) == (answer.body, True)
    assert proxy.requests.count(EVALSHA) == 2, "once for each of the two requests"


async def test_an_answer_in_a_record_of_another_format_is_spent(
    engine: Engine, store: CustomerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade: it counted, and isn't decided again."""
    await begin(engine)
    monkeypatch.setattr("decision.record.RECORD_VERSION", RECORD_VERSION + 1)
    with pytest.raises(
        RequestError, match=f"has format {RECORD_VERSION}, this Tino reads {RECORD_VERSION + 1}"
    ) as error:
        await begin(engine)
    assert error.value.code == "request_id_spent"
    monkeypatch.undo()
    assert len(await committed(store)) == 1


async def test_what_it_took_of_a_budget_is_counted(engine: Engine, proxy: Proxy) -> None:
    engine.serve(plan_of(CATALOG + "budgets: {offers: {limit: 100000, lifetime: true, scope: {channel: web}}}"))
    other = replace(ASK, request_id=msgspec.UNSET)
    await engine.next_action(other, "key", PATIENT)  # so that its partition has a share
    granted = engine.store.budgets.granted
    assert granted == {"offers": 1}
    proxy.hold()
    asked = begin(engine)
    await proxy.kept.wait()
    proxy.cut()
    proxy.release()
    assert (await asked).degraded == ()
    assert granted == {"offers": 2}
    assert (await begin(engine)).repeated
    assert granted == {"offers": 2}


async def test_what_is_not_found_may_still_come(engine: Engine, proxy: Proxy, store: CustomerStore) -> None:
    """The connection breaks before Redis has read the commit; it reads it after the answer."""
    proxy.hold_requests()
    asked = begin(engine)
    await proxy.seen(EVALSHA)
    proxy.cut()
    body = doubtful(await asked, Degradation.STORE_UNAVAILABLE)
    assert b"XRANGE" in proxy.requests, "it was looked for"
    assert await committed(store) == []
    proxy.release_requests()
    while not (counted := await committed(store)):
        pass
    assert counted[0]["decision_id"] == body["decision_id"]
    again = await begin(engine)
    assert (json.loads(again.body), again.repeated) == (counted[0], True)


async def test_a_retry_keeps_what_is_still_under_way_from_counting(
    engine: Engine, proxy: Proxy, store: CustomerStore
) -> None:
    proxy.hold_requests()
    asked = begin(engine)
    await proxy.seen(EVALSHA)
    proxy.cut()
    body = doubtful(await asked, Degradation.STORE_UNAVAILABLE)
    retried = await begin(engine)
    evaluated = await evaluations(store)
    proxy.release_requests()
    while await evaluations(store) == evaluated:
        pass
    (counted,) = await committed(store)
    assert (retried.status, json.loads(retried.body)) == (Status.DECIDED, counted)
    assert counted["decision_id"] != body["decision_id"]


async def test_when_the_time_is_up_the_answer_names_the_commit_under_way(
    engine: Engine, proxy: Proxy, store: CustomerStore
) -> None:
    proxy.hold()
    body = doubtful(await begin(engine, 0.05), Degradation.DEADLINE)
    await proxy.kept.wait()
    proxy.release()
    again = await begin(engine)
    assert again.repeated
    assert await committed(store) == [json.loads(again.body)]
    assert json.loads(again.body)["decision_id"] == body["decision_id"]
    assert proxy.requests.count(EVALSHA) == 2


async def test_looking_ends_when_the_time_is_up(engine: Engine, proxy: Proxy, store: CustomerStore) -> None:
    """The reply is lost, and the next connection is silent."""
    proxy.hold()
    asked = begin(engine, 0.3)
    await proxy.kept.wait()
    proxy.cut()
    body = doubtful(await asked, Degradation.STORE_UNAVAILABLE)
    (counted,) = await committed(store)
    assert counted["decision_id"] == body["decision_id"]


@pytest.mark.parametrize("status", [Status.CONTROL, Status.NOTHING])
async def test_what_contacts_nobody_is_found_too(proxy: Proxy, store: CustomerStore, status: Status) -> None:
    """Such a commit leaves the version as it is: only its record tells."""
    through = await open_store(proxy.url)
    engine = AtOnce(through, plan_of(UNCONTACTED))
    told = await through.update(
        "c-1", lambda c, now: with_consent(c, "marketing", Consent(True, now)), Deadline(PATIENT)
    )
    ask = replace(ASK, placements=["top" if status is Status.CONTROL else "side"])
    await engine.next_action(replace(ask, customer_id="c-2"), "key", PATIENT)
    proxy.hold()
    asked = asyncio.create_task(engine.next_action(ask, "key", PATIENT))
    await proxy.kept.wait()
    proxy.cut()
    proxy.release()
    answer = await asked
    assert (answer.status, answer.degraded) == (status, ())
    again = await engine.next_action(ask, "key", PATIENT)
    assert (again.body, again.repeated, len(await committed(store))) == (answer.body, True, 1)
    assert (await store.snapshot("c-1", Deadline(PATIENT), fresh=True)).version == told.version
    await through.ledger.link.close()


@pytest.mark.parametrize("way", [ByTask, AtOnce])
async def test_a_commit_that_broke_off_half_way_may_count(
    redis_url: str, store: CustomerStore, way: type[Engine]
) -> None:
    """The right to one of the script's later commands was taken away while we were running."""
    admin = store.ledger.link
    user = ("ACL", "SETUSER", "limited")
    await admin.ask(*user, "reset", "on", ">secret", "~*", "+@all", within=PATIENT)
    through = await open_store(redis_url.replace("unix://", "unix://limited:secret@"))
    engine = way(through, plan_of(CATALOG + "budgets: {vouchers: {limit: 3, lifetime: true, scope: {action: offer}}}"))
    partition = through.ledger.layout.partition
    neighbour = next(each for each in map("n-{}".format, range(1000)) if partition(each) == partition("c-1"))
    await engine.next_action(replace(ASK, customer_id=neighbour), "key", PATIENT)  # gets their partition its share
    await through.snapshot("c-1", Deadline(PATIENT))
    await admin.ask(*user, "-hincrby", within=PATIENT)
    body = doubtful(await begin(engine), Degradation.STORE_UNAVAILABLE)
    (counted,) = await committed(store)
    assert counted["decision_id"] == body["decision_id"]
    await admin.ask("ACL", "DELUSER", "limited", within=PATIENT)
    await through.ledger.link.close()


async def evaluations(store: CustomerStore) -> int:
    """How many scripts the server has run."""
    stats = (await store.ledger.link.ask("INFO", "commandstats", within=PATIENT)).decode()
    return int(stats.partition("cmdstat_evalsha:calls=")[2].partition(",")[0])
