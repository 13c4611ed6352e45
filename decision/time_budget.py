"""The budget of time: what of a decision still fits into the time that is left. All times are in seconds.

The time left is what the caller gave, less what waiting for the customer's turn and loading them took. What does not
fit is left out, in this order:

1. asking models: the answer does without the treatments that they score, and says `model`;
2. trying again, when a commit has found that the customer changed: `contention`;
3. deciding at all: `deadline`. A commit whose reply can't be there in time would only make the answer provisional.

What a run of the models takes is measured, run by run. A run can't be broken off, so one that takes longer than ever
makes its own answer late, and that of everybody who came meanwhile; the next ones do without. Whatever made it slow may
be over soon, so a run is tried again, but by time and not by requests, of which there may be any number: after one of s
seconds the estimate stays for twenty times s, then halves with every further s. So runs that are too slow take less
than a twentieth of all time, and a trial is mostly for who has the most time.

Pure: the caller has the clock.
"""

from enum import IntEnum

FOR_COMMIT = 0.0003  # a round trip to a Redis near by, when nothing else is going on
FOR_ANOTHER_TRY = 0.001  # who has lost once is likely to be late, or to lose again
WEIGHT = 0.2  # of the latest run in the estimate
REST = 20.0  # runs' length for which the estimate stays as it is


class Fits(IntEnum):
    """How much of a decision there is time for; each includes those before."""

    NOTHING = 0
    WITHOUT_MODELS = 1
    ALL = 2


def what_fits(left: float, models: float, lost: int) -> Fits:
    """`left` is the time until the answer is due, `models` what asking the models usually takes, `lost` how many tries
    were lost before this one.
    """
    least = FOR_ANOTHER_TRY if lost else FOR_COMMIT
    if left < least:
        return Fits.NOTHING
    return Fits.ALL if left >= least + models else Fits.WITHOUT_MODELS


class Usual:
    """What a run of one plan's models usually takes. Moments are in seconds of a monotonic clock."""

    __slots__ = ("_ended", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._ended = 0.0

    def at(self, now: float) -> float:
        """Seconds, for a run that would begin at `now`; 0.0 before the first."""
        seconds = self._seconds
        too_long_ago = now - self._ended - REST * seconds
        if too_long_ago <= 0.0 or seconds == 0.0:
            return seconds
        return float(seconds * 0.5 ** (too_long_ago / seconds))

    def took(self, seconds: float, now: float) -> None:
        """A run ended at `now`. One that took longer counts at once, one that was shorter by and by: late answers cost
        more than rich ones are worth.
        """
        before = self.at(now - seconds)
        self._seconds = max(seconds, before + WEIGHT * (seconds - before))
        self._ended = now
