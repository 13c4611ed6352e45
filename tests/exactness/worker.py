"""One worker process: its own event loop, store, cache and engine. Obeys the commands of `messages`, one by one."""

import asyncio
import itertools
import os
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from decision.engine import Engine
from decision.request import NextActionRequest, RequestError
from features.applying import Sent
from features.budgets import Budgets
from features.consents import with_consent
from features.customer import Consent, Customer, with_attributes
from features.deadline import Deadline
from features.ledger import Ledger
from features.opening import open_store
from features.store import CustomerStore
from tests.engines import AtOnce
from tests.exactness.catalogs import plan_of
from tests.exactness.messages import PATIENCE, Change, Command, Done, Hammer, Open, Refused, Report, Stored, Take, Told
from tests.exactness.mortal import Death, MortalBudgets


class Inherited(Protocol):
    """A file descriptor on its way to another process."""

    def detach(self) -> int: ...


def obey(commands: Inherited, reports: Inherited) -> None:
    """Of two pipes, the ends that are the worker's."""
    os.dup2(reports.detach(), 1)
    with os.fdopen(commands.detach(), "rb") as lines:
        asyncio.run(_obey(lines))


async def _obey(lines: IO[bytes]) -> None:
    loop = asyncio.get_running_loop()
    engine: Engine | None = None
    while line := await loop.run_in_executor(None, lines.readline):
        command = msgspec.json.decode(line, type=Command)
        if isinstance(command, Open):
            engine = await _reopen(engine, command)
        elif engine is None:
            raise RuntimeError("the first command must be to open a store")
        elif isinstance(command, Hammer):
            await _hammer(engine, command)
        elif isinstance(command, Take):
            await _take(engine, command)
        else:
            await _change(engine.store, command)
        _report(Done())
    if engine is not None:
        await engine.store.ledger.link.close()


async def _reopen(engine: Engine | None, command: Open) -> Engine:
    if engine is not None:
        await engine.store.ledger.link.close()
    store = await open_store(command.url)
    if command.script is not None:
        store.ledger = Ledger(store.ledger.link, store.ledger.layout, script=command.script.encode())
    if command.budgets_script is not None:
        store.budgets = Budgets(store.ledger.link, store.ledger.layout, command.budgets_script.encode())
    if command.dies_after is not None:
        store.budgets = mortal = MortalBudgets(store.ledger.link, store.ledger.layout)
        mortal.death = Death(*command.dies_after)
    return AtOnce(store, plan_of(Path(command.catalog)))


async def _hammer(engine: Engine, command: Hammer) -> None:
    requests = [msgspec.convert(request, NextActionRequest) for request in command.requests]
    turns = itertools.islice(itertools.cycle(requests), command.times)

    async def one_after_another() -> None:
        for request in turns:
            try:
                answer = await engine.next_action(request, command.caller, command.seconds)
            except RequestError as error:
                _report(Refused(error.code))
                continue
            degraded = [why.value for why in answer.degraded]
            body = answer.body.decode()
            _report(Told(body, answer.status, answer.reason, degraded, answer.lost, answer.repeated))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(command.tasks):
            tasks.create_task(one_after_another())


async def _change(store: CustomerStore, command: Change) -> None:
    deadline = Deadline(PATIENCE, asyncio.get_running_loop().time)
    await store.update(command.customer_id, partial(changed, command), deadline)


async def _take(engine: Engine, command: Take) -> None:
    events = [msgspec.convert(event, Sent) for event in command.events]
    batches = iter([events[first : first + command.size] for first in range(0, len(events), command.size)])

    async def one_after_another() -> None:
        for batch in batches:
            results = [result.status for result in await engine.intake.take(batch, PATIENCE)]
            new, known = results.count("stored"), results.count("duplicate")
            if new + known < len(batch):
                raise RuntimeError(f"refused: {results}")
            _report(Stored([event.id for event in batch], new, known))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(command.tasks):
            tasks.create_task(one_after_another())


def changed(command: Change, customer: Customer, _now: int) -> Customer:
    customer = with_attributes(customer, command.attributes)
    for purpose, granted in command.consents.items():
        customer = with_consent(customer, purpose, Consent(granted, command.at * 1_000_000))
    return customer


def _report(report: Report) -> None:
    # One write a line, past any buffer: what has been reported is with the client even if this process is killed now.
    line: Any = msgspec.json.encode(report) + b"\n"
    while line:
        line = line[os.write(1, line) :]
