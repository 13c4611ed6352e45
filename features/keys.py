"""Names in Redis.

    tino:meta                     hash: format, partitions, clock, archive
    tino:catalog                  hash: epoch, digest: the catalog in force
    tino:catalog:<digest>         a catalog, as a bundle
    tino:reloading                who is putting another catalog in force
    tino:workers                  hash: each worker, until when it is there, the catalog it serves
    tino:budget:<period>          hash: what of a budget was dealt out to partitions, and transfers under way
    tino:{<p>}:c:<customer_id>    a customer's state
    tino:{<p>}:q:<digest>         what a request id was answered with
    tino:{<p>}:t:<customer_id>    a ticket: who may commit to this customer next
    tino:{<p>}:e:<day>:<customer_id>  hash: ids of the events of a day, as digests, each with its entry in the stream
    tino:{<p>}:s:<digest>         hash: when a customer was erased and what they had refused
    tino:{<p>}:b:<period>         hash: what the partition has left of a budget, and transfers under way
    tino:{<p>}:decisions          stream of decision records
    tino:{<p>}:events             stream of events
    tino:{<p>}:outbox             stream of what is to be sent
    tino:{<p>}:sending            sorted set: entries of the outbox, each with when a deliverer is to look at it next
    tino:{0}:rights:<kind>        scratch keys of features.rights, gone at once

A budget's <period> is its name and a turn of its calendar: vouchers:day-1773100800, or vouchers:lifetime.

All keys of one customer carry the same hash tag, their partition's, so that one script could touch them on a cluster,
which features.durable refuses as yet: the keys above that have none, and the one connection, are not made for it.
The partition follows from the id by CRC-32 and the number of partitions, which is why that number is written down in
Redis and can't be changed under data: every customer would be looked for in the wrong place.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from hashlib import blake2b
from itertools import count
from typing import NamedTuple

from features.errors import LayoutMismatch
from features.link import Link

LONGEST_ID = 256  # characters, of whatever callers call a customer, an event, a request
FORMAT = 2
META = "tino:meta"
IN_FORCE = "tino:catalog"
RELOADING = "tino:reloading"
WORKERS = "tino:workers"
PARTITIONS = 16
MOST_PARTITIONS = 16384  # the slots of a cluster

_DECISION_ID = re.compile(r"[0-9a-f]{32}")


class CommitKeys(NamedTuple):
    """The keys one commit may touch, in the order in which the script takes them.

    `streams` are the last two, decisions and outbox, as they stand in a command: each after its length.
    """

    state: bytes
    request: bytes
    ticket: bytes
    streams: bytes


class Layout:
    """Where things are, for a number of partitions from 1 to 16384."""

    __slots__ = ("_prefixes", "_streams", "partitions")

    def __init__(self, partitions: int = PARTITIONS) -> None:
        if not 1 <= partitions <= MOST_PARTITIONS:
            raise ValueError(f"partitions must be from 1 to {MOST_PARTITIONS}, not {partitions}")
        self.partitions = partitions
        self._prefixes = [f"tino:{{{partition}}}:" for partition in range(partitions)]
        self._streams = [
            b"".join(
                b"$%d\r\n%b\r\n" % (len(key), key)
                for key in (f"{prefix}decisions".encode(), f"{prefix}outbox".encode())
            )
            for prefix in self._prefixes
        ]

    def partition(self, customer_id: str) -> int:
        return zlib.crc32(customer_id.encode()) % self.partitions

    def any_id(self, partition: int) -> str:
        """An id that lies in this partition."""
        return next(name for name in map("any-{}".format, count()) if self.partition(name) == partition)

    def state(self, customer_id: str) -> str:
        return f"{self._prefixes[self.partition(customer_id)]}c:{customer_id}"

    def states(self, partition: int) -> str:
        """What the state keys of a partition begin with; the customer's id follows."""
        return f"{self._prefixes[partition]}c:"

    def decisions(self, partition: int) -> str:
        return f"{self._prefixes[partition]}decisions"

    def outbox(self, partition: int) -> str:
        return f"{self._prefixes[partition]}outbox"

    def sending(self, partition: int) -> str:
        return f"{self._prefixes[partition]}sending"

    def events(self, partition: int) -> str:
        return f"{self._prefixes[partition]}events"

    def event_ids(self, customer_id: str, day: int) -> str:
        """`day` is the service time's number of days since 1970."""
        return f"{self._prefixes[self.partition(customer_id)]}e:{day}:{customer_id}"

    def suppression(self, customer_id: str) -> str:
        """What stays of a customer who was erased; a hash of the id, as the id itself is to go."""
        digest = blake2b(customer_id.encode(), digest_size=16).hexdigest()
        return f"{self._prefixes[self.partition(customer_id)]}s:{digest}"

    def event_keys(self, customer_id: str, day: int) -> bytes:
        """The keys a commit of events may touch besides those of any commit, as they stand in a command."""
        keys = (
            self.event_ids(customer_id, day),
            self.event_ids(customer_id, day - 1),
            self.events(self.partition(customer_id)),
        )
        return b"".join(b"$%d\r\n%b\r\n" % (len(key), key) for key in map(str.encode, keys))

    def account(self, partition: int, period: str) -> str:
        """What the partition has of a budget in `period`; see features.budgets."""
        return f"{self._prefixes[partition]}b:{period}"

    def account_keys(self, customer_id: str, periods: Iterable[str]) -> bytes:
        """The accounts a commit takes from, as they stand in a command."""
        partition = self.partition(customer_id)
        keys = (self.account(partition, period).encode() for period in periods)
        return b"".join(b"$%d\r\n%b\r\n" % (len(key), key) for key in keys)

    def commit_keys(self, customer_id: str, digest: bytes) -> CommitKeys:
        partition = self.partition(customer_id)
        prefix = self._prefixes[partition]
        return CommitKeys(
            f"{prefix}c:{customer_id}".encode(),
            b"%bq:%b" % (prefix.encode(), digest.hex().encode()),
            f"{prefix}t:{customer_id}".encode(),
            self._streams[partition],
        )


