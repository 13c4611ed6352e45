"""Rounds go on, whatever happens in one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from structlog.testing import capture_logs

from features.errors import NotConnected
from features.rounds import Rounds

pytestmark = pytest.mark.anyio


def doing(outcomes: list[Exception | None], done: asyncio.Event, seen: list[str]) -> Callable[[], Awaitable[None]]:
    """Comes to one outcome after the other; `seen` is the trouble there was before each."""
    coming: Iterator[Exception | None] = iter(outcomes)

    async def once() -> None:
        seen.append(rounds.trouble)
        outcome = next(coming, None)
        if len(seen) > len(outcomes):
            done.set()
        if outcome is not None:
            raise outcome

    rounds = Rounds("counting", once, 0.0)
    return rounds.go


async def test_what_fails_is_logged_at_once_and_the_next_round_comes() -> None:
    done, seen = asyncio.Event(), list[str]()
    outcomes: list[Exception | None] = [None, KeyError("a"), KeyError("a"), NotConnected("away"), None, ValueError("b")]
    with capture_logs() as logged:
        going = asyncio.ensure_future(doing(outcomes, done, seen)())
        await done.wait()
        going.cancel()
    assert seen == ["", "", "KeyError('a')", "KeyError('a')", "KeyError('a')", "", "ValueError('b')"]
    assert [(line["log_level"], line["what"], repr(line["exc_info"])) for line in logged] == [
        ("error", "counting", "KeyError('a')"),
        ("error", "counting", "ValueError('b')"),
    ]
