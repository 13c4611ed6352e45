"""Ways: what two clients do, one after the other, so that a defect shows for certain and not only most of the time.

On the code as it is they must all end without a violation.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.history.cluster import Cluster
from tests.history.limits import BUDGET, KEPT_ANYWAY, SECOND, VALID_FOR
from tests.history.log import OWN
from tests.history.operations import Completed, Outcome, now
from tests.history.proxy import Mode
from tests.history.session import Session, Shown, shown
from tests.history.worker import Skew

PATIENT = 100  # tries: on the way to a defect nothing is given up
TOLD_APART = 5000  # microseconds: the log has whole milliseconds, so what is closer proves nothing


class Scene:
    """A cluster of two workers, or of one, a client at each, and a customer who may be contacted and is known there."""

    def __init__(self, cluster: Cluster, customer: str) -> None:
        self.cluster = cluster
        self.customer = customer
        self.first, self.second = [
            Session(f"{customer}-{number}", cluster.histories, [port], tries=PATIENT)
            for number, port in enumerate((cluster.ports[0], cluster.ports[-1]))
        ]
        self._asked = 0
        acknowledged(self.first.attribute(customer))
        acknowledged(self.first.consent(customer, True))
        for client in (self.first, self.second):
            self.ask(client)

    def ask(self, client: Session, channel: str = "sms") -> list[Shown]:
        self._asked += 1
        return self.ask_as(client, f"r-{self.customer}-{self._asked}", channel)

    def ask_as(self, client: Session, key: str, channel: str = "sms", by: str = "") -> list[Shown]:
        answer = client.decide(by or self.customer, key, [channel])
        acknowledged(answer)
        return shown(self.customer, answer)

    def close(self) -> None:
        self.first.close()
        self.second.close()


def acknowledged(done: Completed) -> None:
    assert done.outcome is Outcome.OK, done


def told_apart() -> None:
    """What is written from now on stands in the log later than all that was acknowledged."""
    began = now()
    while now() < began + TOLD_APART:
        time.sleep(0.001)


def by_turns(scene: Scene) -> None:
    for client in (scene.first, scene.second) * 2:
        scene.ask(client)


def after_a_power_loss(scene: Scene) -> None:
    """The first worker remembers a state that was lost; by the time it decides, another has got that state's number."""
    older, since = scene.cluster.copy_data()
    scene.ask(scene.first)
    scene.ask(scene.first)
    scene.cluster.lose_power(older, since)
    scene.ask(scene.second)
    acknowledged(scene.second.consent(scene.customer, False))
    told_apart()
    scene.ask(scene.first)


def asked_twice(scene: Scene) -> None:
    for client in (scene.first, scene.second):
        scene.ask_as(client, f"r-{scene.customer}-again")


def withdrawn_elsewhere(scene: Scene) -> None:
    acknowledged(scene.first.consent(scene.customer, False))
    scene.ask(scene.second)


def agreed_elsewhere(scene: Scene) -> None:
    acknowledged(scene.second.consent(scene.customer, False))
    acknowledged(scene.first.consent(scene.customer, True, dated=False))
    told_apart()
    scene.ask(scene.second)


def withdrawn_by_another_clock(scene: Scene) -> None:
    """The yes is dated by a worker's clock that is ahead, as its caller's is; the no that follows by a caller's that is
    behind. No more than half a second lies between what they say and what is.
    """
    scene.ask(scene.first)  # so that no reply puts the clock right before the yes is dated
    scene.cluster.workers[0].skew(Skew(0.2))
    scene.first.off, scene.second.off = 2.0, -0.25
    acknowledged(scene.first.consent(scene.customer, True))
    acknowledged(scene.second.consent(scene.customer, False))
    told_apart()
    scene.ask(scene.second)


def past_all_windows(scene: Scene) -> None:
    """More contacts than are kept anyway that no window counts any more, and more than these that one does."""
    for _ in range(KEPT_ANYWAY + 10):
        scene.ask(scene.first)
    began = now()
    while now() < began + 2 * SECOND:
        scene.ask(scene.first, "email")
    for _ in range(KEPT_ANYWAY + 30):
        scene.ask(scene.first)


def sent_twice(scene: Scene) -> None:
    for client in (scene.first, scene.second):
        acknowledged(client.event(scene.customer, f"e-{scene.customer}"))


