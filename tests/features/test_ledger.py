"""Compare and commit, over a unix socket and over TCP with a password."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.commit import ABSENT, ClockOff, Commit, Committed, Moved, Outcome, Repeated, Stored
from features.errors import CorruptState, OutOfMemory, OutOfTime, StoreError, StoreTimeout, Uncertain
from features.keys import Layout, new_decision_id
from features.ledger import Ledger
from features.link import Link

pytestmark = pytest.mark.anyio

WHO = "c-42"
REQUEST = (b"digest of a request id", b"hash of its body")
MS = 1000
MINUTE_US = 60_000_000


async def now(ledger: Ledger) -> int:
    return (await ledger.load("nobody", 10))[1]


async def commit(ledger: Ledger, **fields: Any) -> Outcome:
    given: dict[str, Any] = {"customer_id": WHO, "expected": b"", "now_us": await now(ledger), "body": None} | fields
    return await ledger.commit(Commit(**given), 10)


async def put(ledger: Ledger, body: bytes, **fields: Any) -> Committed:
    """Commit on top of whatever stands."""
    stored, at = await ledger.load(WHO, 10)
    outcome = await commit(ledger, **({"expected": stored.version, "now_us": at, "body": body} | fields))
    assert isinstance(outcome, Committed)
    return outcome


async def entries(link: Link, stream: str) -> list[list[bytes]]:
    return [fields for _, fields in await link.ask("XRANGE", stream, "-", "+", within=10)]


async def test_a_first_commit_and_the_next(ledger: Ledger) -> None:
    stored, at = await ledger.load(WHO, 10)
    assert stored == ABSENT
    first = await commit(ledger, now_us=at, body=b"one")
    assert isinstance(first, Committed)
    assert (len(first.version), first.last_us) == (16, at)
    assert first.server_us >= at
    assert (await ledger.load(WHO, 10))[0] == Stored(first.version, at, b"one")
    second = await commit(ledger, expected=first.version, now_us=at + 1, body=b"\x00\xfftwo")
    assert isinstance(second, Committed)
    assert second.version[:8] == (2).to_bytes(8)
    assert (await ledger.load(WHO, 10))[0] == Stored(second.version, at + 1, b"\x00\xfftwo")


async def test_a_commit_on_an_old_version_gets_the_fresh_state_and_writes_nothing(ledger: Ledger, link: Link) -> None:
    first = await put(ledger, b"one")
    second = await put(ledger, b"two")
    keys = await link.ask("DBSIZE", within=10)
    for expected in (b"", first.version):
        outcome = await commit(ledger, expected=expected, body=b"late", request=REQUEST, record=b"r", outbox=[b"m"])
        assert isinstance(outcome, Moved)
        assert (outcome.stored, outcome.held_ms) == (Stored(second.version, second.last_us, b"two"), 0)
    assert await link.ask("DBSIZE", within=10) == keys


async def test_expecting_someone_who_is_not_there(ledger: Ledger) -> None:
    outcome = await commit(ledger, expected=b"\0" * 16, body=b"one")
    assert isinstance(outcome, Moved)
    assert outcome.stored == ABSENT


async def test_a_deleted_customer_is_neither_absent_nor_what_it_was(ledger: Ledger, link: Link) -> None:
    alive = await put(ledger, b"one")
    deleted = await commit(ledger, expected=alive.version, tombstone=True)
    assert isinstance(deleted, Committed)
    assert (await ledger.load(WHO, 10))[0] == Stored(deleted.version, deleted.last_us, b"")
    days = await link.ask("PTTL", ledger.layout.state(WHO), within=10) / 86_400_000
    assert 29.9 < days <= 30
    for expected in (b"", alive.version):
        assert isinstance(await commit(ledger, expected=expected, body=b"again"), Moved)
    assert isinstance(await commit(ledger, expected=deleted.version, body=b"again"), Committed)
    assert await link.ask("PTTL", ledger.layout.state(WHO), within=10) == -1


async def test_a_lost_timeline_is_another_version(ledger: Ledger, link: Link) -> None:
    """Redis loses the last commit and another takes its number: a cache of the lost one must not overwrite it."""
    key = ledger.layout.state(WHO)
    await put(ledger, b"consents: yes")
    before = await link.ask("GET", key, within=10)
    cached = await put(ledger, b"consents: yes, 1 contact")
    await link.ask("SET", key, before, within=10)
    opted_out = await put(ledger, b"consents: no")
    assert cached.version[:8] == opted_out.version[:8]
    outcome = await commit(ledger, expected=cached.version, body=b"consents: yes, 2 contacts")
    assert isinstance(outcome, Moved)
    assert outcome.stored == Stored(opted_out.version, opted_out.last_us, b"consents: no")


async def test_states_may_expire(ledger: Ledger, link: Link) -> None:
    key = ledger.layout.state(WHO)
    brief = await put(ledger, b"anonymous", ttl_ms=90_000)
    assert 0 < await link.ask("PTTL", key, within=10) <= 90_000
    await commit(ledger, expected=brief.version, request=REQUEST)
    assert await link.ask("PTTL", key, within=10) > 0, "a commit that changes nothing leaves the expiry alone"
    await put(ledger, b"known")
    assert await link.ask("PTTL", key, within=10) == -1


async def test_what_is_committed_lands_together(ledger: Ledger, link: Link) -> None:
    at = await now(ledger)
    partition = ledger.layout.partition(WHO)
    decision_id = new_decision_id(partition, at, b"12345678")
    await put(
        ledger, b"one", decision_id=decision_id, record=b"\x00record\xff", outbox=[b"first", b"second"], now_us=at
    )
    assert await entries(link, ledger.layout.decisions(partition)) == [
        [b"d", decision_id.encode(), b"r", b"\x00record\xff"]
    ]
    assert await entries(link, ledger.layout.outbox(partition)) == [[b"m", b"first"], [b"m", b"second"]]


@pytest.mark.parametrize("size", [0, 31, 65_536, 1 << 20])
async def test_any_bytes_of_any_size(ledger: Ledger, size: int) -> None:
    body, record = b"b" * (size + 1), bytes(range(256)) * (size // 256 + 1)
    decision_id = new_decision_id(ledger.layout.partition(WHO), await now(ledger), b"12345678")
    await put(ledger, body, record=record, decision_id=decision_id, outbox=[b"m" * size] * 3)
    assert (await ledger.load(WHO, 10))[0].body == body
    assert await ledger.record(decision_id, 10) == record


async def test_deciding_nothing_compares_and_leaves_the_version(ledger: Ledger) -> None:
    absent = await commit(ledger, request=REQUEST, decision_id="none")
    assert isinstance(absent, Committed)
    assert (absent.version, absent.last_us) == (b"", 0)
    assert (await ledger.load(WHO, 10))[0] == ABSENT
    standing = await put(ledger, b"one")
    assert isinstance(await commit(ledger), Moved)
    outcome = await commit(ledger, expected=standing.version)
    assert isinstance(outcome, Committed)
    assert (outcome.version, outcome.last_us) == (standing.version, standing.last_us)


async def test_a_request_is_answered_once(ledger: Ledger, link: Link) -> None:
    at = await now(ledger)
    first = Commit(WHO, b"", at, b"one", None, False, REQUEST, "decision-1", b"record-1", [b"m"])
    assert isinstance(await ledger.commit(first, 10), Committed)
    key = ledger.layout.commit_keys(WHO, REQUEST[0]).request
    assert 86_390 < await link.ask("TTL", key, within=10) <= 86_400
    await put(ledger, b"two")
    expected = (REQUEST[1], "decision-1", b"record-1")
    # The same again, as after a lost reply; with another body; with a hopeless clock; while another has the ticket.
    await link.ask("SET", ledger.layout.commit_keys(WHO, b"").ticket, "another's", within=10)
    other = replace(first, request=(REQUEST[0], b"another body"), decision_id="decision-2", record=b"record-2")
    for again in (first, other, replace(first, now_us=at - MINUTE_US)):
        outcome = await ledger.commit(again, 10)
        assert isinstance(outcome, Repeated)
        assert (outcome.body_hash, outcome.decision_id, outcome.record) == expected
    assert len(await entries(link, ledger.layout.outbox(ledger.layout.partition(WHO)))) == 1


async def test_a_request_whose_answer_was_nothing_or_was_archived(ledger: Ledger, link: Link) -> None:
    await commit(ledger, request=REQUEST)
    outcome = await commit(ledger, request=REQUEST, body=b"one")
    assert isinstance(outcome, Repeated)
    assert (outcome.decision_id, outcome.record) == (None, None)
    second = (b"another id", REQUEST[1])
    await commit(ledger, request=second, decision_id="decision-2", record=b"record-2")
    await link.ask("XTRIM", ledger.layout.decisions(ledger.layout.partition(WHO)), "MAXLEN", 0, within=10)
    outcome = await commit(ledger, request=second)
    assert isinstance(outcome, Repeated)
    assert (outcome.decision_id, outcome.record) == ("decision-2", None)


async def test_a_clock_that_is_off_writes_nothing(strict_ledger: Ledger) -> None:
    for off in (-MINUTE_US, -250 * MS, MINUTE_US):
        before = await now(strict_ledger)
        outcome = await commit(strict_ledger, now_us=before + off, body=b"one")
        assert isinstance(outcome, ClockOff)
        assert outcome.last_us == 0
        assert before <= outcome.server_us
    assert (await strict_ledger.load(WHO, 10))[0] == ABSENT


async def test_time_does_not_run_backwards_for_a_customer(ledger: Ledger) -> None:
    standing = await put(ledger, b"one", now_us=await now(ledger) + 100 * MS)
    outcome = await commit(ledger, expected=standing.version, now_us=standing.last_us - 1, body=b"two")
    assert isinstance(outcome, ClockOff)
    assert outcome.last_us == standing.last_us
    equal = await commit(ledger, expected=standing.version, now_us=standing.last_us, body=b"two")
    assert isinstance(equal, Committed)


async def test_a_service_clock_set_elsewhere(link: Link, layout: Layout, ledger: Ledger) -> None:
    offset_us = -9 * 365 * 24 * 60 * MINUTE_US
    then = Ledger(link, layout, clock_offset_us=offset_us)
    server_us = await now(ledger)
    assert 0 <= await now(then) - (server_us + offset_us) < MINUTE_US
    at = await now(then)
    decision_id = new_decision_id(layout.partition(WHO), at, b"12345678")
    outcome = await commit(then, now_us=at, body=b"one", decision_id=decision_id, record=b"record")
    assert isinstance(outcome, Committed)
    assert outcome.last_us == at
    assert await then.record(decision_id, 10) == b"record"
    assert isinstance(await commit(then, now_us=server_us, body=b"two"), ClockOff)


async def test_a_ticket_gives_right_of_way(ledger: Ledger, link: Link) -> None:
    standing = await put(ledger, b"one")
    key = ledger.layout.commit_keys(WHO, b"").ticket
    assert isinstance(await commit(ledger), Moved)
    assert await link.ask("EXISTS", key, within=10) == 0, "it has to be asked for"
    taken = await commit(ledger, body=b"mine", ticket=b"mine")
    assert isinstance(taken, Moved)
    assert taken.held_ms == 0
    await link.ask("PEXPIRE", key, 60_000, within=10)  # so that the test need not hurry
    for other in (None, b"theirs"):
        held = await commit(ledger, expected=standing.version, body=b"theirs", ticket=other)
        assert isinstance(held, Moved)
        assert held.stored is None, "it is the one expected: who waits is not sent it again and again"
        assert 0 < held.held_ms <= 60_000
        news = await commit(ledger, body=b"theirs", ticket=other)
        assert isinstance(news, Moved)
        assert news.stored == Stored(standing.version, standing.last_us, b"one")
        assert 0 < news.held_ms <= 60_000
    done = await commit(ledger, expected=standing.version, body=b"mine", ticket=b"mine")
    assert isinstance(done, Committed)
    assert await link.ask("EXISTS", key, within=10) == 0
    assert isinstance(await commit(ledger, expected=done.version, body=b"theirs"), Committed)


async def test_a_ticket_lasts_20_ms_at_most(ledger: Ledger, link: Link) -> None:
    standing = await put(ledger, b"one")
    key = ledger.layout.commit_keys(WHO, b"").ticket
    assert isinstance(await commit(ledger, ticket=b"of one that died"), Moved)
    assert await link.ask("PTTL", key, within=10) <= 20
    while True:
        outcome = await commit(ledger, expected=standing.version, body=b"two", ticket=b"of another")
        if isinstance(outcome, Committed):
            return
        assert isinstance(outcome, Moved)
        assert 0 < outcome.held_ms <= 20
        await asyncio.sleep(outcome.held_ms / 1000)


async def test_someone_absent_whose_ticket_another_holds(ledger: Ledger, link: Link) -> None:
    await link.ask("SET", ledger.layout.commit_keys(WHO, b"").ticket, b"theirs", "PX", 60_000, within=10)
    outcome = await commit(ledger, body=b"one", ticket=b"mine")
    assert isinstance(outcome, Moved)
    assert outcome.stored is None
    assert (await ledger.load(WHO, 10))[0] == ABSENT


async def test_full_memory_leaves_nothing_half_written(ledger: Ledger, link: Link) -> None:
    standing = await put(ledger, b"one")
    before = await link.ask("DBSIZE", within=10)
    await link.ask("CONFIG", "SET", "maxmemory", 1, within=10)
    try:
        fields = {"decision_id": "decision-1", "record": b"r" * 5000, "outbox": [b"m"], "request": REQUEST}
        for body in (b"b" * 5000, None):
            with pytest.raises(OutOfMemory):
                await commit(ledger, expected=standing.version, body=body, **fields)
        with pytest.raises(OutOfMemory):
            await commit(ledger, expected=standing.version, body=b"two")
        # Who only reads is still answered.
        assert isinstance(await commit(ledger, body=b"two"), Moved)
    finally:
        await link.ask("CONFIG", "SET", "maxmemory", 0, within=10)
    assert await link.ask("DBSIZE", within=10) == before
    assert (await ledger.load(WHO, 10))[0].body == b"one"
    assert isinstance(await commit(ledger, expected=standing.version, body=b"b" * 5000, **fields), Committed)


async def test_a_forgotten_script_is_sent_again(ledger: Ledger, link: Link) -> None:
    await put(ledger, b"one")
    await link.ask("SCRIPT", "FLUSH", within=10)
    await put(ledger, b"two")
    assert (await ledger.load(WHO, 10))[0].body == b"two"


@pytest.mark.parametrize("state", [b"short", b"v" * 16 + b"no time, no time" + b"body"])
async def test_a_state_of_unknown_make(ledger: Ledger, link: Link, state: bytes) -> None:
    await link.ask("SET", ledger.layout.state(WHO), state, within=10)
    with pytest.raises(CorruptState):
        await ledger.load(WHO, 10)
    with pytest.raises(CorruptState):
        await commit(ledger, body=b"one", record=b"record")
    assert await link.ask("GET", ledger.layout.state(WHO), within=10) == state


async def test_commits_that_contradict_themselves(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="body"):
        await commit(ledger, body=b"")
    with pytest.raises(ValueError, match="tombstone"):
        await commit(ledger, body=b"one", tombstone=True)


async def test_many_commits_at_once(ledger: Ledger, link: Link) -> None:
    at = await now(ledger)
    await link.ask("SCRIPT", "FLUSH", within=10)
    commits = [Commit(f"c-{number}", b"", at, b"body-%d" % number) for number in range(300)]
    outcomes = await ledger.commit_many([*commits, commits[7]], 60)
    assert [type(outcome) for outcome in outcomes] == [Committed] * 300 + [Moved]
    assert (await ledger.load("c-299", 10))[0].body == b"body-299"
    await link.ask("SET", ledger.layout.state("c-0"), "broken", within=10)
    first, second = await ledger.commit_many(commits[:2], 60)
    assert isinstance(first, CorruptState)
    assert isinstance(second, Moved)


@pytest.mark.parametrize("within", [0.0, -1.0])
async def test_with_no_time_left_nothing_is_sent(ledger: Ledger, link: Link, within: float) -> None:
    at = await now(ledger)
    keys = await link.ask("DBSIZE", within=10)
    with pytest.raises(OutOfTime) as raised:
        await ledger.commit(Commit(WHO, b"", at, b"one", request=REQUEST, record=b"r", outbox=[b"m"]), within)
    assert not isinstance(raised.value, Uncertain)
    assert (await ledger.load(WHO, 10))[0] == ABSENT  # asked on the same connection: what was sent before is done
    assert await link.ask("DBSIZE", within=10) == keys
    assert isinstance(await commit(ledger, now_us=at, body=b"one", request=REQUEST), Committed)


async def test_commits_that_were_sent_are_uncertain_when_time_is_up(ledger: Ledger) -> None:
    at = await now(ledger)
    outcomes = await ledger.commit_many([Commit(WHO, b"", at, b"one", request=REQUEST)], 0)
    assert isinstance(outcomes[0], StoreTimeout)
    assert isinstance(outcomes[0], StoreError)
    again = await commit(ledger, now_us=at, body=b"one", request=REQUEST)
    assert isinstance(again, Repeated)
    assert (await ledger.load(WHO, 10))[0].body == b"one"


async def test_a_record_is_found_by_its_id(ledger: Ledger) -> None:
    at, partition = await now(ledger), ledger.layout.partition(WHO)
    ids = [new_decision_id(partition, at + shift * MS, bytes([shift + 100] * 8)) for shift in range(-90, 100)]
    crowd = [new_decision_id(partition, at, number.to_bytes(8)) for number in range(600)]
    commits = [Commit(WHO, b"", at, None, decision_id=name, record=name.encode()) for name in (*ids, *crowd)]
    outcomes = await ledger.commit_many(commits, 60)
    assert {type(outcome) for outcome in outcomes} == {Committed}
    for name in (ids[0], ids[-1], crowd[0], crowd[-1]):
        assert await ledger.record(name, 10) == name.encode()
    assert await ledger.record(new_decision_id(partition, at, b"unknown!"), 10) is None
    assert await ledger.record(new_decision_id(partition, at - MINUTE_US, b"unknown!"), 10) is None
    assert await ledger.record(new_decision_id(999, at, b"unknown!"), 10) is None
    with pytest.raises(ValueError, match="decision id"):
        await ledger.record("nonsense", 10)


@pytest.mark.chaos
async def test_two_processes_lose_no_count(ledger: Ledger, redis_url: str) -> None:
    times = 2000
    met = await asyncio.to_thread(_race, 2, [redis_url, WHO, str(times)])
    print(f"{2 * times} commits, {sum(each['Moved'] for each in met)} conflicts: {met}")
    assert (await ledger.load(WHO, 10))[0].body == b"%d" % (2 * times)
    assert sum(each["Committed"] for each in met) == 2 * times
    assert sum(each["Moved"] for each in met) > 0


def _race(processes: int, arguments: list[str]) -> list[dict[str, int]]:
    command = [sys.executable, "-m", "tests.features.counting", *arguments]
    root, pipe = Path(__file__).parents[2], subprocess.PIPE
    workers = [subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate()[0] for worker in workers]
    return [json.loads(output) for output in outputs]
