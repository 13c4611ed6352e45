"""Inside a worker, requests for one customer take turns: two of them would only make each other's commit fail."""

import asyncio
from collections import deque
from collections.abc import Callable

from features.deadline import Deadline


class Turns:
    """Per customer, one at a time, first come first served; but some go ahead of all others, in their own order.

    A free turn costs one dictionary entry.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._ahead: dict[str, int] = {}  # so many at the front of a customer's line go ahead of the rest

    def in_line(self, customer_id: str) -> int:
        """How many wait for the customer's turn."""
        queue = self._waiting.get(customer_id)
        return 0 if queue is None else len(queue)

    def take_free(self, customer_id: str) -> bool:
        """Takes the turn if nobody has it. Who got True must `give` it back."""
        if customer_id in self._waiting:
            return False
        self._waiting[customer_id] = deque()
        return True

    async def take(self, customer_id: str, deadline: Deadline, *, ahead: bool = False) -> bool:
        """Waits for the turn, `ahead` of those who don't ask for that; False when the deadline passed first.

        Who got True must `give` it back.
        """
        if self.take_free(customer_id):
            return True
        queue = self._waiting[customer_id]
        turn = asyncio.get_running_loop().create_future()
        if ahead:
            others = self._ahead.get(customer_id, 0)
            queue.insert(others, turn)
            self._ahead[customer_id] = others + 1
        else:
            queue.append(turn)
        try:
            await asyncio.wait((turn,), timeout=deadline.left())
        except asyncio.CancelledError:
            if not turn.cancel():
                self.give(customer_id)
            raise
        return not turn.cancel()

    async def all_passed(self, deadline: Callable[[], Deadline]) -> None:
        """Returns when everybody who has a turn, or waits for one, has given it back.

        Nobody who was there stands behind one who comes now: whoever gets a turn as the last has seen them leave.
        """
        for customer_id in list(self._waiting):
            while not await self.take(customer_id, deadline()):
                pass
            self.give(customer_id)

    def give(self, customer_id: str) -> None:
        """Passes the turn to the next in line."""
        queue = self._waiting[customer_id]
        while queue:
            turn = queue.popleft()
            if self._ahead:
                self._one_less_ahead(customer_id)
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[customer_id]

    def _one_less_ahead(self, customer_id: str) -> None:
        ahead = self._ahead.pop(customer_id, 0)
        if ahead > 1:
            self._ahead[customer_id] = ahead - 1
