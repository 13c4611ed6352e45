"""A client process: some clients, each doing what its seed says, until stdin ends. A line goes out for each thing done.

Customers belong to a client: it alone states their consent and their attributes, one after the other, so that it is
known which statement was the last. Anybody decides for them and sends their events.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path

import msgspec

from tests.history.limits import CHANNELS, TOLD
from tests.history.log import OWN
from tests.history.operations import Outcome
from tests.history.session import Session, Shown, shown

BY_A_COOKIE = 4  # requests, the last of which merges
SHARED = 40  # request ids that everybody takes from at a time: several ask for the same at once
CALLER_OFF = 0.25  # seconds, of a client's clock, one way or the other
AFTER_A_NO = 2.1  # seconds; a yes that follows sooner, by clocks that are as far off as they may be, might be the older


class Workload(msgspec.Struct):
    """What a client process is told: `threads` clients of `name`; `mine` are the customers of each."""

    name: str
    seed: str
    folder: str
    ports: list[int]
    customers: list[str]
    mine: list[list[str]]


class Client:
    def __init__(self, workload: Workload, number: int) -> None:
        self._load = workload
        self._chance = random.Random(f"{workload.seed} {workload.name} {number}")
        name = f"{workload.name}-{number}"
        off = self._chance.uniform(-CALLER_OFF, CALLER_OFF)
        self._session = Session(name, Path(workload.folder), workload.ports, self._chance, off=off)
        self._mine = workload.mine[number]
        self._granted = dict.fromkeys(self._mine, False)
        self._stated = dict.fromkeys(self._mine, 0.0)
        self._events: list[tuple[str, str]] = []
        self._shown: list[Shown] = []
        self._cookies: list[str] = []
        self._left = 0  # to be done by the last of them
        self._done = 0

    def run(self, stop: threading.Event) -> None:
        for customer in self._mine:
            self._session.attribute(customer)
            self._state(customer)
        while not stop.is_set():
            self._something()
            self._done += 1
            os.write(1, b"\n")
        self._session.close()

    def _something(self) -> None:
        chance, worker = self._chance.random(), self._chance.randrange(len(self._load.ports))
        if chance < 0.1 and self._mine:
            self._state(self._chance.choice(self._mine))
        elif chance < 0.16 and self._mine:
            self._session.attribute(self._chance.choice(self._mine), worker)
        elif chance < 0.26:
            self._send(worker)
        elif chance < 0.38 and self._shown:
            self._respond(worker)
        elif chance < 0.46 and self._mine:
            self._by_cookie(self._chance.choice(self._mine), worker)
        else:
            self._ask(worker)

    def _state(self, customer: str) -> None:
        if not self._granted[customer] and time.monotonic() - self._stated[customer] < AFTER_A_NO:
            self._session.attribute(customer)
            return
        # More yes than no: where everything is refused, nothing can be counted wrongly.
        granted = not self._granted[customer] or self._chance.random() < 0.5
        self._granted[customer] = granted
        self._session.consent(customer, granted, self._chance.randrange(len(self._load.ports)))
        self._stated[customer] = time.monotonic()

    def _send(self, worker: int) -> None:
        if self._events and self._chance.random() < 0.4:
            customer, key = self._chance.choice(self._events[-20:])
        else:
            customer = self._chance.choice(self._load.customers)
            key = f"e-{self._load.name}-{self._chance.getrandbits(64):x}"
            self._events.append((customer, key))
        self._session.event(customer, key, worker)

    def _respond(self, worker: int) -> None:
        """Of what was granted last, or of anything; now, or of a moment ago, which others have decided since."""
        contact = self._chance.choice(self._shown[self._chance.choice([-5, 0]) :])
        ago = self._chance.choice([0.0, 0.0, self._chance.uniform(0, 2)])
        self._session.respond(contact, self._chance.choice(TOLD.get(contact.action, ("failed",))), worker, ago)

    def _by_cookie(self, customer: str, worker: int) -> None:
        """They are asked for by another id for a while, which is merged into theirs then, and stands for them on."""
        if not self._left:
            if self._granted[customer]:
                self._cookies.append(f"{customer}{OWN}{len(self._cookies)}")
                self._session.attribute(self._cookies[-1], worker)
                self._session.consent(self._cookies[-1], True, worker)
                self._left = BY_A_COOKIE
            return
        self._left -= 1
        if not self._left:
            self._session.merge(self._cookies[-1], customer, worker)
            return
        cookie = self._chance.choice([self._cookies[-1], self._chance.choice(self._cookies)])
        channels = self._chance.sample(CHANNELS, 3)
        done = self._session.decide(cookie, f"k-{cookie}-{self._done}", channels, 2, worker)
        if done.outcome is Outcome.OK:
            self._shown += (each for each in shown(cookie, done) if each.action in TOLD)

    def _ask(self, worker: int) -> None:
        """What is asked follows from the request id, as two bodies for one id would be refused."""
        block = self._done // SHARED
        key = f"r-{block}-{self._chance.randrange(SHARED * 4)}"
        body = random.Random(f"{self._load.seed} {key}")
        channels = body.sample(CHANNELS, body.randint(1, len(CHANNELS)))
        # Most requests are for the first, whose high limits are to be reached too.
        first = self._load.customers[0]
        customer = body.choice([first, first, body.choice(self._load.customers)])
        done = self._session.decide(customer, key, channels, body.randint(1, 3), worker)
        if done.outcome is Outcome.OK:
            # Most of what is told is of those whose count depends on it.
            self._shown += (
                each for each in shown(customer, done) if each.action in TOLD or self._chance.random() < 0.1
            )


def main() -> None:
    workload = msgspec.json.decode(sys.stdin.readline(), type=Workload)
    stop = threading.Event()
    clients = [Client(workload, number) for number in range(len(workload.mine))]
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
