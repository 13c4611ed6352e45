"""What is counted of events: in plain numbers, brought in when the metrics are asked for, as in api.metrics."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from api.durations import Durations
from api.event_answers import REFUSED, STORED, EventAnswer

OTHER = "other"
UNKNOWN_TYPE, LATE, UNANSWERING = "unknown_type", "late", ("no_contact", "no_decision")


class EventCounts:
    """The numbers of one worker. By type only those are told apart that the catalog knows: callers make up the rest."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter("tino_events", "Events answered.", ("status",), registry=registry)
        self._types = Counter("tino_events_stored", "Events stored, by type.", ("type",), registry=registry)
        self._codes = Counter("tino_events_refused", "Events refused, by reason.", ("code",), registry=registry)
        self._late = Counter(
            "tino_events_late", "Events by which a contact counts though its answer had expired.", registry=registry
        )
        self._unanswering = Counter(
            "tino_events_unanswering", "Outcomes that answer no contact, by why.", ("note",), registry=registry
        )
        self._durations = Durations("tino_events_seconds", "From a request's body to its answer.", registry)
        self._told: Tally[str] = Tally()
        self._stored: Tally[str] = Tally()
        self._refused: Tally[str] = Tally()
        self._answered_nothing: Tally[str] = Tally()
        self._were_late = 0

    def answered(self, told: Sequence[EventAnswer], types: Sequence[str], seconds: float) -> None:
        """One answered request: what became of its events, and their types."""
        self._durations.took(seconds)
        self._told.update([each.status for each in told])
        for each, kind in zip(told, types, strict=True):
            if each.status == STORED:
                self._stored[OTHER if UNKNOWN_TYPE in each.notes else kind] += 1
                if each.notes:
                    self._were_late += LATE in each.notes
                    self._answered_nothing.update(note for note in each.notes if note in UNANSWERING)
            elif each.status == REFUSED:
                self._refused[each.code] += 1

    def refresh(self) -> None:
        for counter, tally in (
            (self._events, self._told),
            (self._types, self._stored),
            (self._codes, self._refused),
            (self._unanswering, self._answered_nothing),
        ):
            for label, count in tally.items():
                counter.labels(label).inc(count)
            tally.clear()
        self._late.inc(self._were_late)
        self._were_late = 0
        self._durations.refresh()
