"""`make soak`: the history check again and again, with other seeds, two to four workers and both catalogs by turns.

Prints the table of all runs so far after each. Ends with the first violation, and says where what it was found in lies.
"""

import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from tests.history.limits import LONG, SHORT
from tests.history.run import lines_of, run

ROUNDS = 3


def main(
    minutes: Annotated[float, typer.Option(help="A run that has begun is finished.")] = 10.0,
    seed: Annotated[str, typer.Option(help="Of the clients and of what is done to the service.")] = "1",
) -> None:
    ends = time.monotonic() + minutes * 60
    total: Counter[str] = Counter()
    for number in itertools.count(1):
        folder = Path(tempfile.mkdtemp(prefix="tino-soak-"))
        print(f"run {number} of seed {seed}, in {folder}", flush=True)
        workers = 2 + number % 3
        story = run(folder, (SHORT, LONG)[number % 2], f"{seed}-{number}", workers, ROUNDS)
        if story.violations:
            print(lines_of(story.table))
            print("\n".join(f"{rule}: {text}" for rule, text in story.violations))
            print(f"histories, logs and data: {folder}")
            sys.exit(1)
        shutil.rmtree(folder)
        total.update({"runs": 1} | dict(story.table))
        print(lines_of(list(total.items())), flush=True)
        if time.monotonic() >= ends:
            return


if __name__ == "__main__":
    typer.run(main)
