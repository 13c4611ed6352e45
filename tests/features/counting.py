"""One process that counts: it adds 1 to a customer's number so many times, against others that do the same.

python -m tests.features.counting URL CUSTOMER TIMES; starts at a line on stdin, prints what it met on the way.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter

from features.commit import ClockOff, Commit, Committed, Moved
from features.keys import Layout
from features.ledger import Ledger
from features.link import Link

LOST_TRIES_BEFORE_A_TICKET = 3


async def add_one(ledger: Ledger, customer: str, met: Counter[str]) -> None:
    stored, now_us = await ledger.load(customer, 10)
    token, lost = os.urandom(8), 0
    while True:
        body = b"%d" % (int(stored.body or b"0") + 1)
        ticket = token if lost >= LOST_TRIES_BEFORE_A_TICKET else None
        outcome = await ledger.commit(Commit(customer, stored.version, now_us, body, ticket=ticket), 10)
        met[type(outcome).__name__] += 1
        match outcome:
            case Committed():
                return
            case Moved():
                lost += 1
                met["held"] += outcome.held_ms > 0
                await asyncio.sleep(outcome.held_ms / 1000)
                stored = outcome.stored or stored
                now_us = max(outcome.server_us, stored.last_us)
            case ClockOff():
                now_us = max(outcome.server_us, outcome.last_us)
            case other:
                raise TypeError(f"a commit without a request id ended as {other}")


async def count(url: str, customer: str, times: int) -> Counter[str]:
    link, met = Link(url), Counter[str]()
    ledger = Ledger(link, Layout())
    await ledger.load(customer, 10)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for _ in range(times):
        await add_one(ledger, customer, met)
    await link.close()
    return met


if __name__ == "__main__":
    print(json.dumps(asyncio.run(count(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
