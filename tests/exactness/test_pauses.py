"""What one worker was told of a dismissal, the very next decision of another obeys."""

import json
from pathlib import Path

from tests.exactness.crew import Crew
from tests.exactness.messages import Hammer, Open, Stored, Take, Told

TIMES = 300
CATALOG = """\
catalog: 1
name: pauses
channels: {web: {direction: inbound}}
contact_policies:
  dismissed: {after: {outcome: dismiss}, pause: 90d, per: action, scope: {channel: web}}
actions:
"""


def test_what_is_dismissed_is_not_shown_again(crew: Crew, url: str, tmp_path: Path) -> None:
    """Each of so many actions, the best first, is dismissed as soon as it is shown, at the other worker."""
    file = tmp_path / "catalog.yaml"
    actions = (f"  a-{number}: {{value: {TIMES - number}, treatments: {{web: {{t: x}}}}}}" for number in range(TIMES))
    file.write_text(CATALOG + "\n".join(actions) + "\n")
    workers = crew.workers[:2]
    crew.first(2).run(Open(url=url, catalog=str(file)))
    ask = Hammer(requests=[{"customer_id": "c-1"}], times=1, tasks=1)
    for number in range(TIMES):
        (answer,) = workers[number % 2].run(ask)
        assert isinstance(answer, Told)
        told = json.loads(answer.body)
        assert [action["action"] for action in told["actions"]] == [f"a-{number}"]
        event = {"id": f"e-{number}", "customer_id": "c-1", "type": "dismiss", "decision_id": told["decision_id"]}
        assert workers[1 - number % 2].run(Take(events=[event])) == [Stored([f"e-{number}"], 1, 0)]
    (answer,) = workers[0].run(ask)
    assert isinstance(answer, Told)
    assert (answer.status, answer.reason) == ("nothing", "contact_policy")
