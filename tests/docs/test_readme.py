"""README's examples, run against a service with the grocery example."""

import re
import shutil
from pathlib import Path
from typing import Any

from tests.cli.conftest import TINO
from tests.docs.conftest import Served, Step, run
from tests.docs.pages import README, ROOT, shown_after, text_of

CATALOG = ROOT / "examples" / "grocery" / "catalog.yaml"
CHANGING = {"decision_id", "catalog", "valid_until", "at"}
DRAWN = {"ranked", "explored"}


def test_the_answers_are_those_shown(steps: list[Step]) -> None:
    assert len(steps) >= 5
    for step in steps:
        assert step.status == 200, (step.command, step.answer)
        answer, shown = step.answer, step.shown
        assert list(answer) == list(shown), step.command
        explored = answer.get("reason") == "explored"
        # The catalog explores: of what was drawn by chance only the form is known beforehand.
        look = form if explored or "contacts" in shown else without_what_changes
        assert look(answer) == look(shown), step.command
        if not explored:
            assert answer.get("reason") == shown.get("reason")


def form(value: Any) -> Any:
    """Keys and kinds; but the status and the placements, which do not depend on chance."""
    if isinstance(value, dict):
        kept = ("status", "placement", "customer_id")
        return {
            key: each if key in kept else None if key in ("content", *CHANGING) else form(each)
            for key, each in value.items()
        }
    return [form(each) for each in value] if isinstance(value, list) else None


def without_what_changes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: None if key in CHANGING else without_what_changes(each) for key, each in value.items()}
    return [without_what_changes(each) for each in value] if isinstance(value, list) else value


def test_what_is_said_of_the_first_answer(steps: list[Step]) -> None:
    (action,) = steps[0].shown["actions"]
    assert abs(action["propensity"] * action["value"] * 1.10 - action["priority"]) < 1e-9
    assert steps[0].shown["reason"] == "ranked"
    assert {step.shown["reason"] for step in steps if "reason" in step.shown} == {"ranked", "no_consent"}


def test_a_request_id_gets_the_same_answer(steps: list[Step], served: Served) -> None:
    (step,) = (step for step in steps if "request_id" in step.command)
    body = re.search(r"-d '(.*)'", step.command, re.DOTALL)
    assert body is not None
    headers = {"Content-Type": "application/json"}
    assert served.client.post("/next-action", content=body[1], headers=headers).json() == step.answer


def test_deciding_for_all(steps: list[Step], served: Served) -> None:
    shown = shown_after(README, ".venv/bin/tino decide")
    before = served.client.get("/customers/hh-1/contacts").json()
    done = run(TINO, "decide", "examples/grocery", "--all", "--data", served.data)
    assert done.returncode == 0, done.stderr
    assert figures_out(done.stdout.splitlines()[-1]) == figures_out(shown.splitlines()[-1])
    assert done.stdout.startswith("actions x channels\n")
    for line in (line for line in shown.splitlines() if "│" in line or "┃" in line):
        assert figures_out(line) in figures_out(done.stdout)
    assert re.search(r"control_group +│ 17 ", done.stdout)
    assert re.search(r"control_group +│ 17 ", shown)
    assert served.client.get("/customers/hh-1/contacts").json() == before  # a dry run


def figures_out(text: str) -> str:
    """With numbers, and the space that aligns them, made alike; the number of customers stays."""
    return re.sub(r"(?<![\w-])(?!2469 customers)[\d.,]+ *", "# ", text)


def test_checking() -> None:
    done = run(TINO, "check", "examples/grocery")
    assert (done.returncode, done.stdout) == (0, shown_after(README, ".venv/bin/tino check"))


def test_a_letter_missing(tmp_path: Path) -> None:
    (told,) = re.findall(r"^catalog\.yaml:.*$", text_of(README), re.MULTILINE)
    whole = CATALOG.read_text(encoding="utf-8").splitlines(keepends=True)
    line = int(told.split(":")[1]) - 1
    whole[line] = whole[line].replace("visits_90d", "visit_90d", 1)
    (tmp_path / "catalog.yaml").write_text("".join(whole), encoding="utf-8")
    for model in CATALOG.parent.glob("*.onnx"):
        shutil.copy(model, tmp_path)
    done = run(TINO, "check", tmp_path / "catalog.yaml")
    assert done.returncode == 1
    assert done.stderr.replace(f"{tmp_path}/", "").strip() == told


def test_figures_have_their_place() -> None:
    assert re.search(r"^<!-- bench -->\n.+^<!-- /bench -->$", text_of(README), re.MULTILINE | re.DOTALL)


def test_every_test_that_is_named_is_there() -> None:
    found = re.findall(r"`((?:tests/)?[\w/-]*test_\w+\.py)`", text_of(README))
    assert len(found) > 8
    everywhere = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert [name for name in found if Path(name).name not in everywhere] == []
    assert [name for name in found if "/" in name and not (ROOT / name).is_file()] == []
