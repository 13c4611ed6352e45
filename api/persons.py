"""All that is recorded of a person, erased or told by a process beside the worker. See archive.person."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog

from api.problems import Problem, internal, unavailable
from archive.person import BUSY, STORE_AWAY, Task

ERASED_WITHIN = 600.0
CHUNK = 65_536
TOLD = 2000  # bytes of what it complained of that are logged

_log = structlog.get_logger("tino.persons")


async def done(task: Task) -> bytes:
    """What the process says in the end. Raises Problem."""
    async with _process(task) as process:
        try:
            async with asyncio.timeout(ERASED_WITHIN):
                said = await process.stdout.read()
        except TimeoutError:
            raise unavailable("it took too long: ask again, and it goes on from there") from None
        await process.ended_well()
        return said


async def told(task: Task) -> AsyncIterator[bytes]:
    """What the process says, as it comes. Raises Problem where it fails before it has said anything."""
    chunks = _chunks(task)
    first = await anext(chunks)

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()


async def _chunks(task: Task) -> AsyncIterator[bytes]:
    async with _process(task) as process:
        while chunk := await process.stdout.read(CHUNK):
            yield chunk
        await process.ended_well()


@dataclass(frozen=True, slots=True)
class _Process:
    """`complaint` reads stderr all the while: a process that nobody listens to there stands still when it is full."""

    process: asyncio.subprocess.Process
    stdout: asyncio.StreamReader
    complaint: asyncio.Task[bytes]

    async def ended_well(self) -> None:
        """Raises Problem."""
        complaint = await self.complaint
        status = await self.process.wait()
        if status == STORE_AWAY:
            raise unavailable("try again")
        if status == BUSY:
            raise Problem("archive_busy", "records are being archived: ask again, and the rest is erased")
        if status:
            _log.error("the process for a person failed", error=complaint.decode(errors="replace"))
            raise internal()


@asynccontextmanager
async def _process(task: Task) -> AsyncIterator[_Process]:
    # -P: a folder named like one of ours, where the service happens to be started, must not be taken for it.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "archive.person",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise RuntimeError("the process has no pipes")
    complaint = asyncio.create_task(_end_of(stderr))
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(msgspec.json.encode(task, enc_hook=str))
            await stdin.drain()
        stdin.close()
        yield _Process(process, stdout, complaint)
    finally:
        complaint.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _end_of(stderr: asyncio.StreamReader) -> bytes:
    """The last of it; the rest is read and forgotten."""
    told = b""
    while chunk := await stderr.read(CHUNK):
        told = (told + chunk)[-TOLD:]
    return told
