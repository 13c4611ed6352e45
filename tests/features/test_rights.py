"""A Redis that refuses a command to us is refused when it is opened: inside a script it would be too late."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from features.errors import AuthRefused, OutOfMemory
from features.link import Link
from features.opening import open_store
from features.rights import SCRATCH, check_rights

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
    assert {key[: key.index("}")] for key in SCRATCH} == {"tino:{0"}, "one slot"
    await store.ledger.link.close()


async def test_a_full_memory_is_no_missing_right(admin: Link) -> None:
    await admin.ask("CONFIG", "SET", "maxmemory", 1, within=5)
    try:
        with pytest.raises(OutOfMemory):
            await check_rights(admin, 5)
    finally:
        await admin.ask("CONFIG", "SET", "maxmemory", 0, within=5)
