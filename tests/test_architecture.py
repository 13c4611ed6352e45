"""What may import what, and which rooms have no clock, no chance and no I/O of their own."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("api", "archive", "bench", "catalog", "channels", "decision", "examples", "features", "models", "rules")
FRONTS = {
    "service", "cli", "cli_data", "cli_deliver", "cli_events", "cli_pressure", "cli_serve", "commands", "listening",
}  # fmt: skip


def says_pure(file: Path) -> bool:
    return "Pure" in (ast.get_docstring(parsed(file)) or "")


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


# Replay rests on these: time and randomness are arguments, what they read and write is what they are given.
GOING_OUT = {"batch", "deciding", "doubt", "engine"}  # all else in decision/ is pure
PURE_MODELS = ("encoding", "inputs", "scoring", "probe", "metadata")
PURE = sorted(
    {
        *(ROOT / "rules").glob("*.py"),
        *(file for file in (ROOT / "decision").glob("*.py") if file.stem not in GOING_OUT),
        *(file for room in ("catalog", "features") for file in (ROOT / room).glob("*.py") if says_pure(file)),
        ROOT / "catalog/plan.py",
        ROOT / "catalog/limits.py",
        ROOT / "catalog/calendar.py",
        *(ROOT / f"models/{name}.py" for name in PURE_MODELS),
    }
)
IMPURE_MODULES = {"asyncio", "os", "random", "redis", "secrets", "socket", "subprocess", "time", "uuid"}
ASKING_THE_TIME = {"now", "utcnow", "today"}


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level names of everything that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say where from, in full"
            yield (node.module or "").partition(".")[0]


def test_no_room_imports_the_service_or_the_command_line() -> None:
    rooms = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert len(rooms) > 50
    guilty = [str(file) for file in rooms if FRONTS & set(imported(parsed(file)))]
    assert guilty == []


@pytest.mark.parametrize("file", PURE, ids=lambda file: str(file.relative_to(ROOT)))
def test_pure_code_has_no_clock_no_chance_and_no_io(file: Path) -> None:
    tree = parsed(file)
    assert IMPURE_MODULES & set(imported(tree)) == set()
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), "pure code waits for nothing"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ASKING_THE_TIME, f"line {node.lineno} asks for the time"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input"), f"line {node.lineno} reads or writes"


def test_the_rules_on_layers_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
