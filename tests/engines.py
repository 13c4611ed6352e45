"""Both ways into the engine, with one face."""

import asyncio

from decision.deciding import Answer
from decision.engine import Engine
from decision.request import NextActionRequest


class ByTask(Engine):
    """Every decision by the coroutine."""


class AtOnce(Engine):
    """Every decision without a task where that is possible, as `/next-action` has it; `taken` counts those."""

    taken = 0

    async def next_action(self, request: NextActionRequest, caller: str, seconds: float) -> Answer:
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def answered(answer: Answer | Exception) -> None:
            assert not told.done(), "answered twice"
            if isinstance(answer, Exception):
                told.set_exception(answer)
            else:
                told.set_result(answer)

        if not self.at_once(request, caller, seconds, answered):
            return await super().next_action(request, caller, seconds)
        self.taken += 1
        return await told
