"""The file adapter: a line for each message, once, whatever was killed when and however many append to it."""

import asyncio
import fcntl
import json
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from channels import deliverer as delivering
from channels.adapter import Later, Sent
from channels.file import Attempt, File, line_of
from channels.lines import Lines, NotMessagesError
from channels.message import Message
from channels.running import deliver_once
from decision.release import Unsent
from features.deadline import Deadline
from tests.channels.conftest import At
from tests.channels.desk import NOON, PATIENT, no_consent

pytestmark = pytest.mark.anyio


def message(number: int) -> Message:
    return Message(f"{number:032x}", "c-1", 1_760_000_000_000_001, "news/email", "news", "email", "a@b.c", {"t": "ñ\n"})


@contextmanager
def opened(path: Path) -> Iterator[File]:
    file = File(path)
    try:
        yield file
    finally:
        file.close()


def written(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


async def test_a_line_in_full(tmp_path: Path) -> None:
    with opened(tmp_path / "sent") as file:
        assert await file.send(message(1), Deadline(PATIENT)) == Sent()
    assert json.loads((tmp_path / "sent").read_bytes()) == {
        "id": "0" * 31 + "1/news/email",
        "decision_id": "0" * 31 + "1",
        "customer_id": "c-1",
        "action": "news",
        "treatment": "news/email",
        "channel": "email",
        "purpose": None,
        "address": "a@b.c",
        "content": {"t": "ñ\n"},
        "decided_at": "2025-10-09T08:53:20.000001Z",
        "not_before": None,
        "valid_until": None,
        "catalog": "",
    }


class Watched(File):
    """Says when it begins to write, and when a thread that was to write is over; waits before it writes."""

    def __init__(self, path: Path) -> None:
        self.begun, self.may_write, self.over = threading.Event(), threading.Event(), threading.Event()
        self.may_write.set()
        super().__init__(path)
        self._lines.append = self._watched(self._lines.append)  # type: ignore[method-assign,assignment]

    def _append(self, message: Message, attempt: Attempt) -> bool:
        try:
            return super()._append(message, attempt)
        finally:
            self.over.set()

    def _watched(self, append: Callable[[str, bytes], None]) -> Callable[[str, bytes], None]:
        def watched(line_id: str, line: bytes) -> None:
            self.begun.set()
            assert self.may_write.wait(PATIENT)
            append(line_id, line)

        return watched


@contextmanager
def watched(path: Path) -> Iterator[Watched]:
    file = Watched(path)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """By somebody else."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


async def test_what_was_given_up_while_it_waited_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    with watched(path) as file:
        with locked(path):
            sending = asyncio.create_task(file.send(message(1), Deadline(PATIENT)))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert await asyncio.to_thread(file.over.wait, PATIENT)
        assert (path.read_bytes(), await file.was_sent(message(1).id)) == (b"", False)
        assert await file.send(message(1), Deadline(PATIENT)) == Sent()
    assert written(path) == [message(1).id]


async def test_what_is_being_written_is_sent_though_nobody_waits_any_more(tmp_path: Path) -> None:
    with watched(tmp_path / "sent") as file:
        file.may_write.clear()
        sending = asyncio.create_task(file.send(message(1), Deadline(PATIENT)))
        assert await asyncio.to_thread(file.begun.wait, PATIENT)
        sending.cancel()
        await asyncio.sleep(0)
        file.may_write.set()
        assert await sending == Sent()
    assert written(tmp_path / "sent") == [message(1).id]


async def test_nothing_is_written_after_a_no_to_whoever_waited(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is somebody else's for longer than the deliverer waits, and then the customer refuses."""
    async with at(NOON) as desk:
        await desk.serve()
        await desk.knows()
        await desk.decide("push")
        lock = ExitStack()

        def step(name: str) -> None:
            if name == "looked at":
                lock.enter_context(locked(desk.file))
                monkeypatch.setattr(delivering, "SEND_SECONDS", 0.05)

        with watched(desk.file) as file:
            deliverer = desk.deliverer(file, step)
            await deliver_once(deliverer)
            assert deliverer.tally.later == 1
            await desk.change(no_consent)
            lock.close()
            assert await asyncio.to_thread(file.over.wait, PATIENT)
            monkeypatch.setattr(delivering, "SEND_SECONDS", PATIENT)
            await desk.lease_runs_out()
            await deliver_once(deliverer)
        assert (dict(deliverer.tally.unsent), desk.written()) == ({Unsent.NO_CONSENT: 1}, [])


async def test_who_stood_still_while_it_waited_writes_nothing(tmp_path: Path) -> None:
    """Its thread gets the lock before anybody is told that its time is up."""
    now = 0.0
    path = tmp_path / "sent"
    with opened(path) as file:
        with locked(path):
            sending = asyncio.create_task(file.send(message(1), Deadline(10.0, lambda: now)))
            await asyncio.sleep(0)
            now = 10.0
        assert await sending == Later("the file was somebody else's for too long")
        assert (path.read_bytes(), await file.was_sent(message(1).id)) == (b"", False)


async def test_what_is_there_is_sent_however_late_one_comes_to_see_it(tmp_path: Path) -> None:
    with opened(tmp_path / "sent") as one, opened(tmp_path / "sent") as other:
        await one.send(message(1), Deadline(PATIENT))
        assert await other.send(message(1), Deadline(0.0)) == Sent()


async def test_nothing_is_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    with opened(path) as file:
        assert not await file.was_sent(message(1).id)
        for number in (1, 2, 1):
            await file.send(message(number), Deadline(PATIENT))
        assert await file.was_sent(message(1).id)
    with opened(path) as file:
        assert await file.was_sent(message(2).id)
        for number in (2, 3):
            await file.send(message(number), Deadline(PATIENT))
    assert written(path) == [message(number).id for number in (1, 2, 3)]


async def test_what_another_has_appended_since_is_known(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    with opened(path) as one, opened(path) as other:
        await one.send(message(1), Deadline(PATIENT))
        assert await other.was_sent(message(1).id)
        await other.send(message(1), Deadline(PATIENT))
        await asyncio.gather(
            *(file.send(message(number), Deadline(PATIENT)) for number in range(2, 40) for file in (one, other))
        )
    assert sorted(written(path)) == sorted(message(number).id for number in range(1, 40))


@pytest.mark.parametrize("length", [1, 7, 40, len(line_of(message(2))) - 1])
async def test_a_line_without_an_end_is_cut_off(tmp_path: Path, length: int) -> None:
    """Whoever wrote it was killed, and has told nobody that it was sent."""
    path = tmp_path / "sent"
    path.write_bytes(line_of(message(1)) + line_of(message(2))[:length])
    with opened(path) as file:
        assert path.read_bytes() == line_of(message(1))
        assert not await file.was_sent(message(2).id)
        await file.send(message(2), Deadline(PATIENT))
    assert path.read_bytes() == line_of(message(1)) + line_of(message(2))


async def test_one_that_appears_later_is_cut_off_too(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    with opened(path) as file:
        await file.send(message(1), Deadline(PATIENT))
        path.write_bytes(path.read_bytes() + line_of(message(2))[:20])
        await file.send(message(3), Deadline(PATIENT))
    assert written(path) == [message(1).id, message(3).id]


@pytest.mark.parametrize("text", ["dear diary", "dear diary\n", '{"id": 3}\n', '{"name": "x"}\n', '{"id":"a"}\n{"x"'])
async def test_what_holds_anything_else_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "diary"
    path.write_text(text)
    with pytest.raises(NotMessagesError, match="name another file"):
        File(path)
    assert path.read_text() == text


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files may be that long."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_what_could_not_be_written_is_not_sent(tmp_path: Path) -> None:
    """No room for all of a line: what was written of it is taken back, and the next message doesn't run into it."""
    with opened(tmp_path / "sent") as file:
        await file.send(message(1), Deadline(PATIENT))
        with room_for(len(line_of(message(1))) + 10), pytest.raises(OSError, match="only 10 of"):
            await file.send(message(2), Deadline(PATIENT))
        assert (tmp_path / "sent").read_bytes() == line_of(message(1))
        assert not await file.was_sent(message(2).id)
        await file.send(message(3), Deadline(PATIENT))
    assert written(tmp_path / "sent") == [message(1).id, message(3).id]


async def test_renamed_it_goes_on_in_a_new_one(tmp_path: Path) -> None:
    path, rotated = tmp_path / "sent", tmp_path / "sent.1"
    with opened(path) as one, opened(path) as other:
        await one.send(message(1), Deadline(PATIENT))
        await other.send(message(2), Deadline(PATIENT))
        path.rename(rotated)
        assert await one.was_sent(message(2).id)  # who had not yet read so far
        for file, number in ((one, 3), (other, 4), (other, 3), (one, 4), (one, 1), (other, 1)):
            await file.send(message(number), Deadline(PATIENT))
        assert (written(rotated), written(path)) == (
            [message(1).id, message(2).id],
            [message(3).id, message(4).id],
        )


async def test_renamed_and_made_anew_it_goes_on_there(tmp_path: Path) -> None:
    """Whoever had it open as it was appends to the same file as whoever opened it since."""
    path = tmp_path / "sent"
    with opened(path) as one:
        await one.send(message(1), Deadline(PATIENT))
        path.rename(tmp_path / "sent.1")
        with opened(path) as other:
            await other.send(message(2), Deadline(PATIENT))
            await one.send(message(2), Deadline(PATIENT))
            await one.send(message(3), Deadline(PATIENT))
            assert await other.was_sent(message(3).id)
    assert written(path) == [message(2).id, message(3).id]


@pytest.mark.parametrize("since", [0, 1, 5])
async def test_truncated_it_is_read_anew(tmp_path: Path, since: int) -> None:
    """And has had more lines than before since then, or fewer."""
    path = tmp_path / "sent"
    with opened(path) as one, opened(path) as other:
        for number in range(3):
            await one.send(message(number), Deadline(PATIENT))
        os.truncate(path, 0)
        later = range(10, 10 + since)
        for number in later:
            await other.send(message(number), Deadline(PATIENT))
        for number in (*later, 1, 20):
            await one.send(message(number), Deadline(PATIENT))
        assert await other.was_sent(message(20).id)
    assert written(path) == [message(number).id for number in (*later, 20)]


async def test_truncated_it_gets_no_holes(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    lines = Lines(path)
    try:
        with lines.held():
            for number in range(3):
                lines.append(message(number).id, line_of(message(number)))
        with lines.held():
            os.truncate(path, 0)  # by somebody who asks for no lock
            with room_for(10), pytest.raises(OSError, match="only 10 of"):
                lines.append(message(3).id, line_of(message(3)))
            assert path.read_bytes() == line_of(message(3))[:10]
        with lines.held():
            assert path.read_bytes() == b""
    finally:
        lines.close()
