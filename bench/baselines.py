"""What Tino is measured against: an empty FastAPI endpoint with a pydantic body, and a bare ASGI callable."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

empty_fastapi = FastAPI()


class Body(BaseModel):
    customer_id: str
    context: dict[str, str] = {}
    limit: int = 1


class Reply(BaseModel):
    customer_id: str
    actions: list[str]


@empty_fastapi.post("/next-action")
async def next_action(body: Body) -> Reply:
    return Reply(customer_id=body.customer_id, actions=[])


async def bare_asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Reads the body, answers a constant."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
