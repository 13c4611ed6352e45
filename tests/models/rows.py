"""Rows to learn from, made up: who visits more and is a member renews more, in one group more than in the other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = datetime(2025, 1, 1, tzinfo=UTC)

CATALOG = """catalog: 1
name: test
customer: {visits: int, spend: double, member: bool, since: timestamp, tier: string, segments: list<string>}
derived:
  spend_per_visit: customer.spend / double(customer.visits)
context: {page: string}
channels:
  web: {direction: inbound, placements: [banner]}
models:
  renewal:
    onnx: renewal.onnx
    label: renewed
    features:
      - customer.visits
      - customer.spend_per_visit
      - customer.member
      - customer.since
      - customer.tier
      - customer.segments
      - context.page
      - treatment.group
      - treatment.value
actions:
  grow: {value: 10, group: growth, propensity: {model: renewal}, treatments: {web: {title: a}}}
  keep: {value: 20, group: retention, propensity: {model: renewal}, treatments: {web: {title: b}}}
"""


def made_up(count: int, seed: int = 1, meaning: float = 1.0) -> list[dict[str, Any]]:
    """In the order made. With `meaning` 0 nothing but the group tells who renews."""
    chance = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        visits = int(chance.poisson(3))
        member = bool(chance.random() < 0.4)
        action = "grow" if chance.random() < 0.5 else "keep"
        x = meaning * (0.6 * (visits - 3) + 1.2 * (member - 0.4)) + (0.0 if action == "grow" else -1.2)
        at = START + timedelta(hours=number)
        rows.append(
            {
                "customer_id": f"c-{number % 97}",
                "at": at,
                "action": action,
                "renewed": bool(chance.random() < 1 / (1 + np.exp(-x))),
                "customer.visits": visits,
                "customer.spend": round(float(visits * chance.uniform(5, 9)), 2),
                "customer.member": member if chance.random() < 0.9 else None,
                "customer.since": at - timedelta(days=float(chance.uniform(1, 900))),
                "customer.tier": ["free", "pro", None][int(chance.integers(3))],
                "customer.segments": [name for name in ("a", "b", "c") if chance.random() < 0.3],
                "context.page": ["home", "basket"][int(chance.integers(2))],
            }
        )
    return rows


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
