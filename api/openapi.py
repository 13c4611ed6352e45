"""The API document: FastAPI's, with the paths it doesn't serve, bodies it doesn't read and problems added."""

from typing import Any, Literal

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import event_document, events
from api.answers import NextActionAnswer, ProblemAnswer
from api.customer_bodies import ConsentBody, CustomerBody, CustomerPatch
from api.merging import MergeBody
from api.next_action import PATH
from api.problems import CODES, MEDIA_TYPE, TYPE_PREFIX
from decision.request import NextActionRequest
from features.keys import LONGEST_ID

REFERENCE = "#/components/schemas/{name}"
_BODIES: dict[tuple[str, str], type[BaseModel]] = {
    ("/customers/{customer_id}", "put"): CustomerBody,
    ("/customers/{customer_id}", "patch"): CustomerPatch,
    ("/customers/{customer_id}/consents/{purpose}", "put"): ConsentBody,
    ("/customers/{customer_id}/merge", "post"): MergeBody,
}
_EVERY = (400, 401, 403, 413, 500, 503)
_WITH_BODY = (415, 422)

Document = dict[str, Any]


def describe(app: FastAPI) -> None:
    """Makes `app` answer with the whole document."""

    def openapi() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document(app: FastAPI) -> Document:
    whole = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = whole["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _, own = msgspec.json.schema_components(
        [NextActionRequest, NextActionAnswer, ProblemAnswer, *event_document.STRUCTS], ref_template=REFERENCE
    )
    read: list[tuple[type[BaseModel], Literal["validation"]]] = [(body, "validation") for body in _BODIES.values()]
    _, bodies = models_json_schema(read, ref_template=REFERENCE.replace("{name}", "{model}"))
    schemas.update(own, **bodies["$defs"])
    schemas["ProblemAnswer"]["properties"]["code"]["enum"] = list(CODES)
    schemas["ProblemAnswer"]["properties"]["type"]["examples"] = [TYPE_PREFIX + next(iter(CODES))]
    for (path, method), body in _BODIES.items():
        whole["paths"][path][method]["requestBody"] = _json_of(body.__name__, required=True)
    whole["paths"][PATH] = {"post": _next_action()}
    whole["paths"][events.PATH] = {"post": event_document.operation(REFERENCE)}
    for operations in whole["paths"].values():
        for operation in operations.values():
            _add_problems(operation)
    return whole


def _next_action() -> Document:
    return {
        "tags": ["decisions"],
        "summary": "The next best action for a customer",
        "operationId": "next_action",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Read as `request_id`.",
                "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID},
            }
        ],
        "requestBody": _json_of("NextActionRequest", required=True),
        "responses": {"200": {"description": "A decision, recorded and committed", **_json_of("NextActionAnswer")}},
        "security": [{"api_key": []}],
    }


def _json_of(name: str, **more: Any) -> Document:
    return {"content": {"application/json": {"schema": {"$ref": REFERENCE.format(name=name)}}}, **more}


def _add_problems(operation: Document) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = {*_EVERY, 422}
    if "requestBody" in operation:
        statuses |= {*_WITH_BODY, 408}
    if operation["tags"] == ["customers"] or operation["operationId"] == "get_decision":
        statuses.add(404)
    if operation["operationId"] in ("next_action", "merge_customer"):
        statuses.add(409)
    for status in sorted(statuses):
        codes = [code for code, (its, _) in CODES.items() if its == status]
        responses.setdefault(
            str(status),
            {
                "description": f"Problem: {', '.join(codes)}",
                "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(name="ProblemAnswer")}}},
            },
        )
