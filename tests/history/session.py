"""One client: it does one thing at a time, tries again under the same id where no answer came, and writes its history.

What a try came to is told apart strictly. An answer that isn't degraded says that it was done; one in doubt that names
no decision, that it was not. Everything else, a cut connection, a timeout, a provisional answer or a 503, leaves open
whether it was done, or will be yet. What wasn't done is tried again like what is open, but counted apart.
"""

import http.client
import itertools
import json
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.history.operations import Completed, History, Invoked, Kind, Outcome, now

TRIES = 6
PATIENCE = 4.0
ERASING = 60.0
DEADLINE_MS = 300
_UNANSWERED = (OSError, http.client.HTTPException)


class Refused(Exception):  # noqa: N818 - as a caller sees it
    """An answer that no request of these clients may get."""


class Shown(NamedTuple):
    """A contact that a client was told of."""

    customer: str
    decision: str
    action: str


def shown(customer: str, answer: Completed) -> list[Shown]:
    """The contacts in an answer that was acknowledged."""
    told = json.loads(answer.told)
    return [Shown(customer, told["decision_id"], pick["action"]) for pick in told["actions"]]


class Session:
    """`ports` are the workers'. With `chance`, some connections are cut as soon as the request has been sent. What is
    not answered in `tries` is given up. Its clock is `off` by so many seconds.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        ports: Sequence[int],
        chance: random.Random | None = None,
        tries: int = TRIES,
        off: float = 0.0,
    ) -> None:
        self.name = name
        self.off = off
        self._patience = PATIENCE
        self._cuts, self._denied, self._sent = 0, 0, 0
        self._history = History(folder / f"{name}.jsonl")
        self._ports = ports
        self._chance = chance
        self._tries = tries
        self._numbers = itertools.count()
        self._connections: dict[int, http.client.HTTPConnection] = {}

    def decide(
        self,
        customer: str,
        key: str,
        channels: Sequence[str],
        limit: int = 1,
        worker: int = 0,
        deadline_ms: int = DEADLINE_MS,
        tries: int | None = None,
    ) -> Completed:
        body = {
            "customer_id": customer,
            "channels": list(channels),
            "limit": limit,
            "request_id": key,
            "deadline_ms": deadline_ms,
        }
        return self._do(Kind.DECIDE, customer, key, ("POST", "/next-action", body), worker, tries=tries)

    def consent(self, customer: str, granted: bool, worker: int = 0, dated: bool = True) -> Completed:
        """The statement says when it was made, as any that may be sent again has to: so an older one undoes nothing. If
        it isn't `dated` it follows what was stated before, however shortly.
        """
        key = self._fresh("s")
        body: dict[str, Any] = {"granted": granted, "source": key}
        if dated:
            body["at"] = (datetime.now(UTC) + timedelta(seconds=self.off)).isoformat()
        path = f"/customers/{quote(customer)}/consents/marketing"
        return self._do(Kind.CONSENT, customer, key, ("PUT", path, body), worker, granted)

    def attribute(self, customer: str, worker: int = 0) -> Completed:
        key = self._fresh("a")
        body = {"attributes": {"email": "c@example.com", "tier": key}}
        return self._do(Kind.ATTRIBUTE, customer, key, ("PATCH", f"/customers/{quote(customer)}", body), worker)

    def respond(self, contact: Shown, kind: str, worker: int = 0, ago: float = 0.0) -> Completed:
        """What came of a contact, so many seconds ago. Told again, it is another event."""
        key = self._fresh("i")
        body: dict[str, Any] = {"id": key, "customer_id": contact.customer, "type": kind}
        body |= {"decision_id": contact.decision, "properties": {"action": contact.action}}
        if ago:
            body["at"] = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
        return self._do(Kind.EVENT, contact.customer, key, ("POST", "/events", body), worker)

    def event(self, customer: str, key: str, worker: int = 0, tries: int | None = None) -> Completed:
        body = {"id": key, "customer_id": customer, "type": "visit"}
        return self._do(Kind.EVENT, customer, key, ("POST", "/events", body), worker, tries=tries)

    def merge(self, customer: str, into: str, worker: int = 0) -> Completed:
        path = f"/customers/{quote(customer)}/merge"
        return self._do(Kind.MERGE, customer, into, ("POST", path, {"into": into}), worker)

    def erase(self, customer: str, worker: int = 0) -> Completed:
        """Takes a process of its own: to ask again while that begins would only make more of them."""
        self._drop(self._ports[worker])
        self._patience = ERASING
        done = self._do(Kind.ERASE, customer, "", ("DELETE", f"/customers/{quote(customer)}", {}), worker)
        self._patience = PATIENCE
        return done

    def close(self) -> None:
        for port in list(self._connections):
            self._drop(port)
        self._history.close()

    def _fresh(self, letter: str) -> str:
        return f"{letter}-{self.name}-{next(self._numbers)}"

    def _do(
        self,
        kind: Kind,
        customer: str,
        key: str,
        request: tuple[str, str, Any],
        worker: int,
        granted: bool = False,
        tries: int | None = None,
    ) -> Completed:
        op = self._fresh("o")
        self._history.write(Invoked(op, kind, customer, key, now(), granted))
        self._cuts, self._denied = 0, 0
        outcome, told, unanswered = self._tried(kind, request, worker, tries or self._tries)
        done = Completed(op, outcome, self._sent, now(), told, unanswered, self._cuts, self._denied)
        self._history.write(done)
        return done

    def _tried(self, kind: Kind, request: tuple[str, str, Any], worker: int, tries: int) -> tuple[Outcome, str, int]:
        for number in range(tries):
            if number:
                time.sleep(
                    min(0.02 * number, 0.1)
                )  # as clients do, so that an outage isn't met by a thousand failures a second
            try:
                told = self._answered(kind, request, self._ports[(worker + number) % len(self._ports)])
            except Refused as refused:
                return Outcome.FAIL, str(refused), number
            if told is not None:
                return Outcome.OK, told, number
        return Outcome.INFO, "", tries

    def _answered(self, kind: Kind, request: tuple[str, str, Any], port: int) -> str | None:
        """What was answered, None where it wasn't done or nobody knows whether it was. Raises Refused."""
        try:
            status, told = self._send(request, port)
        except _UNANSWERED:
            self._drop(port)
            return None
        if status >= 500:
            return None
        if kind is Kind.ERASE and status == 404:
            return told  # by a try before
        if status != 200:
            raise Refused(f"{status}: {told}")
        return self._decided(told) if kind is Kind.DECIDE else told

    def _decided(self, told: str) -> str | None:
        answer = json.loads(told)
        if not answer["degraded"]:
            return told
        if answer["actions"]:
            raise Refused(f"contacted in doubt: {told}")
        if (answer["decision_id"] is None) == ("provisional" in answer["degraded"]):
            raise Refused(f"provisional is what names a decision: {told}")
        self._denied += answer["decision_id"] is None
        return None

    def _send(self, request: tuple[str, str, Any], port: int) -> tuple[int, str]:
        method, path, body = request
        self._sent = now()
        connection = self._connections.get(port)
        if connection is None:
            connection = self._connections[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=self._patience)
        connection.request(method, path, json.dumps(body), {"content-type": "application/json"})
        if self._chance is not None and self._chance.random() < 0.02:
            self._cuts += 1
            raise ConnectionAbortedError("cut by ourselves")
        response = connection.getresponse()
        return response.status, response.read().decode()

    def _drop(self, port: int) -> None:
        connection = self._connections.pop(port, None)
        if connection is not None:
            connection.close()
