"""The express way: uvicorn's HTTP protocol with a shorter path for `POST /next-action`.

For an ordinary request uvicorn builds a scope, a cycle with its event, and checks and joins the answer's headers one by
one, and headers and body leave in two system calls. A decision takes about as long as all that. So the most common
request, a POST to exactly this path over HTTP/1.1 with a Content-Length within the limit, on a connection with nothing
else in flight, is collected here and answered with one write. Every other request, and everything about connections
(keep-alive, pipelining, shutting down), is uvicorn's as before, and what the answer is comes from the same
`NextAction.respond` either way.

`tino serve` uses it; under plain `uvicorn service:app` the same requests get the same answers, more slowly.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.asgi import Scope
from api.bodies import too_late
from api.next_action import PATH, NextAction

_PATH = PATH.encode()
Header = tuple[bytes, bytes]


class _Express:
    """A request on the express way; has what uvicorn's protocol asks of the cycle it replaces."""

    __slots__ = ("body", "disconnected", "headers", "keep_alive", "message_event", "response_complete")

    def __init__(self, headers: list[Header], message_event: asyncio.Event) -> None:
        self.headers = headers
        self.body = b""
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = message_event


class ExpressProtocol(HttpToolsProtocol):
    """Relies on the names of uvicorn's protocol as pinned; the contract suite runs over both."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nobody_waits = asyncio.Event()
        self._express: _Express | None = None
        self._late: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        # The scope is made only where it is needed.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        if self._is_express():
            self._express = self.cycle = _Express(self.headers, self._nobody_waits)  # type: ignore[assignment]
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers += headers
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        handler = self._handler()
        if self._express is not None and self._late is None and handler is not None:  # not all of its body is here
            self._late = self.loop.call_later(handler.worker.body_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._in_time()

    def on_body(self, body: bytes) -> None:
        if self._express is None:
            super().on_body(body)
        else:
            self._express.body += body

    def on_message_complete(self) -> None:
        express, self._express = self._express, None
        self._in_time()
        if express is None:
            super().on_message_complete()
            return
        handler = self._handler()
        if handler is None:  # can't be: there was one when the headers had come
            self.transport.abort()
            return
        task = self.loop.create_task(self._serve(express, handler))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        """The body has not come in time: no need for a task to say so."""
        handler, express = self._handler(), self._express
        if handler is None or express is None or self.transport.is_closing():
            return
        express.response_complete, express.keep_alive = True, False
        status, headers, body = handler.refuse(too_late(handler.worker.body_seconds), dict(express.headers))
        self.transport.write(self._head(status, headers, express) + body)
        self.transport.close()

    def _is_express(self) -> bool:
        if self.url != _PATH or self.parser.get_method() != b"POST" or self.expect_100_continue:
            return False
        if not (self.cycle is None or self.cycle.response_complete) or self._handler() is None:
            return False
        if self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return False
        if self.parser.should_upgrade() or self.limit_concurrency is not None:
            return False
        return self._announces_a_fitting_body()

    def _announces_a_fitting_body(self) -> bool:
        handler, announced = self._handler(), None
        for name, value in self.headers:
            if name == b"content-length":
                announced = value
            elif name == b"transfer-encoding":
                return False
        return (
            handler is not None
            and announced is not None
            and announced.isdigit()
            and len(announced) < 10
            and (int(announced) <= handler.worker.body_limit)
        )

    def _handler(self) -> NextAction | None:
        found: NextAction | None = getattr(self.app, "next_action", None)
        return found

    async def _serve(self, express: _Express, handler: NextAction) -> None:
        scope: Scope = {"method": "POST", "client": self.client, "headers": express.headers}
        status, headers, body = await handler.respond(scope, express.body)
        if self.flow.write_paused and not express.disconnected:
            await self.flow.drain()
        if express.disconnected or self.transport.is_closing():
            return
        express.response_complete = True
        self.transport.write(self._head(status, headers, express) + body)
        if not express.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _head(self, status: int, headers: list[Header], express: _Express) -> bytes:
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
            if name == b"connection" and value == b"close":
                express.keep_alive = False
        if not express.keep_alive and (b"connection", b"close") not in headers:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)
