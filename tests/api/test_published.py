"""Whatever is sent, as the published API document says or not: never a 5xx, never an answer it doesn't tell of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.application import fastapi_of
from api.auth import Door
from api.worker import Worker
from features.redis_server import EmbeddedRedis
from tests.api.serving import Server, serving
from tests.api.serving import settings as service_settings

pytestmark = pytest.mark.untraced

CATALOG = Path(__file__).with_name("faults.yaml")
DOCUMENT = json.loads(json.dumps(fastapi_of(Worker(Door(()))).openapi()))
EXAMPLES = 20
DECISION = "GET /decisions/{decision_id}"
SLOW = dict.fromkeys(("DELETE /customers/{customer_id}", "GET /customers/{customer_id}/export", DECISION), 2)
"""With fewer examples: each looks through the archive in a process of its own."""
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
OPERATIONS: dict[str, Any] = {}
for found in schemathesis.openapi.from_dict(deepcopy(DOCUMENT)).get_all_operations():
    operation: Any = found.ok()  # type: ignore[union-attr]
    OPERATIONS[f"{operation.method.upper()} {operation.path}"] = operation
ASKED = [
    pytest.param(name, mode, id=f"{name} {mode.value}")
    for name, operation in OPERATIONS.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or operation.body or list(operation.iter_parameters())
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with (
        EmbeddedRedis.start(tmp_path_factory.mktemp("published")) as redis,
        serving(service_settings(redis_url=redis.url, catalog=CATALOG), "api.express:ExpressProtocol") as server,
    ):
        server.ask(customer_id="first")
        yield server


def test_it_is_what_is_published(running: Server) -> None:
    assert running.client.get("/openapi.json").json() == DOCUMENT
    assert len(OPERATIONS) > 10


@pytest.mark.parametrize(("name", "mode"), ASKED)
def test_every_answer_is_documented(running: Server, name: str, mode: GenerationMode) -> None:
    strategy: Any = OPERATIONS[name].as_strategy(generation_mode=mode)

    @given(case=strategy)
    @settings(
        max_examples=SLOW.get(name, EXAMPLES),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        response = case.call(base_url=f"http://127.0.0.1:{running.port}")
        case.validate_response(response, checks=CHECKS)

    ask()
