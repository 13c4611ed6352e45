"""What the commands share: their options, what they read of them, and how they say what is wrong."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from archive.errors import ArchiveError
from catalog.building import build_plan
from catalog.diagnostics import CatalogError, Diagnostic
from catalog.loading import LoadedCatalog, load_catalog
from decision.request import RequestError
from features.columns import ImportFileError
from features.customer import micros
from features.errors import StoreError
from features.reload import ReloadFailed
from models.errors import ModelError
from models.scoring import Models
from settings import SettingsError

# Plain text: rich would read `[x]` in a path as a style, and `:100:` in "rows.csv:100: …" as an emoji.
say = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
CatalogArgument = Annotated[Path, typer.Argument(help="A catalog: a YAML file or a directory of them.")]
CatalogOption = Annotated[
    Path | None, typer.Option("--catalog", envvar="TINO_CATALOG", help="A catalog file or directory.")
]
WhoseOption = Annotated[
    Path | None, typer.Option("--catalog", envvar="TINO_CATALOG", help="Whose data it is, where --data doesn't say.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="TINO_DATA",
        help="Where the data is. Default: .data/ and the name of the catalog's file.",
    ),
]
NowOption = Annotated[
    str | None, typer.Option("--now", envvar="TINO_NOW", help="Start a running clock here, e.g. 2017-10-01T09:00.")
]
MOST_REPORTED = 20
PLAIN = (StoreError, ModelError, ArchiveError, ReloadFailed, ImportFileError, RequestError, SettingsError)


def loaded_catalog(path: Path, now: str | None) -> LoadedCatalog:
    try:
        loaded = load_catalog(path, moment_of(now))
        try_models(loaded)
    except CatalogError as error:
        print_diagnostics(error.diagnostics)
        say.print(f"{path}: not loaded")
        raise typer.Exit(code=1) from None
    except ModelError as error:
        say.print(f"{path}: error: {error}")
        say.print(f"{path}: not loaded")
        raise typer.Exit(code=1) from None
    return loaded


def try_models(loaded: LoadedCatalog) -> None:
    """Before anybody is told that this catalog will do. Raises ModelError."""
    if loaded.models:
        Models(build_plan(loaded))


def moment_of(now: str | None, option: str = "--now") -> datetime:
    if now is None or now == "real":
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(now)
    except ValueError:
        raise typer.BadParameter(f"{now!r} is not a time such as 2017-10-01T09:00", param_hint=option) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def period_of(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """From when on and before when, in microseconds since 1970; None where open."""
    begin = None if since is None else micros(moment_of(since, "--since"))
    end = None if until is None else micros(moment_of(until, "--until"))
    if begin is not None and end is not None and end <= begin:
        raise typer.BadParameter(f"{until} is not after {since}", param_hint="--until")
    return begin, end


def column_pair(text: str) -> tuple[str, str]:
    column, separator, attribute = text.partition("=")
    if not (column and separator and attribute):
        raise typer.BadParameter(f"{text!r} is not column=attribute", param_hint="--map")
    return column, attribute


@contextmanager
def failing_plainly() -> Iterator[None]:
    """Errors that the user can do something about end the command with one sentence."""
    try:
        yield
    except (*PLAIN, ValueError, OSError) as error:
        say.print(f"tino: {error}")
        raise typer.Exit(code=1) from None


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=say, disable=not sys.stderr.isatty())


def print_diagnostics(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        place = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}"
        path = f"{diagnostic.path}: " if diagnostic.path else ""
        say.print(f"{place}: {diagnostic.severity}: {path}{diagnostic.message}")
