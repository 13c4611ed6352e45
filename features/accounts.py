"""The accounts of one budget in one period: what partitions may take, and how it gets there.

Each method is one step, one script on one key: `budgets.lua` says what the steps are and why there are three to a
transfer. All raise StoreError.

A transfer's steps must be taken in one history of Redis. After a power loss the step before may be no more, while its
worker believes it done: to go on then would be to credit what was never debited. Nothing survives that but what is in
Redis, and no connection does; so all steps are taken on one connection, and with it they end. Whoever comes next reads
the notes that are there now.

What is written is kept a day longer than the period lasts, so that a commit that was decided in its last moment still
finds it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from catalog.limits import Period
from features.connection import Arg, Connection, Reply, wait
from features.deadline import Deadline
from features.errors import ReadOnly
from features.keys import Layout, budget_key
from features.link import Link

SCRIPT = Path(__file__).with_name("budgets.lua").read_bytes()
SHARES = 16
"""Into how many shares for each partition what is left is split: small enough that little is stranded."""
KEPT_MS = 24 * 3600 * 1000


class Transfer(NamedTuple):
    """`number` among those in its direction, between its partition and the counter, from 1."""

    number: int
    units: int


@dataclass(frozen=True, slots=True)
class Counter:
    """`given` is with accounts, or was taken from them; `moves` tells one state of the counter from any other.

    `open` are transfers to partitions that may not have been credited yet; `back` is, by partition, the number of the
    last transfer that came back. `partitions` are all that were ever given something.
    """

    given: int
    moves: int
    partitions: tuple[int, ...]
    open: Mapping[int, Transfer]
    back: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Account:
    """`left` may be taken; `number` is that of the last transfer credited; `returning` may not have come back yet."""

    left: int
    number: int
    returning: Transfer | None


class Accounts:
    """Those of `period`, which `now` (microseconds of service time) lies in; all steps together end by `deadline`.

    They are taken on the connection of the first. Once that is lost, each further step raises NotConnected.
    `script` stands in for budgets.lua.
    """

    def __init__(
        self, link: Link, layout: Layout, period: Period, now: int, deadline: Deadline, script: bytes = SCRIPT
    ) -> None:
        self._link = link
        self._layout = layout
        self._key = period.key
        self._deadline = deadline
        self._script = script
        self._connection: Connection | None = None
        self._lives_ms = 0 if period.ends is None else max(period.ends - now, 0) // 1000 + KEPT_MS

    async def counter(self) -> Counter:
        fields = _fields(await self._ask("HGETALL", budget_key(self._key)))
        numbers, back = _of_partitions(fields, "number:"), _of_partitions(fields, "back:")
        units = _of_partitions(fields, "open:")
        under_way = {partition: Transfer(numbers[partition], units[partition]) for partition in units}
        return Counter(fields.get("given", 0), fields.get("moves", 0), tuple(numbers), under_way, back)

    async def accounts(self, partitions: Iterable[int]) -> dict[int, Account]:
        connection = await self._pinned()
        asked = {each: connection.call("HGETALL", self._layout.account(each, self._key)) for each in partitions}
        return {
            partition: _account(_fields(await wait(reply, self._deadline.left()))) for partition, reply in asked.items()
        }

    async def hand_over(self, partition: int, transfer: Transfer) -> int:
        """The rest of a transfer to a partition, whose account then has so much left."""
        left = await self.credit(partition, transfer)
        await self.credited(partition, transfer)
        return left

    async def bring_back(self, partition: int, transfer: Transfer) -> None:
        """The rest of a transfer from a partition."""
        await self.take_back(partition, transfer)
        await self.taken_back(partition, transfer)

    async def give(self, partition: int, limit: int, needed: int) -> Transfer | None:
        """Begins a transfer to the partition, or tells the one that is under way; None if nothing is left to give."""
        shares = SHARES * self._layout.partitions
        return _transfer(await self._at_counter("give", partition, limit, shares, needed, self._lives_ms))

    async def credit(self, partition: int, transfer: Transfer) -> int:
        """Once, however often it is tried. What the account then has left."""
        return int(await self._at_account(partition, "credit", *transfer, self._lives_ms))

    async def credited(self, partition: int, transfer: Transfer) -> None:
        await self._at_counter("credited", partition, transfer.number)

    async def withdraw(self, partition: int) -> Transfer | None:
        """Begins a transfer of half of what the partition has, or tells the one under way; None if it has nothing."""
        return _transfer(await self._at_account(partition, "withdraw"))

    async def take_back(self, partition: int, transfer: Transfer) -> None:
        """Once, however often it is tried."""
        await self._at_counter("take_back", partition, *transfer)

    async def taken_back(self, partition: int, transfer: Transfer) -> None:
        await self._at_account(partition, "taken_back", transfer.number)

    async def _at_counter(self, *args: Arg) -> Reply:
        return await self._ask("EVAL", self._script, 1, budget_key(self._key), *args)

    async def _at_account(self, partition: int, *args: Arg) -> Reply:
        key = self._layout.account(partition, self._key)
        return await self._ask("EVAL", self._script, 1, key, *args)

    async def _ask(self, *args: Arg) -> Reply:
        connection = await self._pinned()
        try:
            return await wait(connection.call(*args), self._deadline.left())
        except ReadOnly:
            self._link.turn_away(connection)
            raise

    async def _pinned(self) -> Connection:
        if self._connection is None:
            self._connection = await self._link.connection(self._deadline.left())
        return self._connection


def total(counter: Counter, accounts: Mapping[int, Account], limit: int) -> int:
    """What is left in all: at the counter, with accounts, and on the way."""
    arriving = sum(
        transfer.units
        for partition, transfer in counter.open.items()
        if partition not in accounts or accounts[partition].number < transfer.number
    )
    returning = sum(
        account.returning.units
        for partition, account in accounts.items()
        if account.returning is not None and counter.back.get(partition, 0) < account.returning.number
    )
    return max(0, limit - counter.given) + sum(each.left for each in accounts.values()) + arriving + returning


def _fields(reply: list[bytes]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _of_partitions(fields: Mapping[str, int], prefix: str) -> dict[int, int]:
    return {int(name.removeprefix(prefix)): value for name, value in fields.items() if name.startswith(prefix)}


def _account(fields: Mapping[str, int]) -> Account:
    returning = Transfer(fields["returned"], fields["returning"]) if "returning" in fields else None
    return Account(fields.get("left", 0), fields.get("number", 0), returning)


def _transfer(reply: list[int]) -> Transfer | None:
    return Transfer(*reply) if reply[1] else None
