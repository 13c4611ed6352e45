"""How long requests took: added up in plain numbers, brought in when the metrics are asked for, as in api.metrics."""

from bisect import bisect_left

from prometheus_client import CollectorRegistry, Histogram

BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Their upper ends, in seconds."""


class Durations:
    """One histogram, of one worker."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(name, documentation, buckets=BUCKETS, registry=registry)
        self._took = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def took(self, seconds: float) -> None:
        """One request was answered, after so long."""
        self._took[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def refresh(self) -> None:
        """Brings in what was added up since."""
        # As observing each would, for which there is no public way.
        for bucket, count in zip(self._histogram._buckets, self._took, strict=True):
            bucket.inc(count)
        self._histogram._sum.inc(self._seconds)
        self._took, self._seconds = [0] * len(self._took), 0.0
