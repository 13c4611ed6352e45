from __future__ import annotations

import pytest

from features.address import Address, parse_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address(host="cache", port=6379)),
        ("redis://[::1]:7000/3", Address(host="::1", port=7000, database=3)),
        ("redis://ana:p%40ss%2F@cache?db=2", Address("", "cache", 6379, "ana", "p@ss/", 2)),
        ("unix:///run/redis.sock", Address("/run/redis.sock")),
        ("unix://:secret@/run/redis.sock?db=4", Address("/run/redis.sock", password="secret", database=4)),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert parse_url(url) == address


def test_tls() -> None:
    address = parse_url("rediss://cache")
    assert address.tls is not None
    assert address.tls.check_hostname


@pytest.mark.parametrize(
    "url", ["", "http://x", "cache:6379", "redis://cache/one", "redis://cache?retries=3", "unix://run/redis.sock"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="Redis"):
        parse_url(url)


def test_the_password_is_not_shown() -> None:
    address = parse_url("redis://ana:secret@cache:1")
    assert "secret" not in f"{address} {address!r}"
    assert str(address) == "redis://cache:1"
