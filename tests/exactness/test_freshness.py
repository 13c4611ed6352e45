"""What one worker has acknowledged binds the next decision of every other, though that one's cache is warm and old."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision.record import answer_in
from features import redis_probe
from features.keys import Layout
from features.redis_server import EmbeddedRedis
from tests.exactness.catalogs import EMAIL, IN_APP, write_catalog
from tests.exactness.crew import Crew, Worker
from tests.exactness.messages import Change, Hammer, Heard, Open, Told
from tests.exactness.test_limits import BY_TURNS, KNOWN, WHO
from tests.exactness.truth import check_acknowledged, conflicts, grants, read

TIMES = 1_000
ONCE = Hammer(requests=[{"customer_id": WHO, "channels": [EMAIL, IN_APP]}], times=1, tasks=1)


def changes(kind: str) -> Iterator[tuple[Change, Change]]:
    """Pairs of a change that forbids to contact the customer, and one that allows it again."""
    for at in itertools.count(2, 4):
        if kind == "consent":
            yield (
                Change(customer_id=WHO, consents={"marketing": False}, at=at),
                Change(customer_id=WHO, consents={"marketing": True}, at=at + 2),
            )
        else:
            yield (
                Change(customer_id=WHO, attributes={"tier": "barred"}),
                Change(customer_id=WHO, attributes={"tier": None}),
            )


@pytest.mark.parametrize(("kind", "reason"), [("consent", "no_consent"), ("attribute", "not_eligible")])
def test_one_thousand_times(crew: Crew, url: str, tmp_path: Path, kind: str, reason: str) -> None:
    writer, decider = crew.workers[:2]
    crew.first(2).run(Open(url=url, catalog=str(write_catalog(tmp_path))))
    writer.run(KNOWN)
    assert [(answer.status, answer.reason) for answer in told(decider, ONCE)] == [("decided", "ranked")]
    lost = 0
    for forbid, allow in itertools.islice(changes(kind), TIMES):
        for change, expected in ((forbid, ("nothing", reason)), (allow, ("decided", "ranked"))):
            assert writer.run(change) == []
            (answer,) = told(decider, ONCE)
            assert (answer.status, answer.reason) == expected
            lost += answer.lost
    assert lost >= 2 * TIMES, "the cache was warm: each decision was first made on the state before"


def test_an_opt_out_in_the_midst_of_a_race(
    crew: Crew, server: EmbeddedRedis, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between the acknowledgement of an opt-out and the next opt-in, the stream holds not a single contact."""
    writer, deciders = crew.workers[0], crew.workers[1:3]
    crew.first(3).run(Open(url=url, catalog=str(write_catalog(tmp_path))))
    writer.run(KNOWN)
    stream = Layout().decisions(Layout().partition(WHO))
    answers: list[Told] = []
    spans: list[tuple[str, str]] = []

    def decide(times: int) -> list[Iterator[Heard]]:
        for decider in deciders:
            decider.send(Hammer(requests=BY_TURNS, times=times, tasks=4))
        return [decider.reports() for decider in deciders]

    for forbid, allow in itertools.islice(changes("consent"), 20):
        racing = decide(60)
        answers += [expect(next(reports)) for reports in racing]
        writer.run(forbid)
        after = _last(server, stream)
        answers += map(expect, itertools.chain(*racing, *decide(10)))
        spans.append((after, _last(server, stream)))
        racing = decide(30)
        writer.run(allow)
        answers += map(expect, itertools.chain(*racing))

    between = [body for span in spans for body in _answers(server, stream, *span)]
    with capsys.disabled():
        print(
            f"\n  20 opt-outs in a race: {len(between)} of {len(answers)} decisions between opt-out and opt-in, "
            f"{conflicts(answers)} version conflicts"
        )
    assert len(between) >= 20 * 20
    assert not grants(between)
    truth = read(url, WHO)
    check_acknowledged(truth, answers)
    assert truth.granted == grants(answer.body.encode() for answer in answers)


def told(worker: Worker, command: Hammer) -> list[Told]:
    return [expect(report) for report in worker.run(command)]


def expect(report: Heard) -> Told:
    assert isinstance(report, Told)
    assert report.degraded == []
    return report


def _last(server: EmbeddedRedis, stream: str) -> str:
    entries = redis_probe.ask(server.socket_path, "XREVRANGE", stream, "+", "-", "COUNT", "1")
    return str(entries[0][0].decode()) if entries else "0"


def _answers(server: EmbeddedRedis, stream: str, after: str, until: str) -> list[bytes]:
    entries = redis_probe.ask(server.socket_path, "XRANGE", stream, f"({after}", until)
    return [answer_in(fields[3]) for _, fields in entries]
