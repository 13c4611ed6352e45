"""The `tino` command, run as a user runs it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.ready import Call, Ready
from tests.replayed import made_again_under

TINO = Path(sys.executable).with_name("tino")
Tino = Callable[..., subprocess.CompletedProcess[str]]

CATALOG = """\
catalog: 1
name: tiny
customer: {first_name: string, visits: int, email: string}
purposes: [marketing]
channels:
  in_app: {direction: inbound}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  hello: {value: 1, treatments: {in_app: {title: "Hello :100: [b]{{ customer.first_name | default('you') }}[/]"}}}
  regulars: {eligible: customer.visits > 3, value: 9, treatments: {in_app: {title: Thanks}, email: {subject: Thanks}}}
contact_policies:
  daily: {limit: 2, rolling: 1d, scope: {channel: in_app}}
  weekly: {limit: 100, rolling: 7d, scope: {channel: email}}
"""
CUSTOMERS = "customer_id,first_name,visits,email,consent:marketing\na,Ana,5,a@example.com,yes\nb,Bea,1,,\n"


def environment(**more: str) -> dict[str, str]:
    """Ours without anything that would configure Tino."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith(("TINO_", "REDIS_"))}
    return {**plain, "COLUMNS": "200", **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where commands run: with a catalog and a file of customers."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    (tmp_path / "customers.csv").write_text(CUSTOMERS)
    return tmp_path


@pytest.fixture(autouse=True)
def _made_again(tmp_path: Path) -> Iterator[None]:
    """Whatever the test's commands and services decided."""
    yield
    made_again_under(tmp_path)


@pytest.fixture(scope="session")
def ready() -> Iterator[Ready]:
    with Ready(environment()) as waiting:
        yield waiting


@pytest.fixture
def tino(folder: Path, ready: Ready) -> Tino:
    """Runs `tino` with the arguments given; whatever it is told, it never ends in a traceback."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = ready.run(Call([str(each) for each in arguments], str(folder), environment(**variables)))
        assert "Traceback" not in done.stderr + done.stdout
        done.stderr = re.sub(r"\Adata: .*\n", "", done.stderr)  # which every command says: see test_data.py
        return done

    return run
