"""High water: Redis' memory is nearly full, so that what is left of it is for consents and events.

A decision is what takes most memory, and what can best be done without: the fallback is an answer, while a withdrawal
of consent that isn't stored is a promise broken. So decisions stop being written while a tenth of the memory is left.
The archiver, which trims what it has written, or a larger `maxmemory` ends it. How much is used is asked once a second;
while Redis doesn't answer, what it said last stands.
"""

from features.durable import is_full, parse_info
from features.link import Link
from features.rounds import Rounds

SHARE = 0.9
LOOK_EVERY = 1.0  # seconds
WITHIN = 1.0


class HighWater:
    """`reached` says whether there is a bound, and this share of it is used."""

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached = False

    async def keep_looking(self, link: Link) -> None:
        """Runs until cancelled."""

        async def look() -> None:
            self.reached = is_full(parse_info(await link.ask("INFO", "memory", within=WITHIN)), SHARE)

        await Rounds("looking how full Redis is", look, LOOK_EVERY).go()
