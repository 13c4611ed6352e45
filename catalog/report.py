"""Report: collects what is found, each finding at its place in the files."""

import difflib
from collections.abc import Iterable

from catalog.diagnostics import Diagnostic, Severity
from catalog.nodes import Mark, Path
from catalog.sources import Sources


class Report:
    """Findings about a catalog's `sources`, in the order found."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.diagnostics = list(sources.diagnostics)

    @property
    def failed(self) -> bool:
        return any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def error(self, code: str, path: Path, message: str, at_key: bool = False) -> None:
        self.add("error", code, path, message, self.sources.mark(path, at_key))

    def warning(self, code: str, path: Path, message: str, at_key: bool = False) -> None:
        self.add("warning", code, path, message, self.sources.mark(path, at_key))

    def error_inside(self, code: str, path: Path, message: str, line: int, column: int) -> None:
        """An error at a line and column, from 1, of the text at `path`."""
        self.add("error", code, path, message, self.sources.mark_inside(path, line, column))

    def add(self, severity: Severity, code: str, path: Path, message: str, mark: Mark) -> None:
        diagnostic = Diagnostic(severity, code, message, mark.file, mark.line, mark.column, ".".join(path))
        self.diagnostics.append(diagnostic)

    def in_order(self) -> list[Diagnostic]:
        """Everything found, by file and line, each finding once."""
        return sorted(set(self.diagnostics), key=lambda found: (found.file, found.line, found.column, found.message))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message: the closest of `known`, else the few there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"; did you mean `{close[0]}`?"
    if not names:
        return "; none is declared"
    shown = ", ".join(names[:8])
    return f"; known: {shown}{' …' if len(names) > 8 else ''}"


def counted(count: int, noun: str) -> str:
    """How many there are, in words: 1 row, 2 rows."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
