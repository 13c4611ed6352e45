"""An adapter that does as it is told, and somebody to send to."""

import asyncio
from collections.abc import Callable

from channels.adapter import Outcome, Sent
from channels.message import Message
from features.deadline import Deadline
from tests.channels.desk import Desk


class Told:
    """An adapter that answers what it is told to, in turn, and then that everything is sent."""

    def __init__(self, *answers: Outcome | Exception | Callable[[], object]) -> None:
        self.answers = list(answers)
        self.sent: list[str] = []
        self.known: set[str] = set()

    async def was_sent(self, message_id: str) -> bool:
        return message_id in self.known

    async def send(self, message: Message, until: Deadline) -> Outcome:
        answer = self.answers.pop(0) if self.answers else Sent()
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            await asyncio.Event().wait()  # for ever
            raise AssertionError
        if isinstance(answer, Sent):
            self.sent.append(message.treatment)
        return answer


async def ready(desk: Desk, *channels: str) -> None:
    await desk.serve()
    await desk.knows()
    for channel in channels:
        await desk.decide(channel, tel="556") if channel == "call" else await desk.decide(channel)
