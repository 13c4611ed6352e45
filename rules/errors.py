"""Errors of this room.

RuleError          an expression that can't be loaded; says where and what would be right
EvaluationError    CEL's error value: the expression has no answer for this customer (missing attribute, overflow …)
"""


class RuleError(ValueError):
    """An expression that can't be loaded. `line` and `column` count from 1 inside the expression's own text."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column


class EvaluationError(Exception):
    """CEL's error value. `&&` and `||` absorb it; a rule that ends in it does not match."""
