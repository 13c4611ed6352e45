"""A request id gets one answer, whoever asks and however often, and counts once."""

from pathlib import Path
from typing import Any

import pytest

from tests.exactness.catalogs import EMAIL, IN_APP, at_most, write_catalog
from tests.exactness.crew import Crew
from tests.exactness.messages import Change, Hammer, Open, Refused, Told
from tests.exactness.test_limits import KNOWN, WHO
from tests.exactness.truth import check_consistent, read

ASK: dict[str, Any] = {
    "customer_id": WHO,
    "channels": [EMAIL, IN_APP],
    "limit": 2,
    "request_id": "r-1",
    "context": {"page": "pricing", "device": "phone"},
}


@pytest.fixture
def pair(crew: Crew, url: str, tmp_path: Path) -> Crew:
    """Two workers, and a customer who may be contacted."""
    two = crew.first(2)
    two.run(Open(url=url, catalog=str(write_catalog(tmp_path, at_most(1000)))))
    two.workers[0].run(KNOWN)
    return two


def ask(workers: Crew, *requests: dict[str, Any], times: int = 1, caller: str = "key") -> list[Told]:
    return workers.told(Hammer(requests=list(requests), times=times, caller=caller))


def test_asked_by_all_at_once(pair: Crew, url: str) -> None:
    told = ask(pair, ASK, times=100)
    assert len({answer.body for answer in told}) == 1
    assert [answer.repeated for answer in told].count(False) == 1
    assert {(answer.status, answer.reason) for answer in told} == {("decided", "ranked")}
    truth = read(url, WHO)
    assert len(truth.answers) == 1
    assert sorted(contact.channel for contact in truth.customer.contacts) == [EMAIL, IN_APP]
    assert len(truth.sent) == 1
    check_consistent(truth)


def test_many_ids_at_once(pair: Crew, url: str) -> None:
    """Both workers send the same hundred requests, each of them twice."""
    hundred = [{**ASK, "limit": 1, "request_id": f"r-{number}"} for number in range(100)]
    told = ask(pair, *hundred, times=200)
    assert len({answer.body for answer in told}) == 100
    truth = read(url, WHO)
    assert set(truth.asked.values()) == {1}
    assert truth.granted.total() == len(truth.asked) == 100
    check_consistent(truth)


def test_neither_the_deadline_nor_the_order_of_names_makes_another_request(pair: Crew) -> None:
    swapped = {"page": ASK["context"]["page"], "device": ASK["context"]["device"]}
    reordered = {"context": dict(reversed(swapped.items())), **{name: ASK[name] for name in reversed(ASK)}}
    same = [ASK, {**ASK, "deadline_ms": 60_000}, {**ASK, "deadline_ms": 59_999}, reordered, {**ASK, "dry_run": False}]
    assert len({answer.body for answer in ask(pair, *same, times=20)}) == 1


@pytest.mark.parametrize(
    "change", [{"limit": 1}, {"channels": [EMAIL]}, {"context": {"page": "home"}}, {"placements": ["banner"]}], ids=str
)
def test_an_id_is_refused_with_another_body(pair: Crew, url: str, change: dict[str, Any]) -> None:
    (first,) = ask(Crew(pair.workers[:1]), ASK)
    reports = pair.run(Hammer(requests=[{**ASK, **change}], times=5))
    assert [report.code for report in reports if isinstance(report, Refused)] == ["request_id_reused"] * 10
    assert {answer.body for answer in ask(pair, ASK)} == {first.body}
    assert len(read(url, WHO).answers) == 1


def test_two_bodies_race_for_one_id(pair: Crew, url: str) -> None:
    """One of them wins; every other request is either the same, and gets its answer, or refused."""
    reports = pair.run(Hammer(requests=[ASK, {**ASK, "limit": 1}], times=40))
    told = [report for report in reports if isinstance(report, Told)]
    assert len({answer.body for answer in told}) == 1
    assert len(told) == len(reports) // 2
    assert len(read(url, WHO).answers) == 1


def test_nothing_is_remembered_too(pair: Crew, url: str) -> None:
    writer = pair.workers[0]
    writer.run(Change(customer_id=WHO, consents={"marketing": False}, at=2))
    told = ask(pair, ASK, times=10)
    assert {(answer.status, answer.reason) for answer in told} == {("nothing", "no_consent")}
    writer.run(Change(customer_id=WHO, consents={"marketing": True}, at=4))
    assert {answer.body for answer in told + ask(pair, ASK, times=10)} == {told[0].body}
    assert {answer.status for answer in ask(pair, {**ASK, "request_id": "r-2"})} == {"decided"}
    truth = read(url, WHO)
    assert truth.asked == {"r-1": 1, "r-2": 1}
    assert len(truth.customer.contacts) == 2


def test_nothing_is_remembered_for_someone_unknown(pair: Crew, url: str) -> None:
    stranger = {**ASK, "customer_id": "stranger"}
    first = ask(pair, stranger, times=10)
    pair.workers[0].run(Change(customer_id="stranger", consents={"marketing": True}, at=1))
    assert {answer.status for answer in first} == {"nothing"}
    assert {answer.body for answer in first + ask(pair, stranger)} == {first[0].body}
    assert len(read(url, "stranger").answers) == 1


def test_ids_belong_to_a_customer_and_a_caller(pair: Crew, url: str) -> None:
    pair.workers[0].run(Change(customer_id="c-43", attributes={"email": "d@example.com"}, consents={"marketing": True}))
    answers = [
        {answer.body for answer in ask(pair, {**ASK, "customer_id": customer}, times=10, caller=caller)}
        for customer in (WHO, "c-43")
        for caller in ("key", "another key")
    ]
    assert [len(bodies) for bodies in answers] == [1, 1, 1, 1]
    assert len(set.union(*answers)) == 4
    for customer in (WHO, "c-43"):
        truth = read(url, customer)
        assert truth.asked == {"r-1": 2}
        check_consistent(truth)
