"""Settings: read from the environment, TINO_ in front of each name (REDIS_URL alone has none), checked at start."""

import difflib
from collections.abc import Mapping
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

    catalog: Path | None = Field(
        default=None, description="The catalog: a YAML file, or a directory of them; or `in-force`. Must be set."
    )
    data: Path | None = Field(
        default=None,
        description="Where the private redis-server keeps its data. Absent: in .data/, under the catalog's name.",
    )
    replace_catalog: bool = Field(
        default=False, description="Whether the catalog may take the place of one that has another name."
    )
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

    @property
    def served(self) -> Path:
        """The catalog. Raises SettingsError."""
        if self.catalog is None:
            raise SettingsError("TINO_CATALOG: must name the catalog that is to be served")
        return self.catalog

    @property
    def folder(self) -> Path:
        """Of the data. Raises SettingsError."""
        return self.data if self.data is not None else data_folder(self.served)

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


def data_folder(catalog: Path) -> Path:
    """Where the data of a catalog is, unless it is said to be elsewhere."""
    return Path(".data") / catalog.stem


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Those that look like settings and are none, each with the setting that is likely to be meant."""
    known = [name.upper() for name in Settings.model_fields if name != "redis_url"]
    found = {}
    for variable in sorted(name for name, text in environment.items() if text and name.upper().startswith(PREFIX)):
        name = variable.upper().removeprefix(PREFIX)
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            found[variable] = PREFIX + close[0] if close else None
    return found


def told(unknown: str, likely: str | None) -> str:
    """One of the above in a sentence."""
    return f"{unknown} is set, and is no setting" + (f"; did you mean {likely}?" if likely else "")


def _line(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "settings"
    variable = name if name == "REDIS_URL" else PREFIX + name.upper()
    return f"{variable}: {message.removeprefix('Value error, ')}"
