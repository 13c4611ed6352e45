"""Budgets of a worker that kills itself, as `kill -9` would, right after a step of a transfer."""

import os
import signal
from dataclasses import dataclass

from catalog.limits import BudgetPlan
from features.accounts import Accounts, Transfer
from features.budgets import Budgets
from features.deadline import Deadline


@dataclass
class Death:
    """Comes after `step` was done so many `times`."""

    step: str
    times: int

    def did(self, step: str) -> None:
        if step == self.step:
            self.times -= 1
            if self.times == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalBudgets(Budgets):
    death: Death

    def _accounts(self, budget: BudgetPlan, now: int, deadline: Deadline) -> Accounts:
        accounts = MortalAccounts(self._link, self._layout, budget.period(now), now, deadline, self._script)
        accounts.death = self.death
        return accounts


class MortalAccounts(Accounts):
    death: Death

    async def give(self, partition: int, limit: int, needed: int) -> Transfer | None:
        given = await super().give(partition, limit, needed)
        if given is not None:
            self.death.did("give")
        return given

    async def credit(self, partition: int, transfer: Transfer) -> int:
        left = await super().credit(partition, transfer)
        self.death.did("credit")
        return left

    async def withdraw(self, partition: int) -> Transfer | None:
        withdrawn = await super().withdraw(partition)
        if withdrawn is not None:
            self.death.did("withdraw")
        return withdrawn

    async def take_back(self, partition: int, transfer: Transfer) -> None:
        await super().take_back(partition, transfer)
        self.death.did("take_back")
