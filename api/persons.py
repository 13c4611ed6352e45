"""All that is recorded of a person, erased or told by a process beside the worker. See archive.person."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog

from api.problems import Problem, internal, unavailable
from archive.person import BUSY, STORE_AWAY, Task

ERASED_WITHIN = 600.0
CHUNK = 65_536

_log = structlog.get_logger("tino.persons")


async def done(task: Task) -> bytes:
    """What the process says in the end. Raises Problem."""
    async with _process(task) as process:
        try:
            async with asyncio.timeout(ERASED_WITHIN):
                said = await _stdout(process).read()
        except TimeoutError:
            raise unavailable("it took too long: ask again, and it goes on from there") from None
        await _ended_well(process)
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
        while chunk := await _stdout(process).read(CHUNK):
            yield chunk
        await _ended_well(process)


@asynccontextmanager
async def _process(task: Task) -> AsyncIterator[asyncio.subprocess.Process]:
    # -P: a folder named like one of ours, where the service happens to be started, must not be taken for it.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "archive.person",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(msgspec.json.encode(task, enc_hook=str))
                await process.stdin.drain()
            process.stdin.close()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _stdout(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise RuntimeError("the process has no stdout")
    return process.stdout


async def _ended_well(process: asyncio.subprocess.Process) -> None:
    """Raises Problem."""
    complaint = b"" if process.stderr is None else await process.stderr.read()
    status = await process.wait()
    if status == STORE_AWAY:
        raise unavailable("try again")
    if status == BUSY:
        raise Problem("archive_busy", "records are being archived: ask again, and the rest is erased")
    if status:
        _log.error("the process for a person failed", error=complaint.decode(errors="replace")[-2000:])
        raise internal()
