"""`tino pressure`: what contact policies have cost."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from archive.pressure import Pressed, pressure_of_period
from archive.running import Place
from cli_data import data_of, redis_of
from commands import DataOption, WhoseOption, failing_plainly, out, period_of, say
from settings import load_settings


def pressure_command(
    since: Annotated[str | None, typer.Option(help="Decisions from then on, such as 2026-01-31T09:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Only those before.")] = None,
    catalog: WhoseOption = None,
    data: DataOption = None,
) -> None:
    """Print, per contact policy, how many decisions it changed and the priority lost to it, the costliest first."""
    begin, end = period_of(since, until)
    directory = data_of(catalog, data)
    with failing_plainly(), redis_of(directory) as url:
        place = Place(url, directory, load_settings().partitions)
        pressed = asyncio.run(pressure_of_period(place, begin or 0, end))
    _print(pressed)


def _print(pressed: Pressed) -> None:
    table = Table("policy", "decisions changed", "of all", "priority lost")
    for policy, changed, lost in pressed.ranked():
        table.add_row(policy, f"{changed:,}", f"{changed / pressed.decisions:.1%}", f"{lost:,.2f}")
    out.print(table)
    out.print(f"{pressed.decisions:,} decisions")
    if pressed.unreadable:
        say.print(f"{pressed.unreadable:,} records can't be read by this version")
