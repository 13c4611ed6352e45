from __future__ import annotations

import os
from pathlib import Path

import pytest

from settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("TINO_") or name.upper() == "REDIS_URL":
            monkeypatch.delenv(name)


def test_the_defaults() -> None:
    found = load_settings()
    assert (found.catalog, found.data, found.replace_catalog) == (None, None, False)
    assert (found.deadline_ms, found.body_limit, found.appendfsync) == (1000, 262_144, "everysec")
    assert (found.now, found.api_keys, found.redis_url) == (None, None, None)


def test_the_catalog_is_named_and_its_data_lies_under_its_name() -> None:
    with pytest.raises(SettingsError, match="TINO_CATALOG: must name the catalog"):
        _ = load_settings().served
    with pytest.raises(SettingsError, match="TINO_CATALOG: must name the catalog"):
        _ = load_settings().folder
    assert Settings(catalog=Path("my/shop.yaml")).folder == Path(".data/shop")
    assert Settings(catalog=Path("my/shop.yaml"), data=Path("d")).folder == Path("d")


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TINO_CATALOG": "my.yaml",
        "TINO_DEADLINE_MS": "50",
        "TINO_APPENDFSYNC": "always",
        "TINO_NOW": "",
        "REDIS_URL": "redis://:secret@db.example:6380/2",
    }.items():
        monkeypatch.setenv(name, value)
    found = load_settings()
    assert (found.catalog, found.deadline_ms, found.appendfsync) == (Path("my.yaml"), 50, "always")
    assert (found.now, found.redis_url) == (None, "redis://:secret@db.example:6380/2")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TINO_DEADLINE_MS", "0"),
        ("TINO_DEADLINE_MS", "60001"),
        ("TINO_BODY_LIMIT", "12"),
        ("TINO_PARTITIONS", "0"),
        ("TINO_CACHED_CUSTOMERS", "many"),
        ("TINO_CACHED_BYTES", "999999"),
        ("TINO_APPENDFSYNC", "never"),
        ("TINO_API_KEYS", "secret"),
        ("REDIS_URL", "http://:secret@db.example"),
        ("REDIS_URL", "redis://:secret@db.example:port"),
    ],
)
def test_bad_values_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert "secret" not in str(raised.value)
