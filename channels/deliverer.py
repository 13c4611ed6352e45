"""The deliverer: from the outbox to an adapter, each message once, and none that may not be sent by now.

    1  taken      an entry is ours for a while (channels.outbox); one that is held is put off until quiet hours are over
    2  asked      has it been sent already, by somebody who was killed before 6? Then on to 5
    3  looked at  the clock of the data, the catalog in force, and the customer's state, fresh: may it be sent now?
                  (decision.release)
    4  sent       the adapter has it
    5  recorded   what became of it is an event of the customer: `delivered`, or `failed` with the reason; of who was
                  erased since the decision, nothing is written (channels.recording)
    6  done       the entry leaves the outbox

Killed between any two, the next deliverer begins at 1 when the lease has run out. What was sent is not sent again as
far as the adapter can tell; an event counts once by its id. What Redis can't be asked about is not sent, and what was
acknowledged before 3 is seen there: a no, or a reload, that comes while the message is on its way to the adapter comes
too late. So that this way is short, whoever stood still on it doesn't send (STALE_SECONDS, the adapter's `until`).

Of one customer, what is due at once is sent in the order in which it was decided, and what can't be sent yet holds back
what is behind it, as far as one deliverer knows: what another takes meanwhile does not wait for it. That would take an
order per customer in Redis. Customers do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from channels.adapter import Adapter, Later, Refused, Sent
from channels.in_force import InForcePlan
from channels.left import Left
from channels.message import Message, read_message
from channels.outbox import Outbox, Taken
from channels.recording import record
from channels.tally import Tally
from decision.release import Unsent, put_off, released
from features import applying
from features.absorbing import write
from features.cache import Snapshot
from features.clock_following import follow_clock
from features.commit import Committed
from features.customer import moment
from features.deadline import Deadline
from features.elapsed import elapsed
from features.errors import CorruptState
from features.identity import root_of
from features.intake import Intake
from features.store import ClockError, CustomerStore
from features.turns import Turns

SECONDS = 5.0  # for each thing asked of Redis
SEND_SECONDS = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
STALE_SECONDS = SECONDS + 1.0  # from 3 to 4: a machine can be put to sleep in between
UNREADABLE_S = 3600.0
MICROS = 1_000_000
Say = Callable[[str], None]
T = TypeVar("T")


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures of a message in a row, from 1 on."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))


class _First(NamedTuple):
    """What can't be sent to a customer yet: its place in the outbox, and the time until which it waits."""

    place: tuple[int, int]
    until: int


