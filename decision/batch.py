"""Deciding for many customers through the same engine that serves requests; the summary of what came out."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from decision.engine import Engine
from decision.request import NextActionRequest

IN_FLIGHT = 64


@dataclass(slots=True)
class Summary:
    """`chosen` counts (action, channel); `seconds` is the wall-clock time of deciding alone."""

    customers: int = 0
    seconds: float = 0.0
    chosen: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return self.customers / self.seconds if self.seconds else 0.0


class _Action(msgspec.Struct):
    action: str
    channel: str


class _Answer(msgspec.Struct):
    actions: list[_Action]


async def decide_all(
    engine: Engine,
    customers: AsyncIterator[str],
    template: NextActionRequest,
    seconds: float,
    done: Callable[[int], None],
) -> Summary:
    """Decides `template` for each customer, up to 64 at a time, `seconds` for each; `done` is told of progress.

    Raises what the first that fails does; by then no other is under way any more.
    """
    summary = Summary()
    started = time.perf_counter()
    running: set[asyncio.Task[None]] = set()

    async def one(customer_id: str) -> None:
        request = msgspec.structs.replace(template, customer_id=customer_id)
        answer = await engine.next_action(request, "batch", seconds)
        summary.customers += 1
        summary.reasons[answer.status.value, answer.reason.value] += 1
        summary.degraded.update(why.value for why in answer.degraded)
        for action in msgspec.json.decode(answer.body, type=_Answer).actions:
            summary.chosen[action.action, action.channel] += 1
        done(1)

    try:
        async for customer_id in customers:
            if len(running) >= IN_FLIGHT:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            finished = {task for task in running if task.done()}
            for task in finished:
                task.result()
            running -= finished
            running.add(asyncio.create_task(one(customer_id)))
        await asyncio.gather(*running)
    finally:  # where one has failed, nobody is decided for behind the back of who hears of it
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    summary.seconds = time.perf_counter() - started
    return summary
