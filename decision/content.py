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
        return dict(treatment.content.render(_Attributes(plan, frame), frame.context))
    except RenderError:
        return None


class _Attributes(dict[str, Any]):
    """A customer's attributes; derived ones are computed when the text asks for them."""

    def __init__(self, plan: Plan, frame: Frame) -> None:
        super().__init__(frame.customer)
        self._plan = plan
        self._frame = frame

    def __missing__(self, name: str) -> Any:
        derived = self._plan.derived.get(name)
        if derived is None:
            raise KeyError(name)
        try:
            return derived(self._frame)
        except EvaluationError:
            raise KeyError(name) from None
