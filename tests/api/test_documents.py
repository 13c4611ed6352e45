"""The API document and docs/http.md against what the service does."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.problems import CODES
from tests.api.serving import Server, serving, settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "http.md").read_text()


def test_the_document_has_every_path(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert {path: set(operations) for path, operations in document["paths"].items()} == {
        "/next-action": {"post"},
        "/events": {"post"},
        "/customers/{customer_id}": {"get", "put", "patch", "delete"},
        "/customers/{customer_id}/consents/{purpose}": {"put"},
        "/customers/{customer_id}/contacts": {"get"},
        "/customers/{customer_id}/merge": {"post"},
        "/customers/{customer_id}/export": {"get"},
        "/decisions/{decision_id}": {"get"},
        "/livez": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
    }


def test_the_document_holds_together(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    text = json.dumps(document)
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in document["components"]["schemas"], name
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["responses"]["422" if "parameters" in operation else "503"]
    writes = [operation for operation in operations if "requestBody" in operation]
    assert len(writes) == 6
    assert all(operation["security"] == [{"api_key": []}] for operation in writes)
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    assert document["components"]["schemas"]["ProblemAnswer"]["properties"]["code"]["enum"] == list(CODES)


def test_docs_show_it(client: httpx.Client) -> None:
    assert "/openapi.json" in client.get("/docs").text


def test_nothing_is_shared_across_origins(client: httpx.Client) -> None:
    response = client.get("/openapi.json", headers={"Origin": "http://localhost:3000"})
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_every_code_a_request_can_fail_with_is_in_the_table() -> None:
    raised = set()
    for room, name in (("decision", "RequestError"), ("api", "Problem")):
        for file in (ROOT / room).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                    first = node.args[0]
                    if isinstance(first, ast.Constant):
                        raised.add(first.value)
    assert raised <= set(CODES)
    assert len(raised) > 20


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(code: str) -> None:
    assert f"| `{code}` | {CODES[code][0]} |" in PAGE


def examples() -> list[tuple[list[str], int, dict[str, Any] | None]]:
    """The page's curl commands, each with the status and body shown below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for step in block.split("$ ")[1:]:
            command, _, shown = step.partition("\n# ")
            status, _, body = shown.partition("\n")
            words = shlex.split(command.replace("\\\n", " "))
            if words[0] == "curl":
                found.append((words, int(status.split()[0]), json.loads(body) if body.strip() else None))
    return found


@pytest.fixture
def grocery(tmp_path: Path) -> Iterator[Server]:
    with serving(settings(catalog=ROOT / "examples" / "grocery", data=tmp_path)) as running:
        yield running


def test_the_examples_work_in_order(grocery: Server) -> None:
    steps = examples()
    assert len(steps) >= 8
    ids: dict[str, str] = {}  # of decisions: as the page has them, and as they are here
    for words, status, shown in steps:
        method, url, headers, data = "GET", "", {}, None
        rest = iter(words[1:])
        for word in rest:
            match word:
                case "-X":
                    method = next(rest)
                case "-H":
                    name, _, value = next(rest).partition(": ")
                    headers[name] = value
                case "-d":
                    data = next(rest)
                case "-s" | "-i":
                    pass
                case _:
                    url = word.removeprefix("localhost:8000")
        for shown_id, actual_id in ids.items():
            url = url.replace(shown_id, actual_id)
            data = data and data.replace(shown_id, actual_id)
        if data is not None and method == "GET":
            method = "POST"
        response = grocery.client.request(method, url, content=data, headers=headers)
        assert response.status_code == status, (words, response.text)
        if shown is not None:
            assert _shape(response.json()) == _shape(shown), words
            ids |= {shown["decision_id"]: response.json()["decision_id"]} if "decision_id" in shown else {}


def _shape(value: Any) -> Any:
    """Keys, and the values that no run changes."""
    if isinstance(value, dict):
        changing = (
            "decision_id", "id", "reason", "valid_until", "catalog", "request_id", "at", "seed", "detail", "next",
            "first", "last",
        )  # fmt: skip
        return {name: None if name in changing else _shape(each) for name, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else value