class Deliverer:
    """`step` is told the name of each step once it is done, `say` what people should know of. `time` is in seconds.

    `left` is why what it had in hand is still there, as far as it knows: empty it, where nobody is going to ask.
    """

    def __init__(
        self,
        store: CustomerStore,
        in_force: InForcePlan,
        adapter: Adapter,
        *,
        outbox: Outbox | None = None,
        say: Say = lambda text: None,
        step: Say = lambda name: None,
        time: Callable[[], float] = elapsed,
    ) -> None:
        self.tally = Tally()
        self.left: dict[tuple[int, bytes], Left] = {}
        self._store = store
        self._in_force = in_force
        self._adapter = adapter
        self._outbox = outbox or Outbox(store.ledger)
        self._intake = Intake(store, Turns(), lambda: in_force.plan)
        self._say = say
        self._step = step
        self._time = time
        self._failures: dict[str, int] = {}
        self._first: dict[tuple[int, str], _First] = {}

    async def deliver_due(self) -> int:
        """Goes once over all partitions; how many entries were taken: 0 means that nothing is due. One customer's state
        that can't be read, or is from a later time, keeps nobody else waiting.

        Raises NothingInForceError, BundleError, StoreError, OSError: what was in hand then is taken again later.
        """
        count = 0
        await follow_clock(self._store)
        await self._look()  # before anything is taken, which else waits in our hands though we can't send it
        for partition in range(self._outbox.partitions):
            began = self._time()
            now, taken = await self._outbox.take(partition)
            self._first = {whose: first for whose, first in self._first.items() if first.until > now}
            if taken:
                count += len(taken)
                self._step("taken")
                await self._look()
                await self._each_customer(taken, now, began)
        return count

    async def _look(self) -> bool:
        """Whether there is another catalog in force."""
        if not await self._in_force.look():
            return False
        plan = self._in_force.plan
        self._store.lives_ms(plan.lifetime_ms)
        self._store.counts(plan.aggregates)
        return True

    async def _up_to_date(self) -> float:
        """Goes by the clock of the data and the catalog in force; since when, by our own time. A catalog that has just
        come into force takes its time to be built, and another may have by then.
        """
        while True:
            since = self._time()
            await follow_clock(self._store)  # else what others hold by the clock as it is now would go
            if not await self._look():
                return since

    async def _each_customer(self, taken: Sequence[Taken], now: int, began: float) -> None:
        groups: dict[str, list[tuple[Taken, Message]]] = {}
        for entry in taken:
            try:
                message = read_message(entry.body)
            except ValueError as error:
                await self._leave(entry, f"entry {entry.id.decode()} of partition {entry.partition}", error)
                continue
            groups.setdefault(message.customer_id, []).append((entry, message))
        work = (self._in_order(group, now, began) for group in groups.values())
        for failed in await asyncio.gather(*work, return_exceptions=True):
            if failed is not None:
                raise failed

    async def _in_order(self, group: Iterable[tuple[Taken, Message]], now: int, began: float) -> None:
        for entry, message in group:
            first = self._first.get((entry.partition, message.customer_id))
            if self._time() - began > self._outbox.lease / 3:
                self._leaves(entry, Left.NO_TIME)  # it may be another's before we are done: taken again after the lease
            elif message.not_before is not None and message.not_before > now:
                await self._hold(entry, message.not_before)
            elif first is not None and first.place < entry.place:
                await self._put_off(entry, first.until, Left.BEHIND)
            else:
                await self._in_turn(entry, message)

    async def _in_turn(self, entry: Taken, message: Message) -> None:
        whose = (entry.partition, message.customer_id)
        try:
            until = await self._deliver(entry, message)
        except CorruptState as error:  # Redis is there: the others' states can be read
            until = await self._leave(entry, message.id, error)
        except ClockError as error:
            until = await self._try_later(entry, message, Later(str(error)))
        if until is not None:
            self._first[whose] = _First(entry.place, until)
        elif whose in self._first and self._first[whose].place == entry.place:
            del self._first[whose]

    async def _leave(self, entry: Taken, name: str, error: Exception) -> int:
        """Somebody has to look at what can't be read; until when it waits for that."""
        until = self._store.clock.now() + int(UNREADABLE_S * MICROS)
        await self._put_off(entry, until, Left.UNREADABLE)
        self.tally.unreadable += 1
        self._say(f"{name} is left where it is: {error}")
        return until

    async def _put_off(self, entry: Taken, until: int, why: Left) -> None:
        await self._outbox.put_off(entry, until)
        self._leaves(entry, why)

    def _leaves(self, entry: Taken, why: Left) -> None:
        self.left[entry.partition, entry.id] = why

    async def _hold(self, entry: Taken, until: int) -> None:
        await self._put_off(entry, until, Left.HELD)
        self.tally.held += 1
        self._step("held")

    async def _deliver(self, entry: Taken, message: Message) -> int | None:
        """Where the adapter can't send it now, the time until which it waits, and what is behind it too."""
        before = await self._adapted(self._was_sent(message), SEND_SECONDS)
        if isinstance(before, Later):
            return await self._try_later(entry, message, before)
        if before is not None:
            await self._finish(entry, message, before)
            return None
        self._step("asked")
        looked = await self._up_to_date()
        root, snapshot = await root_of(self._store, message.customer_id, Deadline(SECONDS), fresh=True)
        now = self._store.now_for(snapshot)
        release = released(self._in_force.plan, snapshot.customer, message.outgoing, now)
        self._step("looked at")
        if release.unsent is not None:
            await self._drop(entry, message, release.unsent)
            return None
        if release.not_before is not None:
            await self._wait_on(entry, message, release.not_before, root, snapshot)
            return None
        if self._time() - looked > STALE_SECONDS:
            self._leaves(entry, Left.NO_TIME)
            return None  # this process stood still: by now it may be another's, and what was seen no longer so
        seconds = self._seconds_for(message)
        outcome = await self._adapted(self._adapter.send(message, Deadline(seconds, self._time)), seconds)
        if isinstance(outcome, Later):
            return await self._try_later(entry, message, outcome)
        self._step("sent")
        await self._finish(entry, message, outcome)
        return None

    async def _wait_on(self, entry: Taken, message: Message, until: int, root: str, snapshot: Snapshot) -> None:
        """Its contact is to count from then on. Where the customer has changed meanwhile, they are looked at again."""
        customer = put_off(snapshot.customer, message.outgoing, until)
        if customer is not snapshot.customer:
            outcome, _ = await write(self._store, root, snapshot, customer, Deadline(SECONDS))
            if not isinstance(outcome, Committed):
                await self._put_off(entry, self._store.clock.now(), Left.LATER)
                return
        await self._hold(entry, until)

    async def _was_sent(self, message: Message) -> Sent | None:
        return Sent() if await self._adapter.was_sent(message.id) else None

    def _seconds_for(self, message: Message) -> float:
        """What may not be sent any more by then isn't waited for."""
        return min(SEND_SECONDS, (message.outgoing.valid_until - self._store.clock.now()) / MICROS)

    async def _adapted(self, asked: Coroutine[Any, Any, T], seconds: float) -> T | Later:
        """What the adapter says, within its time."""
        try:
            return await asyncio.wait_for(asked, seconds)
        except TimeoutError:
            return Later(f"the adapter took longer than {seconds:g} s")
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the other messages go on
            return Later(f"the adapter failed: {error!r}")

    async def _try_later(self, entry: Taken, message: Message, later: Later) -> int:
        failures = self._failures[message.id] = self._failures.get(message.id, 0) + 1
        pause = pause_after(failures) if later.seconds is None else max(later.seconds, FIRST_PAUSE_S)
        until = self._store.clock.now() + int(pause * MICROS)
        await self._put_off(entry, until, Left.LATER)
        self.tally.later += 1
        self._say(f"{message.id} is tried again at {moment(until).isoformat(timespec='seconds')}: {later.reason}")
        self._step("put off")
        return until

    async def _drop(self, entry: Taken, message: Message, why: Unsent) -> None:
        self._say(f"{message.id} is not sent: {why}")
        await self._record(message, "failed", why)
        await self._done(entry, message)
        self.tally.unsent[why] += 1

    async def _finish(self, entry: Taken, message: Message, outcome: Sent | Refused) -> None:
        if isinstance(outcome, Refused):
            self._say(f"{message.id} is not sent: refused: {outcome.reason}")
            await self._record(message, "failed", Unsent.REFUSED)
        else:
            await self._record(message, "delivered", None)
        await self._done(entry, message)
        if isinstance(outcome, Refused):
            self.tally.unsent[Unsent.REFUSED] += 1
        else:
            self.tally.sent += 1

    async def _record(self, message: Message, kind: str, why: Unsent | None) -> None:
        properties = {"action": message.action, "channel": message.channel}
        if why is not None:
            properties["reason"] = str(why)
        event = applying.Sent(f"{message.id}/{kind}", message.customer_id, kind, None, properties, message.decision_id)
        refused = await record(self._intake, lambda: self._in_force.plan, event, message.at, Deadline(SECONDS))
        if refused:
            self._say(f"{message.id}: the event `{kind}` could not be stored: {refused}")
        self._step("recorded")

    async def _done(self, entry: Taken, message: Message) -> None:
        await self._outbox.done(entry)
        self.left.pop((entry.partition, entry.id), None)
        self._failures.pop(message.id, None)
        self._step("done")