def failed_twice(scene: Scene) -> None:
    """Of three parcels, which are as many as may be under way, one has failed: that gives back one place."""
    *_, last = [contact for _ in range(3) for contact in scene.ask(scene.first, "courier")]
    for kind in ("failed", "bounced"):
        acknowledged(scene.second.respond(last, kind))
    for _ in range(2):
        scene.ask(scene.first, "courier")


def failed_though_it_counts(scene: Scene) -> None:
    """The only letter there is counts from its decision on, whatever becomes of it."""
    (letter,) = scene.ask(scene.first, "email")
    acknowledged(scene.second.respond(letter, "failed"))
    scene.ask(scene.first, "email")


def seen_late(scene: Scene) -> None:
    """As many popups as may be are shown for so long that their answer no longer stands, and then told of."""
    late = [contact for _ in range(2) for contact in scene.ask(scene.first, "overlay")]
    time.sleep(VALID_FOR["popup"] / SECOND)
    for contact in late:
        acknowledged(scene.second.respond(contact, "impression"))
    scene.ask(scene.first, "overlay")


def merged_with_a_cookie(scene: Scene) -> None:
    """Who got their only letter as somebody else, by another id."""
    cookie = f"{scene.customer}{OWN}cookie"
    acknowledged(scene.first.attribute(cookie))
    acknowledged(scene.first.consent(cookie, True))
    scene.ask_as(scene.first, f"r-{cookie}", "email", by=cookie)
    acknowledged(scene.second.merge(cookie, scene.customer))
    told_apart()
    scene.ask(scene.first, "email")


def spent_over_a_power_loss(scene: Scene) -> None:
    """The budget is spent, and what was spent last forgotten: so much may be spent again, and no more."""
    for _ in range(BUDGET - 5):
        scene.ask(scene.first, "post")
    older, since = scene.cluster.copy_data()
    for _ in range(7):
        scene.ask(scene.second, "post")
    scene.cluster.lose_power(older, since)
    for client in (scene.first, scene.second) * 5:
        scene.ask(client, "post")


def erased_after_a_no(scene: Scene) -> None:
    """Who comes back by the same id, has still said no, but only that."""
    acknowledged(scene.first.consent(scene.customer, False))
    acknowledged(scene.second.erase(scene.customer))
    told_apart()
    acknowledged(scene.first.attribute(scene.customer))
    for client in (scene.first, scene.second):
        scene.ask(client)


def by_a_fast_clock(scene: Scene) -> None:
    for _ in range(4):
        scene.ask(scene.first, "email")
    scene.cluster.workers[0].skew(Skew(5.0))
    scene.ask(scene.first, "email")


def by_a_slow_clock(scene: Scene) -> None:
    """So long after the last commit that the slow clock is not before it: that is refused by another comparison."""
    scene.ask(scene.first)  # so that no reply puts the clock right before it decides
    time.sleep(0.55)
    scene.cluster.workers[0].skew(Skew(-0.5))
    scene.ask(scene.first)


def cut_and_refused(scene: Scene) -> None:
    """A decision whose connection breaks before Redis reads its commit, which comes when others have decided since."""
    proxy, key = scene.cluster.workers[0].proxy, f"r-{scene.customer}-cut"
    proxy.set(Mode.HOLD)
    with ThreadPoolExecutor(1) as meanwhile:
        asked = meanwhile.submit(scene.first.decide, scene.customer, key, ["sms"], deadline_ms=2000, tries=1)
        proxy.holds(b"EVALSHA")
        scene.ask(scene.second)
        proxy.cut()
        answered = asked.result()
    proxy.set(Mode.OPEN)
    if answered.outcome is not Outcome.OK:
        scene.ask_as(scene.first, key)


def late_and_refused(scene: Scene) -> None:
    """An event whose commit arrives when the customer has moved on: nobody waits for it any more by then."""
    proxy = scene.cluster.workers[0].proxy
    proxy.set(Mode.HOLD)
    sent = scene.first.event(scene.customer, f"e-{scene.customer}", tries=1)
    scene.ask(scene.second)
    proxy.set(Mode.OPEN)
    if sent.outcome is not Outcome.OK:
        acknowledged(scene.first.event(scene.customer, f"e-{scene.customer}"))
