"""What Tino is measured against: an empty FastAPI endpoint with a pydantic body, and a bare ASGI callable."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

empty_fastapi = FastAPI()


class Placement(BaseModel):
    id: str
    limit: int = 1


class Body(BaseModel):
    """The same fields as the body of the real /next-action."""

    customer_id: str = Field(min_length=1, max_length=256)
    channels: list[str] | None = None
    placements: list[str | Placement] | None = None
    context: dict[str, Any] = {}
    limit: int = 1
    request_id: str | None = None
    deadline_ms: int | None = None
    dry_run: bool = False


class Event(BaseModel):
    """The same fields as an event sent to the real /events."""

    id: str = Field(min_length=1, max_length=256)
    customer_id: str = Field(min_length=1, max_length=256)
    type: str
    at: str | None = None
    properties: dict[str, Any] = {}
    decision_id: str | None = None


@empty_fastapi.post("/events", response_model=None)
async def events(body: Event) -> dict[str, str]:
    """Reads and checks the body, and does nothing."""
    return {}


@empty_fastapi.post("/next-action", response_model=None)
async def next_action(body: Body) -> dict[str, str]:
    """Reads and checks the body, and does nothing."""
    return {}


async def bare_asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Reads the body, answers a constant."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
