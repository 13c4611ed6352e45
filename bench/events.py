"""`python -m bench.events`: how many events a worker takes, one by one, in batches and from a file.

Each is compared, in the same run, with an empty FastAPI endpoint that reads one event as a pydantic body and does
nothing. Tino commits: an event is answered when Redis has it, in the customer's aggregates and in the log.
"""

import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from bench.load import MARK, Load, Measured
from bench.servers import baseline, measure, tino
from bench.table import report

CUSTOMERS = 2_000
CONNECTIONS = 64
BATCH = 100
DEPARTMENTS = ("GROCERY", "PRODUCE", "MEAT", "PASTRY", "DRUG GM", "FLORAL")
CATALOG = {
    "catalog": 1,
    "name": "events",
    "events": {"purchase": {"amount": "double", "department": "string", "basket": "int"}},
    "aggregates": {
        "spend_30d": {"sum": "purchase.amount", "window": "30d", "tile": "1d"},
        "spend_90d": {"sum": "purchase.amount", "window": "90d", "tile": "1d"},
        "purchases_30d": {"count": "purchase", "window": "30d", "tile": "1d"},
        "pastry_30d": {
            "sum": "purchase.amount",
            "where": 'event.department == "PASTRY"',
            "window": "30d",
            "tile": "1d",
        },
        "departments_90d": {"values": "purchase.department", "window": "90d", "tile": "3d"},
        "days_since_purchase": {"days_since": "purchase"},
    },
    "channels": {"web": {"direction": "inbound", "placements": ["top"]}},
    "actions": {"hello": {"value": 1, "treatments": {"web": {"title": "Hello"}}}},
}
say = Console(stderr=True)


def event(rng: random.Random, event_id: str, customer: int) -> dict[str, object]:
    told = {"amount": rng.randrange(50, 9_000) / 100, "department": rng.choice(DEPARTMENTS), "basket": customer}
    return {"id": event_id, "customer_id": f"c{customer}", "type": "purchase", "properties": told}


def over_http(rounds: int, seconds: float) -> dict[str, float]:
    """Medians of rounds that alternate between the servers; one worker, 64 connections."""
    rng = random.Random(7)
    single = [json.dumps(event(rng, f"one-{MARK}", customer)) for customer in range(CUSTOMERS)]
    of_one = [_batch(rng, [customer] * BATCH) for customer in range(CUSTOMERS // 10)]
    mixed = [_batch(rng, [rng.randrange(CUSTOMERS) for _ in range(BATCH)]) for _ in range(200)]
    loads = {"one by one": (single, 1), "batches of 100, each of one customer": (of_one, BATCH)}
    loads["batches of 100, each of 100 customers"] = (mixed, BATCH)
    rates: dict[str, list[float]] = {"empty FastAPI, requests": [], **{name: [] for name in loads}}
    for number in range(rounds):
        say.print(f"events, round {number + 1} of {rounds}")
        with baseline("empty_fastapi") as port:
            measured = _measured(port, [body.replace(MARK, "0" * len(MARK)) for body in single], CONNECTIONS, seconds)
            rates["empty FastAPI, requests"].append(measured.per_second)
        for name, (bodies, size) in loads.items():
            with tempfile.TemporaryDirectory(prefix="tino-bench-") as folder:
                catalog = _write(Path(folder))
                with tino(catalog, Path(folder) / "store") as port:
                    measured = _measured(port, bodies, CONNECTIONS if size == 1 else 8, seconds)
            if measured.errors:
                raise RuntimeError(f"{measured.errors} answers were not 200")
            rates[name].append(measured.per_second * size)
    result = {f"{name}, a second": statistics.median(values) for name, values in rates.items()}
    empty = rates["empty FastAPI, requests"]
    for name in loads:
        pairs = zip(rates[name], empty, strict=True)
        result[f"{name}: ratio to empty FastAPI"] = statistics.median(ours / theirs for ours, theirs in pairs)
    return result


def _measured(port: int, bodies: list[str], connections: int, seconds: float) -> Measured:
    return measure(Load("127.0.0.1", port, "/events", bodies, connections, seconds, min(2.0, seconds)))


def _batch(rng: random.Random, customers: list[int]) -> str:
    return json.dumps([event(rng, f"b-{MARK}-{place}", customer) for place, customer in enumerate(customers)])


def _write(folder: Path) -> Path:
    catalog = folder / "catalog.yaml"
    catalog.write_bytes(orjson.dumps(CATALOG, option=orjson.OPT_INDENT_2))
    return catalog


def from_a_file(rows: int) -> dict[str, float]:
    """`tino import events` of a Parquet file, from the start of the command to its end."""
    say.print("import")
    rng = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="tino-bench-") as name:
        folder = Path(name)
        catalog, file = _write(folder), folder / "events.parquet"
        ends = int(time.time()) - 3600
        columns = {
            "customer_id": [f"c{rng.randrange(CUSTOMERS)}" for _ in range(rows)],
            "at": pa.array(sorted(ends - rng.randrange(300 * 86_400) for _ in range(rows)), pa.timestamp("s", "UTC")),
            "amount": [rng.randrange(50, 9_000) / 100 for _ in range(rows)],
            "department": rng.choices(DEPARTMENTS, k=rows),
            "basket": [rng.randrange(10**6) for _ in range(rows)],
        }
        pq.write_table(pa.table(columns), file)
        command = [sys.executable, "-m", "cli", "import", "events", str(file), "--type", "purchase"]
        where = ["--catalog", str(catalog), "--data", str(folder / "store")]
        started = time.perf_counter()
        said = subprocess.run([*command, *where], check=True, capture_output=True, text=True).stdout
        taken = time.perf_counter() - started
        if not re.search(f"{rows:,}|{rows}", said):
            raise RuntimeError(f"not all rows were imported: {said}")
    return {"rows": rows, "imported, a second": rows / taken}


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(min=0.5)] = 5.0,
    rows: Annotated[int, typer.Option(min=1_000)] = 1_000_000,
    keep: Annotated[Path | None, typer.Option("--json", help="Write the numbers here.")] = None,
) -> None:
    results = {"POST /events": over_http(rounds, seconds), "tino import events": from_a_file(rows)}
    imported = results["tino import events"]
    imported["ratio to one by one"] = imported["imported, a second"] / results["POST /events"]["one by one, a second"]
    report(results)
    if keep is not None:
        keep.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
