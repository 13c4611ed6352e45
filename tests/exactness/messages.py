"""What the test and its worker processes say to each other: one JSON object a line, over stdin and stdout."""

from typing import Any

import msgspec

PATIENCE = 20.0


class Open(msgspec.Struct, tag="open", kw_only=True):
    """Open the store at `url` and load the catalog; `script` stands in for commit.lua, `budgets_script` for the other.

    `dies_after` is a step of a budget's transfers, and how often it is done; see `mortal`.
    """

    url: str
    catalog: str
    script: str | None = None
    budgets_script: str | None = None
    dies_after: tuple[str, int] | None = None


class Hammer(msgspec.Struct, tag="hammer", kw_only=True):
    """Send `requests` in turn, `times` in all, by `tasks` at once. Each answer is reported as soon as it is known."""

    requests: list[dict[str, Any]]
    times: int
    tasks: int = 8
    caller: str = "key"
    seconds: float = PATIENCE


class Change(msgspec.Struct, tag="change", kw_only=True):
    """Change a customer; done once the store has acknowledged it. `at` is when the consents were stated,
    in seconds.
    """

    customer_id: str
    attributes: dict[str, Any] = {}
    consents: dict[str, bool] = {}
    at: int = 0


class Take(msgspec.Struct, tag="take", kw_only=True):
    """Store events, as features.applying.Sent has them, in batches of `size`, by `tasks` at once. Each batch is
    reported as soon as it is acknowledged.
    """

    events: list[dict[str, Any]]
    size: int = 1
    tasks: int = 1


class Told(msgspec.Struct, tag="told"):
    """One answer of the engine: `body` is what a client would have got."""

    body: str
    status: str
    reason: str
    degraded: list[str]
    lost: int
    repeated: bool


class Refused(msgspec.Struct, tag="refused"):
    """One request that the engine refused."""

    code: str


class Stored(msgspec.Struct, tag="stored"):
    """A batch of events that was acknowledged: how many are stored now, and how many were before."""

    ids: list[str]
    new: int
    known: int


class Done(msgspec.Struct, tag="done"):
    """The command before is finished."""


Command = Open | Hammer | Change | Take
Heard = Told | Refused | Stored
Report = Heard | Done
