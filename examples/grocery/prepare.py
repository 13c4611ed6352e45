"""Writes the households' profiles to a Parquet file that `tino import customers` takes.

python -m examples.grocery.prepare --out households.parquet [--as-of 2017-10-01T00:00]
"""

import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.grocery.profiles import build_profiles
from examples.grocery.source import DEFAULT_AS_OF, DataMissingError, find_source

command = typer.Typer(add_completion=False)


@command.command()
def prepare(
    out: Annotated[Path, typer.Option(help="The Parquet file to write; an existing one is replaced.")],
    as_of: Annotated[str, typer.Option(help="ISO 8601; without a zone it is the store's local time.")] = (
        DEFAULT_AS_OF.strftime("%Y-%m-%dT%H:%M")
    ),
) -> None:
    """One row per household, as known before the given moment."""
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise typer.BadParameter(f"{as_of!r} is not an ISO 8601 date or time", param_hint="--as-of") from None
    try:
        source = find_source()
    except DataMissingError as missing:
        print(missing, file=sys.stderr)
        raise typer.Exit(1) from None
    profiles = build_with_progress(source, moment)
    write_whole(profiles, out)
    Console(stderr=True).print(f"{profiles.num_rows:,} households as of {moment.isoformat()} in {out}")


def build_with_progress(source: Path, as_of: datetime) -> Any:
    bar = Progress(
        TextColumn("reading purchase lines"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("lines", total=None)
        return build_profiles(source, as_of, lambda done, total: bar.update(task, completed=done, total=total))


def write_whole(table: Any, out: Path) -> None:
    """Writes beside the target and renames: a reader sees the old file or the new one, never a part."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    os.close(handle)
    try:
        pq.write_table(table, name)
        Path(name).chmod(0o644)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    command()
