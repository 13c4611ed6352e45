"""What fits into the time that is left: the declared order, its arithmetic, and what it comes to in an engine."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from msgspec.structs import replace

from catalog.plan import Plan
from decision.deciding import Answer
from decision.engine import Engine
from decision.reasons import Degradation, Reason, Status
from decision.record import Record, read_record
from decision.replay import replay
from decision.request import NextActionRequest
from decision.time_budget import FOR_ANOTHER_TRY, FOR_COMMIT, REST, Fits, Usual, what_fits
from features.customer import with_attributes
from features.deadline import Deadline
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from models.scoring import Models
from tests.engines import AtOnce, ByTask
from tests.models.onnx_files import NUMBER, logistic, metadata, plan_with

PATIENT = 30.0
AN_HOUR = 3_600.0
REQUEST = NextActionRequest("c-1", placements=["banner"])


@pytest.mark.parametrize(
    ("left", "models", "lost", "fits"),
    [
        (1.0, 0.0, 0, Fits.ALL),
        (1.0, 0.5, 0, Fits.ALL),
        (0.5, 0.5, 0, Fits.WITHOUT_MODELS),
        (0.5, 60.0, 0, Fits.WITHOUT_MODELS),
        (FOR_COMMIT, 0.0, 0, Fits.ALL),
        (FOR_COMMIT, 0.001, 0, Fits.WITHOUT_MODELS),
        (FOR_COMMIT / 2, 0.0, 0, Fits.NOTHING),
        (0.0, 0.0, 0, Fits.NOTHING),
        (FOR_COMMIT, 0.0, 1, Fits.NOTHING),
        (FOR_ANOTHER_TRY, 0.0, 1, Fits.ALL),
        (FOR_ANOTHER_TRY, 0.001, 3, Fits.WITHOUT_MODELS),
    ],
)
def test_what_fits(left: float, models: float, lost: int, fits: Fits) -> None:
    assert what_fits(left, models, lost) is fits


def test_models_go_first_then_another_try_then_the_decision() -> None:
    """As the time shrinks."""
    hundredths = [number / 100_000 for number in range(500, -1, -1)]
    first = [what_fits(left, 0.002, 0) for left in hundredths]
    again = [what_fits(left, 0.002, 1) for left in hundredths]
    assert first == sorted(first, reverse=True)
    assert again == sorted(again, reverse=True)
    assert set(first) == set(again) == set(Fits)
    assert all(one >= other for one, other in zip(first, again, strict=True))


def test_a_slow_run_counts_at_once_and_a_quick_one_by_and_by() -> None:
    usual = Usual()
    assert usual.at(1_000.0) == 0.0
    for took in (0.010, 0.020):
        usual.took(took, 1_000.0)
        assert usual.at(1_000.0) == took
    usual.took(0.010, 1_000.1)
    assert usual.at(1_000.1) == pytest.approx(0.018)


def test_it_rests_for_twenty_runs_and_is_then_forgotten_by_and_by() -> None:
    usual = Usual()
    usual.took(0.3, 1_000.0)
    assert usual.at(1_000.0 + 19.9 * 0.3) == 0.3
    for further, halves in ((0, 0), (1, 1), (2, 2), (10, 10)):
        assert usual.at(1_000.0 + (REST + further) * 0.3) == pytest.approx(0.3 / 2**halves)
    assert usual.at(1e9) < 1e-300


def test_what_was_slow_once_is_relied_on_again_after_one_quick_run() -> None:
    usual = Usual()
    usual.took(5.0, 1_000.0)
    later = 1_000.0 + 30 * 5.0
    assert what_fits(0.050, usual.at(later), 0) is Fits.ALL, "it is tried again"
    usual.took(0.001, later + 0.001)
    assert what_fits(0.050, usual.at(later + 0.001), 0) is Fits.ALL


@pytest.mark.untraced
@pytest.mark.parametrize("rate", [10, 1_000, 100_000])
@pytest.mark.parametrize("patience", [0.005, 0.050])
def test_runs_that_are_too_slow_take_a_bounded_share_of_the_time(rate: int, patience: float) -> None:
    """However many requests come, and each while the one before is answered."""
    usual, now, running, end = Usual(), 1_000.0, 0.0, 1_010.0
    while now < end:
        if what_fits(patience, usual.at(now), 0) is Fits.ALL:
            now += 0.1
            running += 0.1
            usual.took(0.1, now)
        now += 1 / rate
    assert 0.2 <= running <= 0.1 + (end - 1_000.0) / REST, "the first, and then a twentieth"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_with(logistic([0.5], metadata(NUMBER)), tmp_path)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CustomerStore]:
    with EmbeddedRedis.start(tmp_path) as server:
        store = await open_store(server.url)
        await store.update("c-1", lambda customer, _: with_attributes(customer, {"visits": 3}), Deadline(PATIENT))
        yield store
        await store.ledger.link.close()


@pytest.fixture(params=[ByTask, AtOnce])
def engine(request: pytest.FixtureRequest, store: CustomerStore, plan: Plan) -> Engine:
    made: Engine = request.param(store, plan)
    return made


async def asked(engine: Engine, seconds: float, **changes: Any) -> tuple[Answer, dict[str, Any]]:
    answer = await engine.next_action(replace(REQUEST, **changes), "key", seconds)
    return answer, json.loads(answer.body)


async def recorded(engine: Engine, body: dict[str, Any]) -> Record:
    record = await engine.store.ledger.record(body["decision_id"], PATIENT)
    assert record is not None
    return read_record(record)


@pytest.mark.anyio
async def test_what_models_score_is_left_out_when_they_take_too_long(engine: Engine, plan: Plan) -> None:
    answer, body = await asked(engine, PATIENT)
    assert (answer.degraded, body["actions"][0]["action"]) == ((), "keep")
    assert 0 < engine.usual.at(monotonic()) < PATIENT, "it was measured"
    engine.usual.took(AN_HOUR, monotonic())
    answer, body = await asked(engine, PATIENT)
    assert (answer.status, answer.reason, answer.degraded) == (Status.DECIDED, Reason.RANKED, (Degradation.MODEL,))
    assert [action["action"] for action in body["actions"]] == ["greet"]
    record = await recorded(engine, body)
    assert (record.degraded, record.late, record.scores) == (("renewal",), ("renewal",), ())
    assert replay(plan, record) == replay(plan, record, Models(plan)) == []
    as_if_it_had_failed = replay(plan, replace(record, late=()), Models(plan))
    assert "degraded" in [difference.field for difference in as_if_it_had_failed]
    answer, body = await asked(engine, 2 * AN_HOUR)
    assert (answer.degraded, body["actions"][0]["action"]) == ((), "keep")


@pytest.mark.anyio
async def test_they_are_not_tried_again_for_many_requests_but_when_time_has_passed(engine: Engine) -> None:
    engine.usual.took(AN_HOUR, monotonic())
    for _ in range(400):
        answer, _ = await asked(engine, PATIENT)
        assert answer.degraded == (Degradation.MODEL,)
    engine.usual.took(AN_HOUR, monotonic() - 2 * REST * AN_HOUR)
    answer, _ = await asked(engine, PATIENT)
    assert answer.degraded == ()


@pytest.mark.anyio
async def test_a_preview_leaves_them_out_too(engine: Engine) -> None:
    engine.usual.took(AN_HOUR, monotonic())
    answer, body = await asked(engine, PATIENT, dry_run=True)
    assert (answer.degraded, body["actions"][0]["action"]) == ((Degradation.MODEL,), "greet")


@pytest.mark.anyio
async def test_no_decision_is_sent_whose_reply_could_not_be_in_time(engine: Engine) -> None:
    answer, body = await asked(engine, FOR_COMMIT / 2)
    assert (answer.degraded, body["decision_id"]) == ((Degradation.DEADLINE,), None)
    stream = engine.store.ledger.layout.decisions(engine.store.ledger.layout.partition("c-1"))
    assert await engine.store.ledger.link.ask("XLEN", stream, within=PATIENT) == 0
