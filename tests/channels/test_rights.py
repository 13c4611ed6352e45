"""A Redis that refuses to a deliverer what its scripts call: it does not begin, and no message is lost where it had."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from channels.outbox import KINDS, Outbox
from features.errors import AuthRefused, StoreError
from features.link import Link
from features.opening import open_store
from features.rights import scratch
from features.store import CustomerStore

pytestmark = pytest.mark.anyio

CHANNELS = Path(__file__).parents[2] / "channels"
SOURCES = [path for path in (*CHANNELS.glob("*.lua"), *CHANNELS.glob("*.py")) if path.stem != "rights"]
CALLED = sorted({command for path in SOURCES for command in re.findall(r"redis\.p?call\('(\w+)'", path.read_text())})
WITHIN = 30.0


@pytest.fixture
async def admin(url: str) -> AsyncIterator[Link]:
    link = Link(url)
    yield link
    await link.ask("ACL", "DELUSER", "limited", within=WITHIN)
    await link.close()


async def rights(admin: Link, *given: str) -> None:
    await admin.ask("ACL", "SETUSER", "limited", "on", ">secret", "~tino:*", *given, within=WITHIN)


@pytest.fixture
async def store(admin: Link, url: str) -> AsyncIterator[CustomerStore]:
    """Opened by a user whose rights are then taken away."""
    await rights(admin, "+@all")
    store = await open_store(url.replace("unix://", "unix://limited:secret@"))
    yield store
    await store.ledger.link.close()


def test_the_commands_are_found() -> None:
    assert {"XREADGROUP", "XGROUP", "ZADD", "XDEL"} <= set(CALLED)
    assert all("redis.call(" not in path.read_text().replace("redis.call('", "") for path in SOURCES)


@pytest.mark.parametrize("command", CALLED)
async def test_without_the_right_to_one_command_it_is_said(admin: Link, store: CustomerStore, command: str) -> None:
    await Outbox(store.ledger).check_rights()
    await rights(admin, f"-{command.lower()}")
    with pytest.raises(AuthRefused, match=f"scripts call: {command}. Let this user run it"):
        await Outbox(store.ledger).check_rights()


async def test_nothing_is_left_of_looking(admin: Link, store: CustomerStore) -> None:
    await Outbox(store.ledger).check_rights()
    assert await admin.ask("EXISTS", *map(scratch, KINDS), within=WITHIN) == 0


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("command", CALLED)
async def test_what_is_refused_half_way_loses_no_message(
    admin: Link, store: CustomerStore, command: str, noted: bool
) -> None:
    """Be they new ones, or due again."""
    outbox, stream = Outbox(store.ledger, lease=0.0), store.ledger.layout.outbox(3)
    if noted:
        await admin.ask("XADD", stream, "*", "m", "a", within=WITHIN)
        assert len((await outbox.take(3))[1]) == 1
    await admin.ask("XADD", stream, "*", "m", "b", within=WITHIN)
    await rights(admin, f"-{command.lower()}")
    try:
        _, taken = await outbox.take(3)
        for entry in taken:
            await outbox.done(entry)
    except StoreError:
        pass
    await rights(admin, "+@all")
    left = [entry.body for entry in (await outbox.take(3))[1]]
    assert left == [body for body in (b"a", b"b") if body in left]
    assert len(left) == await admin.ask("XLEN", stream, within=WITHIN), "all that is there is found"
