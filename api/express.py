"""The express way: uvicorn's HTTP protocol with a shorter path for `POST /next-action` and `POST /events`.

For an ordinary request uvicorn builds a scope, a cycle with its event, a task, and checks and joins the headers of the
answer one by one, and headers and body leave in two system calls. A decision takes about as long as that. So the most
common request, a POST to exactly such a path over HTTP/1.1 with a Content-Length within the limit, on a connection with
nothing else in flight, is collected here and answered with one write, in the common case without a task. Every other
request, and everything about connections (keep-alive, pipelining, shutting down), is uvicorn's as before, and what the
answer is comes from the same `Posted` either way.

A client says the same head again and again. One that was parsed, checked and let in is remembered by its bytes for as
long as its connection lasts; when they come again, between two messages and with exactly the announced body behind
them, parsing and checking would come to the same, and are left out.

`tino serve` uses it; under plain `uvicorn service:app` the same requests get the same answers, more slowly.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.asgi import Scope
from api.bodies import too_late
from api.posted import ANSWER_HEADERS, Posted
from api.problems import Problem

MOST_HEADS = 8  # a connection's client has one or two, and a few lengths of body

_CLOSE = b"connection: close\r\n"
Header = tuple[bytes, bytes]


class _Head(NamedTuple):
    """A head that was let in: the length it announces, what it comes to, its headers, who answers."""

    length: int
    admitted: Any
    headers: list[Header]
    handler: Posted[Any]


class _AnswerHead:
    """The head of an answer as far as it is the same for all, until uvicorn makes a new list with a new date."""

    __slots__ = ("joined", "of")

    def __init__(self) -> None:
        self.of: list[Header] | None = None
        self.joined = b""


_answer_head = _AnswerHead()


class _Express:
    """A request on the express way, and where its answer goes; also what uvicorn's protocol asks of a cycle."""

    __slots__ = (
        "body", "disconnected", "handler", "headers", "keep_alive", "message_event", "protocol", "response_complete",
    )  # fmt: skip

    def __init__(
        self, protocol: "ExpressProtocol", handler: Posted[Any], headers: list[Header], message_event: asyncio.Event
    ) -> None:
        self.protocol = protocol
        self.handler = handler
        self.headers = headers
        self.body = b""
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = message_event

    def answered(self, request_id: bytes, body: bytes) -> None:
        self.protocol.answer(self, request_id, body)

    def refused(self, status: int, headers: list[Header], body: bytes) -> None:
        self.protocol.refuse(self, status, headers, body)


