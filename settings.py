"""Settings: read from the environment, TINO_ in front of each name (REDIS_URL alone has none), checked at start."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.auth import read_keys
from api.defaults import BODY_LIMIT, MOST_WAITING
from features.address import parse_url
from features.keys import MOST_PARTITIONS, PARTITIONS
from features.opening import CACHED_CUSTOMERS

PREFIX = "TINO_"
IN_FORCE = Path("in-force")  # as a catalog: the one that others have put in force


class SettingsError(ValueError):
    """Settings that can't be used; the message has a line for each, without the value: it may be a secret."""


class Settings(BaseSettings):
    """How one worker runs. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, populate_by_name=True
    )

    catalog: Path = Field(
        default=Path("examples/grocery"), description="The catalog: a YAML file, or a directory of them; or `in-force`."
    )
    data: Path = Field(default=Path(".data/grocery"), description="Where the private redis-server keeps its data.")
    now: str | None = Field(default=None, description="Where the service's clock starts (ISO 8601), or `real`.")
    api_keys: str | None = Field(
        default=None,
        description="`<sha256 hex>:<scope>[+<scope>…][:<name>]`, separated by commas or white space.",
        repr=False,
    )
    deadline_ms: int = Field(
        default=1000, ge=1, le=60_000, description="How long a caller waits who names no deadline_ms."
    )
    cached_customers: int = Field(default=CACHED_CUSTOMERS, ge=1, description="Decoded customers kept in memory.")
    cached_bytes: int | None = Field(
        default=None, ge=1_000_000, description="What these may take of memory, about. Absent: no such bound."
    )
    partitions: int = Field(
        default=PARTITIONS, ge=1, le=MOST_PARTITIONS, description="Fixed when a Redis is first used."
    )
    appendfsync: Literal["everysec", "always"] = Field(default="everysec", description="Of the private redis-server.")
    body_limit: int = Field(default=BODY_LIMIT, ge=1024, le=2**30, description="Longest request body, in bytes.")
    most_waiting: int = Field(
        default=MOST_WAITING, ge=2, le=1_000_000, description="Requests for a decision that may wait at a time."
    )
    redis_url: str | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        repr=False,
        description="A Redis to use. Absent: a private one is started.",
    )

    @field_validator("api_keys")
    @classmethod
    def _readable_keys(cls, text: str | None) -> str | None:
        read_keys(text)
        return text

    @field_validator("redis_url")
    @classmethod
    def _readable_url(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url


def load_settings() -> Settings:
    """The settings the environment gives. Raises SettingsError."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_line(found["loc"], found["msg"]) for found in error.errors())) from None


def _line(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "settings"
    variable = name if name == "REDIS_URL" else PREFIX + name.upper()
    return f"{variable}: {message.removeprefix('Value error, ')}"
