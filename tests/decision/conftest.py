"""A real redis-server, and stores on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from catalog.plan import Plan
from decision.engine import Engine
from features.intake import Intake
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import CustomerStore
from tests.decision.intakes import AtOnce
from tests.decision.plans import LOADED
from tests.replayed import all_made_again


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def store(redis_url: str, tmp_path: Path) -> AsyncIterator[CustomerStore]:
    """On an empty Redis. What is decided there is made again when the test is over."""
    link = Link(redis_url)
    await link.ask("FLUSHALL", within=5)  # before it is opened: layout and clock are written down then
    await link.close()
    store = await open_store(redis_url)
    yield store
    await store.ledger.link.close()
    await all_made_again(redis_url, tmp_path, LOADED.values())


@pytest.fixture
def engine(store: CustomerStore, plan: Plan) -> Engine:
    """By the `plan` of the module that asks for it."""
    return Engine(store, plan)


@pytest.fixture(params=[Intake, AtOnce])
def intake(request: pytest.FixtureRequest, engine: Engine) -> Intake:
    chosen: type[Intake] = request.param
    return chosen(engine.store, engine.intake.turns, lambda: engine.plan)