class ExpressProtocol(HttpToolsProtocol):
    """Relies on the names of uvicorn's protocol as pinned; the contract suite runs over both."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nobody_waits = asyncio.Event()
        self._answering: Mapping[bytes, Posted[Any]] = {}
        self._express: _Express | None = None
        self._late: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._between = True  # two messages, as far as the parser was told
        self._whole = b""  # what the parser is being told, if it began between two messages
        self._heads: dict[bytes, _Head] = {}

    def data_received(self, data: bytes) -> None:
        if self._between:
            end = data.find(b"\r\n\r\n") + 4
            known = self._heads.get(data[:end])
            if known is not None and len(data) - end == known.length and self._is_idle():
                express = _Express(self, known.handler, known.headers, self._nobody_waits)
                self.cycle = express  # type: ignore[assignment]
                express.body = data[end:]
                self._start(express, known.admitted)
                return
            self._whole = data
        else:
            self._whole = b""
        super().data_received(data)
        if self._express is not None and self._late is None:  # not all of its body is here
            self._late = self.loop.call_later(self._express.handler.worker.body_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._in_time()

    def on_message_begin(self) -> None:
        # The scope is made only where it is needed.
        self._between = False
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        handler = self._handler()
        if handler is not None and self._is_express(handler):
            self._express = _Express(self, handler, self.headers, self._nobody_waits)
            self.cycle = self._express  # type: ignore[assignment]
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._express is None:
            super().on_body(body)
        else:
            self._express.body += body

    def on_message_complete(self) -> None:
        self._between = True
        express, self._express = self._express, None
        self._in_time()
        if express is None:
            super().on_message_complete()
            return
        self._collected(express)

    def _collected(self, express: _Express) -> None:
        try:
            admitted = express.handler.admit(self._scope(express))
        except Problem as problem:
            express.refused(*express.handler.refuse(problem, dict(express.headers)))
            return
        self._remember(express, admitted)
        self._start(express, admitted)

    def _remember(self, express: _Express, admitted: Any) -> None:
        """Keeps the head, if this message and no other came in one piece: then it ends where the first empty line is.

        That the lengths add up is the proof: no other reading of where the head ends leaves just this body behind it.
        """
        data, self._whole = self._whole, b""
        end = data.find(b"\r\n\r\n") + 4
        if data.startswith(b"POST ") and len(data) == end + len(express.body):
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            self._heads[data[:end]] = _Head(len(express.body), admitted, express.headers, express.handler)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        """The body has not come in time: no need for a task to say so."""
        express = self._express
        if express is None or self.transport.is_closing():
            return
        express.keep_alive = False
        handler = express.handler
        self.refuse(express, *handler.refuse(too_late(handler.worker.body_seconds), dict(express.headers)))

    def _is_express(self, handler: Posted[Any]) -> bool:
        if self.parser.get_method() != b"POST" or self.expect_100_continue or not self._is_idle():
            return False
        if self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return False
        if self.parser.should_upgrade() or self.limit_concurrency is not None:
            return False
        return self._announces_a_fitting_body(handler.body_limit)

    def _announces_a_fitting_body(self, limit: int) -> bool:
        announced = None
        for name, value in self.headers:
            if name == b"content-length":
                announced = value
            elif name == b"transfer-encoding":
                return False
        return announced is not None and announced.isdigit() and len(announced) < 10 and int(announced) <= limit

    def on_response_complete(self) -> None:
        """Arms the keep-alive timeout, once for many requests: when it goes off it looks whether it is time."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._is_idle():
            return  # its end will arm the timeout again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_after(left)
        else:
            super().timeout_keep_alive_handler()

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _is_idle(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _handler(self) -> Posted[Any] | None:
        if not self._answering:  # before the start there is none
            self._answering = getattr(self.app, "express", {})
        return self._answering.get(self.url)

    def _start(self, express: _Express, admitted: Any) -> None:
        if self.flow.write_paused or not express.handler.at_once(admitted, express.body, express):
            task = self.loop.create_task(self._serve(express))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _scope(self, express: _Express) -> Scope:
        return {"method": "POST", "client": self.client, "headers": express.headers}

    async def _serve(self, express: _Express) -> None:
        status, headers, body = await express.handler.respond(self._scope(express), express.body)
        if self.flow.write_paused and not express.disconnected:
            await self.flow.drain()
        self.refuse(express, status, headers, body)

    def answer(self, express: _Express, request_id: bytes, body: bytes) -> None:
        """Writes a 200 and ends the request."""
        if express.disconnected or self.transport.is_closing():
            return
        rest = (b"request-id: ", request_id, b"\r\ncontent-length: %d\r\n\r\n" % len(body), body)
        self._end(express, b"".join((self._answer_head(), b"" if express.keep_alive else _CLOSE, *rest)))

    def refuse(self, express: _Express, status: int, headers: list[Header], body: bytes) -> None:
        """Writes any response and ends the request."""
        if express.disconnected or self.transport.is_closing():
            return
        if (b"connection", b"close") in headers:
            express.keep_alive = False
        elif not express.keep_alive:
            headers = [*headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers))
        self._end(express, b"%b%b\r\n%b" % (STATUS_LINE[status], lines, body))

    def _end(self, express: _Express, response: bytes) -> None:
        if express.response_complete:
            return  # a second answer would be taken for that of the next request
        express.response_complete = True
        self.transport.write(response)
        if not express.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _answer_head(self) -> bytes:
        headers = self.server_state.default_headers
        if _answer_head.of is not headers:
            told = (b"%b: %b\r\n" % header for header in (*headers, *ANSWER_HEADERS))
            _answer_head.of, _answer_head.joined = headers, STATUS_LINE[200] + b"".join(told)
        return _answer_head.joined
