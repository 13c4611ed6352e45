"""The benchmark harness itself, at the smallest size: real servers, real load, numbers that add up."""

import pytest

import bench.__main__ as harness
import bench.events as harness_of_events
from bench.catalogs import catalog
from bench.load import Load
from bench.servers import baseline, measure
from bench.table import report


def test_generated_catalogs_are_the_same_every_time() -> None:
    assert catalog(20) == catalog(20)
    assert catalog(20) != catalog(20, seed=8)


@pytest.mark.parametrize("rate", [0.0, 200.0], ids=["closed", "open"])
def test_the_load_generator_counts_what_it_sends(rate: float) -> None:
    with baseline("bare_asgi") as port:
        measured = measure(Load("127.0.0.1", port, "/next-action", ["{}"], 4, 0.5, 0.1, rate))
    assert measured.errors == 0
    assert measured.requests > 20
    assert 0 < measured.p50 <= measured.p99 <= measured.worst
    if rate:
        assert measured.requests <= rate * measured.seconds + 4


def test_refused_requests_are_errors() -> None:
    with baseline("empty_fastapi") as port:
        measured = measure(Load("127.0.0.1", port, "/next-action", ['{"no": 1}'], 2, 0.3, 0.1))
    assert measured.errors == measured.requests > 0


def test_one_short_round_of_everything(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(harness, "ACTIONS", 20)
    monkeypatch.setattr(harness, "CUSTOMERS", 50)
    results = {"next-action": harness.next_action(1, 0.5), "rules": harness.rules(20, 40)}
    report(results)
    shown = capsys.readouterr().out
    assert all(f"| {label} |" in shown for numbers in results.values() for label in numbers)
    ours, theirs = results["next-action"]["tino"], results["next-action"]["empty FastAPI"]
    assert results["next-action"]["ratio to empty FastAPI"] == pytest.approx(ours / theirs)


def test_one_short_round_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness_of_events, "CUSTOMERS", 20)
    numbers = harness_of_events.over_http(1, 0.5)
    ours, theirs = numbers["one by one, a second"], numbers["empty FastAPI, requests, a second"]
    assert numbers["one by one: ratio to empty FastAPI"] == pytest.approx(ours / theirs)
    imported = harness_of_events.from_a_file(2_000)
    assert imported["rows"] == 2_000
    assert imported["imported, a second"] > 0
