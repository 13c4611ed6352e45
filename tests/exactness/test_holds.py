"""A place that is held is taken for every worker; given back at one, it is free for the next decision of another."""

import json
from pathlib import Path
from typing import Any

from tests.exactness.crew import Crew, Worker
from tests.exactness.messages import Hammer, Open, Stored, Take, Told

TIMES = 100
CATALOG = """\
catalog: 1
name: holds
channels: {web: {direction: inbound}}
contact_policies:
  one: {limit: 1, rolling: 30d, scope: {channel: web}}
actions:
  banner: {value: 1, treatments: {web: {valid_for: 1d, t: x}}}
"""
ASK = Hammer(requests=[{"customer_id": "c-1"}], times=1, tasks=1)


def _asked(worker: Worker) -> dict[str, Any]:
    (answer,) = worker.run(ASK)
    assert isinstance(answer, Told)
    told: dict[str, Any] = json.loads(answer.body)
    return told


def test_what_could_not_be_shown_gives_its_place_back_everywhere(crew: Crew, url: str, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    crew.first(2).run(Open(url=url, catalog=str(file)))
    for number in range(TIMES):
        one, other = crew.workers[number % 2], crew.workers[1 - number % 2]
        granted = _asked(one)
        assert [action["action"] for action in granted["actions"]] == ["banner"]
        assert (_asked(other)["actions"], _asked(one)["actions"]) == ([], [])
        kind = "failed" if number < TIMES - 1 else "impression"
        event = {"id": f"e-{number}", "customer_id": "c-1", "type": kind, "decision_id": granted["decision_id"]}
        assert other.run(Take(events=[event])) == [Stored([f"e-{number}"], 1, 0)]
    assert (_asked(crew.workers[0])["actions"], _asked(crew.workers[1])["actions"]) == ([], [])
