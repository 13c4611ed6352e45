"""The clock of the data is set ahead while a service goes by it."""

import asyncio
from pathlib import Path

from features.opening import open_store
from features.redis_server import EmbeddedRedis
from tests.api.serving import serving, settings


async def set_clock(url: str, now: str) -> None:
    """As another process does that is started with `--now`."""
    await (await open_store(url, now=now)).ledger.link.close()


def test_a_service_follows_the_clock(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as redis, serving(settings(redis_url=redis.url, now="2017-10-01")) as server:
        ask = {"customer_id": "ada", "placements": ["home-banner"]}
        assert server.ask(**ask)["valid_until"].startswith("2017-10-01")
        asyncio.run(set_clock(redis.url, "2017-11-01"))
        while not (answer := server.ask(**ask))["valid_until"].startswith("2017-11-01"):
            assert answer["degraded"] == [], "nobody else has changed them"
        assert (answer["status"], answer["degraded"]) == ("decided", [])
