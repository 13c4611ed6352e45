"""A real server in a thread, on a port the system chose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service import Service, create_app
from settings import Settings

Send = Callable[..., httpx.Response]
CATALOG = Path(__file__).with_name("catalog.yaml")
EVENTS_CATALOG = Path(__file__).with_name("events.yaml")
PATIENCE = 60.0


def settings(**given: Any) -> Settings:
    """The defaults, whatever the environment says, but for what is given."""
    chosen = {name: field.default for name, field in Settings.model_fields.items()}
    # Tests share their machine: what isn't about deadlines has time.
    chosen |= {"catalog": CATALOG, "deadline_ms": 20_000} | given
    return Settings(**chosen)


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        # From here on clients can connect; they wait in the queue until the service has started.
        sock.listen(256)
        yield sock


@contextmanager
def serving(chosen: Settings, http: str = "httptools", timeout_keep_alive: int = 60) -> Iterator[Server]:
    """`http` is the protocol that uvicorn speaks: its own, or the one `tino serve` gives it."""
    service = create_app(chosen)
    config = uvicorn.Config(
        service,
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=timeout_keep_alive,
        http=http,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    with listening() as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=PATIENCE) as client:
                yield Server(client, service, server)
        finally:
            server.should_exit = True
            thread.join()


class Server:
    """`client` speaks to it over a real socket."""

    def __init__(self, client: httpx.Client, service: Service, below: uvicorn.Server) -> None:
        self.client = client
        self.service = service
        self.port = client.base_url.port or 0
        self._below = below

    def begin_to_end(self) -> None:
        """What a SIGTERM does."""
        self._below.should_exit = True

    def ask(self, **body: Any) -> dict[str, Any]:
        """A decision."""
        response = self.client.post("/next-action", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


def offered(server: Server, customer_id: str) -> str:
    """The title of what is decided for them."""
    return str(server.ask(customer_id=customer_id)["actions"][0]["content"]["title"])


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in a response, which must be this one and told as all are."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    told: dict[str, Any] = response.json()
    assert (told["code"], told["status"], told["type"]) == (code, status, f"urn:tino:problem:{code}"), told
    assert told["request_id"] == response.headers["request-id"]
    assert response.headers["cache-control"] == "no-store"
    return told
