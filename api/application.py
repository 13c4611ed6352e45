"""All paths together: `/next-action` and `/events` by themselves, everything else through FastAPI."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match, Route

from api import customers, decisions, events, forgetting, health, merging, next_action
from api.asgi import Receive, Scope, Send
from api.events import Events
from api.front import REQUEST_ID, Front
from api.next_action import NextAction
from api.openapi import describe
from api.posted import Posted
from api.problems import Problem, internal, unavailable
from api.worker import Worker
from features.errors import StoreError

TITLE = "Tino"
VERSION = "0.1.0"
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}

_log = structlog.get_logger("tino.api")


class Api:
    """The ASGI application of one worker, but for its start and end."""

    def __init__(self, worker: Worker) -> None:
        bare: dict[str, Posted[Any]] = {next_action.PATH: NextAction(worker), events.PATH: Events(worker)}
        self.express = {path.encode(): each for path, each in bare.items()}
        self._bare = bare
        self._front = Front(worker, fastapi_of(worker))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._bare.get(scope["path"], self._front)(scope, receive, send)


def fastapi_of(worker: Worker) -> FastAPI:
    rooms = (customers, merging, forgetting, decisions, health)
    routers = [room.routes(worker) for room in rooms]
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in routers:
        app.include_router(router)

    def told(request: Request, problem: Problem) -> Response:
        worker.metrics.refused(problem.code)
        headers = {name.decode(): value.decode("latin-1") for name, value in problem.all_headers()}
        return Response(problem.body(request.scope[REQUEST_ID]), problem.status, headers)

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return told(request, problem)

    @app.exception_handler(StoreError)
    async def _store(request: Request, error: StoreError) -> Response:
        _log.warning("the store failed", error=str(error), kind=type(error).__name__)
        return told(request, unavailable("try again: nothing was acknowledged"))

    @app.exception_handler(ClientDisconnect)
    async def _left(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            allowed = ", ".join(sorted(_methods(chain(app.routes, *(router.routes for router in routers)), request)))
            return told(
                request, Problem("method_not_allowed", f"use {allowed}", headers=[(b"allow", allowed.encode())])
            )
        return told(request, Problem(_BY_STATUS.get(error.status_code, "invalid_request"), str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def _parameters(request: Request, error: RequestValidationError) -> Response:
        found: dict[str, Any] = error.errors()[0]
        name = str(found["loc"][-1])
        return told(request, Problem("invalid_parameter", f"{name}: {found['msg']}", parameter=name))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        return told(request, internal())

    describe(app)
    return app


def _methods(routes: Iterable[BaseRoute], request: Request) -> set[str]:
    """What the path takes: each of its routes only knows its own."""
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found
