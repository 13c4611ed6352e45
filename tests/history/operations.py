"""A client's history: what it was about to do, then what came of it, a JSON object a line.

Each line is with the kernel before the client goes on, so a history is whole up to the moment at which it ends, whoever
is killed. Times are microseconds of the machine's monotonic clock, which all processes share.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec


class Kind(StrEnum):
    DECIDE = "decide"
    CONSENT = "consent"
    ATTRIBUTE = "attribute"
    EVENT = "event"
    MERGE = "merge"
    ERASE = "erase"


class Outcome(StrEnum):
    """`info`: it may have happened, may still happen, or not. `fail`: it was answered in a way that must not be."""

    OK = "ok"
    INFO = "info"
    FAIL = "fail"


class Invoked(msgspec.Struct, tag="invoked", frozen=True):
    """`key` is a request id, the source of a statement, a value, the id of an event, or whom they are merged into;
    of an erasure it is nothing.
    """

    op: str
    kind: Kind
    customer: str
    key: str
    at: int
    granted: bool = False


class Completed(msgspec.Struct, tag="completed", frozen=True):
    """`told` is the answer's body, to the try that was `sent` last. `unanswered` counts the tries that nobody knows the
    end of: each may have happened, also after this. `cuts` of them this client cut itself; `denied` of them were
    answered in doubt and named no decision that might count: these have not happened, and won't.
    """

    op: str
    outcome: Outcome
    sent: int
    at: int
    told: str = ""
    unanswered: int = 0
    cuts: int = 0
    denied: int = 0


Line = Invoked | Completed


@dataclass(frozen=True)
class Operation:
    """Both lines; `returned` is None where the history ends before, and nobody knows then when it was `sent` last."""

    kind: Kind
    customer: str
    key: str
    invoked: int
    sent: int
    returned: int | None
    outcome: Outcome
    told: str = ""
    granted: bool = False
    unanswered: int = 0
    cuts: int = 0
    denied: int = 0


class Loss(msgspec.Struct, frozen=True):
    """A power loss: what was acknowledged after `since` may be gone from `until` on."""

    since: int
    until: int


class History:
    """A file to write to, by one thread."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, line: Line) -> None:
        data = msgspec.json.encode(line) + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        os.close(self._descriptor)


def now() -> int:
    return time.monotonic_ns() // 1000


def read_histories(folder: Path) -> list[Operation]:
    """All operations of all clients that wrote there, by their invocation."""
    found = [each for file in folder.glob("*.jsonl") for each in paired(_lines(file))]
    return sorted(found, key=lambda operation: operation.invoked)


def _lines(file: Path) -> Iterator[Line]:
    for line in file.read_bytes().splitlines():
        yield msgspec.json.decode(line, type=Line)


def paired(lines: Iterable[Line]) -> Iterator[Operation]:
    """One client does one thing at a time: what completes is what was invoked last."""
    begun: Invoked | None = None
    for line in lines:
        if isinstance(line, Invoked):
            begun = line
        elif begun is not None and begun.op == line.op:
            yield _operation(begun, line)
            begun = None
    if begun is not None:
        yield _operation(begun, None)


def _operation(begun: Invoked, ended: Completed | None) -> Operation:
    return Operation(
        begun.kind,
        begun.customer,
        begun.key,
        begun.at,
        begun.at if ended is None else ended.sent,
        None if ended is None else ended.at,
        Outcome.INFO if ended is None else ended.outcome,
        "" if ended is None else ended.told,
        begun.granted,
        1 if ended is None else ended.unanswered,
        0 if ended is None else ended.cuts,
        0 if ended is None else ended.denied,
    )
