"""`make bench`: prints the performance table as Markdown; `--json FILE` also keeps the numbers."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.catalogs import write
from bench.load import Load
from bench.servers import baseline, measure, tino
from bench.table import report

ACTIONS = 1_000
CUSTOMERS = 5_000
CONNECTIONS = 64
say = Console(stderr=True)


def next_action(rounds: int, seconds: float) -> dict[str, float]:
    """Requests a second, one worker each, 64 connections; medians of rounds that alternate between the servers."""
    with tempfile.TemporaryDirectory(prefix="tino-bench-") as folder:
        data = Path(folder)
        write(data, ACTIONS, CUSTOMERS)
        _import(data)
        bodies = [json.dumps({"customer_id": f"c{n}", "context": {"page": "home"}}) for n in range(CUSTOMERS)]

        def load(port: int, rate: float = 0.0) -> Load:
            return Load("127.0.0.1", port, "/next-action", bodies, CONNECTIONS, seconds, 1.0, rate)

        rates: dict[str, list[float]] = {"tino": [], "empty FastAPI": [], "bare ASGI": []}
        latencies = []
        for round_number in range(rounds):
            say.print(f"next-action, round {round_number + 1} of {rounds}")
            with baseline("empty_fastapi") as port:
                rates["empty FastAPI"].append(measure(load(port)).per_second)
            # Every round begins with the same customers: what one decides would make the states of the next longer.
            store = shutil.copytree(data / "store", data / f"round-{round_number}")
            with tino(data / "catalog.yaml", store) as port:
                closed = measure(load(port))
                if closed.errors:
                    raise RuntimeError(f"{closed.errors} answers were not 200")
                rates["tino"].append(closed.per_second)
                latencies.append(measure(load(port, closed.per_second / 2)))
            with baseline("bare_asgi") as port:
                rates["bare ASGI"].append(measure(load(port)).per_second)
    result = {name: statistics.median(values) for name, values in rates.items()}
    pairs = zip(rates["tino"], rates["empty FastAPI"], strict=True)
    result["ratio to empty FastAPI"] = statistics.median(ours / theirs for ours, theirs in pairs)
    result["half load p50 ms"] = statistics.median(measured.p50 for measured in latencies)
    result["half load p99 ms"] = statistics.median(measured.p99 for measured in latencies)
    return result


def rules(small: int = 1_000, large: int = 10_000) -> dict[str, float]:
    """Microseconds to match one customer against `small` and `large` numbers of rules."""
    say.print("rules")
    command = [sys.executable, "-m", "bench.rules_scale", str(small), str(large)]
    measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    few, many = measured[str(small)], measured[str(large)]
    return {f"{small:,} rules, us": few, f"{large:,} rules, us": many, "ratio": many / few}


def _import(data: Path) -> None:
    command = [sys.executable, "-m", "cli", "import", "customers", str(data / "customers.jsonl")]
    where = ["--catalog", str(data / "catalog.yaml"), "--data", str(data / "store")]
    subprocess.run([*command, *where], check=True, stdout=subprocess.DEVNULL)


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=0.5)] = 5.0,
    keep: Annotated[Path | None, typer.Option("--json", help="Write the numbers here.")] = None,
) -> None:
    results: dict[str, Any] = {"POST /next-action, 1,000 actions": next_action(rounds, seconds), "rules": rules()}
    report(results)
    if keep is not None:
        keep.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
