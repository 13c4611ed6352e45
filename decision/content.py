"""Content: a winner's texts, rendered. A text that needs what the customer lacks yields no content at all: better
another action than a greeting with a hole in it.
"""

from typing import Any

from catalog.diagnostics import RenderError
from catalog.plan import Plan, Treatment
from rules.errors import EvaluationError
from rules.programs import Frame


def render(plan: Plan, treatment: Treatment, frame: Frame) -> dict[str, Any] | None:
    """The treatment's content, None when it can't be rendered for this customer."""
    try:
        customer = _Attributes(plan, frame) if plan.derived else frame.customer
        return treatment.content.render(customer, frame.context)
    except RenderError:
        return None


class _Attributes:
    """A customer's attributes; derived ones are computed when the text asks for them."""

    __slots__ = ("_frame", "_plan")

    def __init__(self, plan: Plan, frame: Frame) -> None:
        self._plan = plan
        self._frame = frame

    def __getitem__(self, name: str) -> Any:
        known = self._frame.customer.get(name)
        if known is not None:
            return known
        derived = self._plan.derived.get(name)
        if derived is None:
            raise KeyError(name)
        try:
            return derived(self._frame)
        except EvaluationError:
            raise KeyError(name) from None
