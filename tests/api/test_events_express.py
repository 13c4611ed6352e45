"""/events on the express way: the same answers as without, beside /next-action on the same connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from features.redis_server import EmbeddedRedis
from tests.api.serving import EVENTS_CATALOG, Server, serving, settings
from tests.api.test_express import HEAD, Counting, answers, in_turn, taken

EVENTS = HEAD.replace(b"/next-action", b"/events")
BODY = b'{"id":"e-1","customer_id":"express","type":"login"}'
REFUSED = b'{"id":"e-1","customer_id":"express","type":""}'
BATCH = b"[" + BODY + b"," + REFUSED + b"]"
DECISION = b'{"customer_id": "express", "dry_run": true}'
CLOUD = b"Ce-Specversion: 1.0\r\nCe-Id: %d\r\nCe-Source: /a\r\nCe-Type: login\r\nCe-Subject: express\r\n"


def request(body: bytes, head: bytes = EVENTS) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("express")) as redis:
        chosen = settings(redis_url=redis.url, catalog=EVENTS_CATALOG, body_limit=4096)
        express = f"{Counting.__module__}:{Counting.__name__}"
        with serving(chosen, "httptools") as plain, serving(chosen, express) as quick:
            for sent in (request(BODY), request(b"{}", EVENTS + CLOUD % 1)):  # from here on they are known to both
                answers(plain, sent)
            yield {"plain": plain, "express": quick}


LONG = json.dumps([json.loads(BODY) | {"properties": {"text": "x" * 20_000}} for _ in range(20)]).encode()
REQUESTS: dict[str, tuple[bytes, ...]] = {
    "one": (request(BODY),),
    "refused": (request(REFUSED),),
    "a batch": (request(BATCH),),
    "an empty batch": (request(b"[]"),),
    "in two pieces": (request(BODY)[:100], request(BODY)[100:]),
    "byte by byte": tuple(bytes([byte]) for byte in request(BODY)),
    "three in one": (request(BODY) * 3,),
    "chunked": (EVENTS + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),),
    "a GET": (EVENTS.replace(b"POST", b"GET") + b"\r\n",),
    "with a query": (request(BODY, EVENTS.replace(b"/events", b"/events?x=1")),),
    "longer than others may be": (request(LONG),),
    "too long": (EVENTS + b"Content-Length: 512001\r\n\r\n",),
    "not JSON": (request(b"{]}"),),
    "another media type": (request(BODY, EVENTS.replace(b"application/json", b"text/plain")),),
    "a cloud event's": (request(b"{}", EVENTS + CLOUD % 1),),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_answer_alike(both: dict[str, Server], name: str) -> None:
    count = 3 if name == "three in one" else 1
    plain, express = (answers(both[way], *REQUESTS[name], count=count) for way in ("plain", "express"))
    assert express == plain
    assert len(plain) == count


def test_the_express_way_is_taken(both: dict[str, Server]) -> None:
    for name in ("one", "a batch", "longer than others may be", "a cloud event's"):
        taken.clear()
        assert answers(both["express"], *REQUESTS[name])[0][0] == 200
        assert taken == [b"/events"]


def test_the_limit_of_decisions_stays(both: dict[str, Server]) -> None:
    for server in both.values():
        assert answers(server, request(b" " * 5000, HEAD))[0][2] == "body_too_large"


def test_both_paths_on_one_connection(both: dict[str, Server]) -> None:
    """The same length of body, again and again: each head means what it says."""
    same = request(BODY.ljust(60), EVENTS), request(DECISION.ljust(60), HEAD)
    found: dict[str, list[Any]] = {}
    for way, server in both.items():
        found[way] = in_turn(server, *[(each,) for each in same * 3])
    assert found["express"] == found["plain"]
    assert [meaning for _, _, meaning in found["plain"]] == ["duplicate", "decided"] * 3


def test_a_head_with_another_event_in_it_is_another_head(both: dict[str, Server]) -> None:
    for number, server in enumerate(both.values()):
        sent = [(request(b"{}", EVENTS + CLOUD % (100 * number + each)),) for each in (10, 11, 10, 12)]
        assert [meaning for _, _, meaning in in_turn(server, *sent)] == ["stored", "stored", "duplicate", "stored"]
