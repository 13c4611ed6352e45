"""The shapes of ASGI, and an answer sent in one go."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from api.problems import Headers, Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

NO_STORE = (b"cache-control", b"no-store")


async def answer(send: Send, status: int, headers: Headers, request_id: bytes, body: bytes) -> None:
    """`headers` gets the rest added: it must be the caller's own list."""
    headers += (NO_STORE, (b"request-id", request_id), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_problem(send: Send, problem: Problem, request_id: bytes) -> None:
    await answer(send, problem.status, problem.all_headers(), request_id, problem.body(request_id))
