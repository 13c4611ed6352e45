"""What is left of budgets is to be seen, whichever worker is asked, and what was taken is counted."""

import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from api.metrics import Metrics
from decision.engine import Engine
from decision.request import NextActionRequest
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from tests.api.serving import PATIENCE, serving, settings
from tests.decision.plans import HEAD, LOADED, plan_of
from tests.replayed import all_made_again

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
ACTIONS = "channels: {web: {direction: inbound}}\nactions: {voucher: {value: 9, treatments: {web: {t: Voucher}}}}\n"
TWO = (
    ACTIONS
    + """
budgets:
  vouchers: {limit: 5, lifetime: true, scope: {action: voucher}}
  everything: {limit: 1000, lifetime: true, scope: {channel: web}}
"""
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    with EmbeddedRedis.start(tmp_path) as server:
        store = await open_store(server.url)
        yield Engine(store, plan_of(TWO))
        await store.ledger.link.close()
        await all_made_again(server.url, tmp_path, LOADED.values())


def value(metrics: Metrics, name: str) -> float | None:
    found = [line for line in metrics.text().decode().splitlines() if line.startswith(f"{name} ")]
    return float(found[0].split()[-1]) if found else None


async def test_levels_and_counts(engine: Engine) -> None:
    metrics = Metrics()
    await metrics.budgets.look()
    assert value(metrics, 'tino_budget_left{budget="vouchers"}') is None, "there is no engine yet"
    metrics.budgets.watch(engine)
    await metrics.budgets.look()
    assert value(metrics, 'tino_budget_left{budget="vouchers"}') == 5
    for number in range(7):
        await engine.next_action(NextActionRequest(f"c-{number}"), "key", 30)
    await metrics.budgets.look()
    for _ in range(2):  # asked twice, nothing is counted twice
        assert value(metrics, 'tino_budget_left{budget="vouchers"}') == 0
        assert value(metrics, 'tino_budget_left{budget="everything"}') == 995
        assert value(metrics, 'tino_budget_granted_total{budget="vouchers"}') == 5
        assert value(metrics, 'tino_budget_granted_total{budget="everything"}') == 5


async def test_another_catalog(engine: Engine) -> None:
    metrics = Metrics()
    metrics.budgets.watch(engine)
    await metrics.budgets.look()
    engine.serve(plan_of(TWO.replace("  vouchers: {limit: 5", "  coupons: {limit: 3")))
    await metrics.budgets.look()
    gone = value(metrics, 'tino_budget_left{budget="vouchers"}')
    assert gone is not None
    assert math.isnan(gone)
    assert value(metrics, 'tino_budget_left{budget="coupons"}') == 3


async def test_without_redis_what_was_seen_last_stands(engine: Engine) -> None:
    metrics = Metrics()
    metrics.budgets.watch(engine)
    await metrics.budgets.look()
    await engine.store.ledger.link.close()
    await metrics.budgets.look()
    assert value(metrics, 'tino_budget_left{budget="vouchers"}') == 5


LOOK = """
import asyncio, sys
from api.metrics import Metrics
from decision.engine import Engine
from features.opening import open_store
from tests.decision.plans import plan_of
async def look():
    store = await open_store(sys.argv[1])
    metrics = Metrics()
    metrics.budgets.watch(Engine(store, plan_of(sys.argv[2])))
    await metrics.budgets.look()
    print(metrics.text().decode())
    await store.ledger.link.close()
asyncio.run(look())
"""


def test_levels_of_several_workers_are_not_added_up(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    with EmbeddedRedis.start(tmp_path) as server:
        for _ in range(2):
            command = [sys.executable, "-c", LOOK, server.url, TWO]
            done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    assert 'tino_budget_left{budget="vouchers"} 5.0' in done.stdout.splitlines()


def test_the_service_looks_by_itself(tmp_path: Path) -> None:
    """It looks first when it starts, so that it has seen it soon, without a request for any decision."""
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(HEAD + TWO)
    with serving(settings(catalog=catalog, data=tmp_path / "data")) as server:
        until = monotonic() + PATIENCE
        while 'tino_budget_left{budget="vouchers"} 5.0' not in server.client.get("/metrics").text.splitlines():
            assert monotonic() < until, "nobody ever looked"
