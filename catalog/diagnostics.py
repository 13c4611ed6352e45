"""What is wrong, or doubtful, in a catalog, and where.

CatalogError       the catalog can't be loaded; carries every diagnostic found, not only the first
RenderError        a treatment's text has a hole for this customer; the treatment can't be shown
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `line` and `column` count from 1 in `file`; `path` names the field (`actions.welcome.value`).

    `code` is stable and made for programs; `message` is made for people and names the field, the value found and what
    would be right.
    """

    severity: Severity
    code: str
    message: str
    file: str
    line: int
    column: int
    path: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.code}]"


class CatalogError(Exception):
    """A catalog that can't be loaded; `diagnostics` holds all that was found, warnings too, in file order."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))


class RenderError(Exception):
    """A text that can't be rendered for this customer: an attribute is missing, or of no use to a filter."""
