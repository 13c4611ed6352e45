"""What a reload costs those who ask meanwhile: `python -m bench.reload`, by hand, prints JSON with milliseconds.

One worker with 1,000 actions serves requests that are due at fixed times, at a share of what it can. Windows with and
without a reload take turns; each reload leads to a catalog that differs in one number. The catalogs are kept in Redis
beforehand, so that what is measured is the worker's part, not the command's, whose processor time is another process's.
"""

import asyncio
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop

from bench.__main__ import _import as import_customers
from bench.catalogs import catalog, write
from bench.load import Load, Measured
from bench.servers import measure, tino
from catalog.bundle import bundle_of
from catalog.loading import load_catalog
from features.catalogs import CatalogStore
from features.link import Link
from features.redis_server import socket_for
from features.reload import reload
from features.workers import Workers

CUSTOMERS = 5_000
CONNECTIONS = 64
WARM_UP = 1.0


async def _keep(url: str, files: list[Path]) -> list[str]:
    link = Link(url)
    loaded = [load_catalog(file) for file in files]
    for each in loaded:
        await CatalogStore(link).keep(each.digest, bundle_of(each))
    await link.close()
    return [each.digest for each in loaded]


async def _reload(url: str, digest: str) -> float:
    link = Link(url)
    started = time.perf_counter()
    await reload(CatalogStore(link), Workers(link), digest, 60.0)
    await link.close()
    return time.perf_counter() - started


def _window(load: Load, url: str, digest: str | None) -> tuple[Measured, float]:
    """One stretch of load, with a reload to `digest` a while after its warm-up, and how long that took."""
    took: list[float] = []

    def change() -> None:
        if digest is not None:
            time.sleep(WARM_UP + load.seconds / 4)
            took.append(uvloop.run(_reload(url, digest)))

    changing = threading.Thread(target=change)
    changing.start()
    measured = measure(load)
    changing.join()
    return measured, sum(took)


def main(
    actions: Annotated[int, typer.Option(min=1)] = 1_000,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second; 0: half of what the worker can.")] = 0,
    rounds: Annotated[int, typer.Option(min=1)] = 4,
    seconds: Annotated[float, typer.Option(min=2.0)] = 4.0,
) -> None:
    with tempfile.TemporaryDirectory(prefix="tino-bench-") as folder:
        data = Path(folder)
        write(data, actions, CUSTOMERS)
        files = [data / "catalog.yaml", *(_changed(data, actions, number) for number in range(rounds))]
        bodies = [json.dumps({"customer_id": f"c{n}", "context": {"page": "home"}}) for n in range(CUSTOMERS)]
        import_customers(data)
        with tino(files[0], data / "store") as port:
            url = f"unix://{socket_for(data / 'store')}"
            digests = asyncio.run(_keep(url, files))

            def load(rate: float) -> Load:
                return Load("127.0.0.1", port, "/next-action", bodies, CONNECTIONS, seconds, WARM_UP, rate)

            rate = rate or measure(load(0.0)).per_second / 2
            windows: dict[str, list[Measured]] = {"quiet": [], "reload": []}
            took = []
            for number in range(rounds):
                windows["quiet"].append(_window(load(rate), url, None)[0])
                measured, reloading = _window(load(rate), url, digests[number + 1])
                windows["reload"].append(measured)
                took.append(reloading)
    told = {name: _told(measured) for name, measured in windows.items()}
    print(json.dumps({"rate": round(rate), "reload s": round(statistics.median(took), 2), **told}))


def _changed(folder: Path, actions: int, number: int) -> Path:
    file = folder / f"changed-{number}.yaml"
    file.write_bytes(orjson.dumps(catalog(actions) | {"control_group": {"share": 0.01, "salt": f"s{number}"}}))
    return file


def _told(windows: list[Measured]) -> dict[str, float]:
    """Of the stretch with the lowest 99th percentile: what else runs on the machine only ever adds to it."""
    quietest = min(windows, key=lambda window: window.p99)
    figures = {name: round(getattr(quietest, name), 2) for name in ("p50", "p99", "worst")}
    return {"errors": sum(window.errors for window in windows)} | figures


if __name__ == "__main__":
    typer.run(main)