def budget_key(period: str) -> str:
    return f"tino:budget:{period}"


def catalog_key(digest: str) -> str:
    return f"{IN_FORCE}:{digest}"


async def open_layout(link: Link, partitions: int = PARTITIONS, *, within: float = 5.0) -> Layout:
    """The layout of this Redis, written down first if it is empty. Raises LayoutMismatch, StoreError."""
    layout = Layout(partitions)
    # Field by field, first writer wins: two that start at once with other numbers see the same one afterwards.
    await link.ask("HSETNX", META, "format", FORMAT, within=within)
    await link.ask("HSETNX", META, "partitions", partitions, within=within)
    stored_format, stored_partitions = await link.ask("HMGET", META, "format", "partitions", within=within)
    if stored_format != b"%d" % FORMAT:
        raise LayoutMismatch(f"the data in Redis has format {stored_format.decode()}, this Tino reads {FORMAT}")
    if stored_partitions != b"%d" % partitions:
        raise LayoutMismatch(
            f"the data in Redis is laid out in {stored_partitions.decode()} partitions, not {partitions}: "
            f"start with {stored_partitions.decode()}, or with an empty Redis"
        )
    return layout


def new_decision_id(partition: int, now_us: int, random: bytes) -> str:
    """32 hex digits: 12 of milliseconds since 1970, so that ids sort by time, 4 of partition, 16 of randomness.

    `random` is 8 bytes; `now_us` is in microseconds.
    """
    if len(random) != 8:
        raise ValueError(f"a decision id takes 8 random bytes, not {len(random)}")
    return ((now_us // 1000).to_bytes(6) + partition.to_bytes(2) + random).hex()


def parse_decision_id(decision_id: str) -> tuple[int, int]:
    """Partition, and time in milliseconds since 1970. Raises ValueError."""
    if not _DECISION_ID.fullmatch(decision_id):
        raise ValueError("a decision id is 32 lower-case hexadecimal digits")
    return int(decision_id[12:16], 16), int(decision_id[:12], 16)
