"""Writes the households and what happened to them to Parquet files that `tino import` takes.

python -m examples.grocery.prepare --out .data/grocery/prepared [--as-of 2017-10-01T00:00]

`households.parquet` is for `tino import customers`, the others are for `tino import events`.
"""

import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer

from examples.grocery.events import TABLES, before
from examples.grocery.households import households
from examples.grocery.source import DEFAULT_AS_OF, DataMissingError, find_source

command = typer.Typer(add_completion=False)


@command.command()
def prepare(
    out: Annotated[Path, typer.Option(help="The folder for the Parquet files; existing ones are replaced.")],
    as_of: Annotated[str, typer.Option(help="ISO 8601; without a zone it is the store's local time.")] = (
        DEFAULT_AS_OF.strftime("%Y-%m-%dT%H:%M")
    ),
) -> None:
    """All households, and what happened to them before the given moment."""
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise typer.BadParameter(f"{as_of!r} is not an ISO 8601 date or time", param_hint="--as-of") from None
    try:
        source = find_source()
    except DataMissingError as missing:
        print(missing, file=sys.stderr)
        raise typer.Exit(1) from None
    written = [write_whole(households(source), out / "households.parquet")]
    for name, table in TABLES.items():
        written.append(write_whole(before(table(source), moment), out / f"{name}.parquet"))
    print(f"{', '.join(written)} in {out}", file=sys.stderr)


def write_whole(table: Any, out: Path) -> str:
    """Writes beside the target and renames: a reader sees the old file or the new one, never a part. Says what."""
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
    return f"{table.num_rows:,} {out.stem}"


if __name__ == "__main__":
    command()
