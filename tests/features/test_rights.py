"""A Redis that refuses a command to us is refused when it is opened: inside a script it would be too late."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from features.customer import with_attributes
from features.deadline import Deadline
from features.errors import AuthRefused, OutOfMemory, StoreError
from features.link import Link
from features.opening import open_store, problems
from features.rights import KINDS, check_rights, scratch

pytestmark = pytest.mark.anyio

FEATURES = Path(__file__).parents[2] / "features"
SOURCES = [path for path in (*FEATURES.glob("*.lua"), *FEATURES.glob("*.py")) if path.stem != "rights"]
CALLED = sorted({command for path in SOURCES for command in re.findall(r"redis\.p?call\('(\w+)'", path.read_text())})


@pytest.fixture
async def admin(unix_redis: str) -> AsyncIterator[Link]:
    link = Link(unix_redis)
    await link.ask("FLUSHALL", within=5)
    yield link
    await link.ask("ACL", "DELUSER", "limited", within=5)
    await link.close()


async def limited(admin: Link, unix_redis: str, *rights: str) -> str:
    """The URL of a user who has these rights, and everybody's keys that begin with tino."""
    await admin.ask("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~tino:*", *rights, within=5)
    return unix_redis.replace("unix://", "unix://limited:secret@")


def test_the_commands_are_found() -> None:
    assert {"HINCRBY", "XADD", "DEL", "HGETALL", "PEXPIRE", "TIME"} <= set(CALLED)
    assert all("redis.call(" not in path.read_text().replace("redis.call('", "") for path in SOURCES)


@pytest.mark.parametrize("command", CALLED)
async def test_without_the_right_to_one_command_it_is_not_opened(admin: Link, unix_redis: str, command: str) -> None:
    url = await limited(admin, unix_redis, "+@all", f"-{command.lower()}")
    with pytest.raises(AuthRefused, match=f"scripts call: {command}. Let this user run it"):
        await open_store(url)
    assert await admin.ask("KEYS", "tino:meta", within=5) == [], "nothing was written down"


async def test_all_that_is_missing_is_named(admin: Link, unix_redis: str) -> None:
    url = await limited(admin, unix_redis, "+@all", "-del", "-hincrby", "-expire")
    with pytest.raises(AuthRefused, match=r"scripts call: HINCRBY, EXPIRE, DEL\. "):
        await open_store(url)


async def test_nothing_is_left_of_looking(admin: Link, unix_redis: str) -> None:
    url = await limited(admin, unix_redis, "+@all", "-@dangerous", "+info")
    store = await open_store(url)
    assert await admin.ask("KEYS", "*", within=5) == [b"tino:meta"]
    assert {scratch(kind)[: scratch(kind).index("}")] for kind in KINDS} == {"tino:{0"}, "one slot"
    await store.ledger.link.close()


async def test_what_is_taken_away_later_is_told_once_a_commit_was_refused(admin: Link, unix_redis: str) -> None:
    url = await limited(admin, unix_redis, "+@all")
    store = await open_store(url)
    before = await problems(store)
    await limited(admin, unix_redis, "+@all", "-hincrby", "-set")
    with pytest.raises(StoreError):
        await store.update("ada", lambda customer, now: with_attributes(customer, {"a": 1}), Deadline(5))
    for _ in range(2):
        (told,) = [problem for problem in await problems(store) if problem not in before]
        assert "has lost a right" in told
        assert "scripts call: SET, HINCRBY. Let this user run it" in told
    await limited(admin, unix_redis, "+@all")
    assert [problem for problem in await problems(store) if "SET, HINCRBY" in problem] == []
    assert await problems(store) == before
    await store.ledger.link.close()


async def test_what_trying_does_not_find_is_told_at_each_refusal(admin: Link, unix_redis: str) -> None:
    """Such as keys that are out of bounds."""
    store = await open_store(await limited(admin, unix_redis, "+@all"))
    before = await problems(store)
    bounds = ("resetkeys", "~tino:{0}:rights:*", store.ledger.layout.state("ada"))
    await admin.ask("ACL", "SETUSER", "limited", *bounds[:2], "~" + bounds[2], within=5)
    for _ in range(2):
        with pytest.raises(StoreError):
            await store.update("ada", lambda customer, now: with_attributes(customer, {"a": 1}), Deadline(5))
        assert len(await problems(store)) == len(before) + 1
        assert await problems(store) == before
    await store.ledger.link.close()


async def test_a_full_memory_is_no_missing_right(admin: Link) -> None:
    await admin.ask("CONFIG", "SET", "maxmemory", 1, within=5)
    try:
        with pytest.raises(OutOfMemory):
            await check_rights(admin, 5)
    finally:
        await admin.ask("CONFIG", "SET", "maxmemory", 0, within=5)
