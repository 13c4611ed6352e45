"""Sources: the file, or the directory of files, that a catalog is written in, merged into one mapping."""

from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from catalog.compose import MAX_NODES, compose
from catalog.diagnostics import Diagnostic
from catalog.nodes import Mapping, Mark, Path, Scalar, plain, steps
from catalog.places import locate, offset_in

MAX_BYTES = 16 * 2**20
# Sections a directory's files may share out key by key; every other top-level key belongs to one file.
MERGED = (
    *("events", "customer", "aggregates", "derived", "scores", "segments", "context", "channels", "actions"),
    *("contact_policies", "budgets", "models", "fallback"),
)


class Sources:
    """The merged files: `root` holds everything that could be read, `diagnostics` what is wrong with the rest."""

    def __init__(self, file: str) -> None:
        self.root = Mapping(Mark(file, 1, 1, 0))
        self.texts: dict[str, str] = {}
        self.diagnostics: list[Diagnostic] = []
        self.complete = True  # False where a file could not be read: what it declares is not known then

    @cached_property
    def values(self) -> dict[str, Any]:
        """Everything as plain values; to be asked for once all is read, and not to be changed."""
        return {key: plain(entry.node) for key, entry in self.root.entries.items()}

    def add(self, code: str, message: str, mark: Mark, path: Path = ()) -> None:
        self.diagnostics.append(
            Diagnostic("error", code, message, mark.file, mark.line, mark.column, ".".join(path)),
        )

    def mark(self, path: Path, at_key: bool = False) -> Mark:
        """Where `path`, or as much of it as exists, stands: a scalar's own place, else that of its key."""
        entry = None
        for found in steps(self.root, path):
            entry = found
        if entry is None:
            return self.root.mark
        return entry.node.mark if isinstance(entry.node, Scalar) and not at_key else entry.key

    def mark_inside(self, path: Path, line: int, column: int) -> Mark:
        """Where line and column (from 1) of the text at `path` stand in the file."""
        found = list(steps(self.root, path))
        if len(found) < len(path) or not isinstance(found[-1].node, Scalar):
            return self.mark(path)
        scalar = found[-1].node
        return locate(self.texts[scalar.mark.file], scalar, offset_in(scalar.text, line, column))


def sources_of(values: dict[str, Any], file: str) -> Sources:
    """Sources of which only the values are known: what is wrong is told by its path, as if on the first line."""
    sources = Sources(file)
    sources.values = values
    return sources


def read_sources(path: FilePath) -> Sources:
    """Reads `path`: a YAML file, or a directory whose *.yaml and *.yml files are merged in order of name."""
    sources = Sources(str(path))
    total = 0
    for file in _files(path, sources):
        text = _text(file, sources)
        if text is None:
            sources.complete = False
            continue
        total += len(text)
        if total > MAX_BYTES:
            sources.add("too-large", f"a catalog is at most {MAX_BYTES >> 20} MiB of YAML", Mark(str(file), 1, 1, 0))
            sources.complete = False
            break
        _read(str(file), text, sources)
    if sources.root.size > MAX_NODES:
        sources.add("too-large", f"more than {MAX_NODES:,} values", sources.root.mark)
        sources.complete = False
    return sources


def _files(path: FilePath, sources: Sources) -> list[FilePath]:
    try:
        if not path.is_dir():
            return [path]
        found = sorted(
            file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
        )
    except (OSError, ValueError) as error:
        sources.add("unreadable", f"can't be read: {_reason(error)}", sources.root.mark)
        return []
    if not found:
        sources.add("unreadable", "no *.yaml or *.yml file in this directory", sources.root.mark)
    return found


def _text(file: FilePath, sources: Sources) -> str | None:
    mark = Mark(str(file), 1, 1, 0)
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            sources.add("too-large", f"a catalog is at most {MAX_BYTES >> 20} MiB of YAML", mark)
            return None
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        sources.add("unreadable", f"not UTF-8 text (byte {error.start})", Mark(str(file), line, 1, 0))
    except (OSError, ValueError) as error:
        sources.add("unreadable", f"can't be read: {_reason(error)}", mark)
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _read(file: str, text: str, sources: Sources) -> None:
    sources.texts[file] = text
    node, diagnostics = compose(file, text)
    sources.diagnostics.extend(diagnostics)
    sources.complete &= node is not None or not diagnostics
    if node is None or (isinstance(node, Scalar) and node.value is None):
        if not diagnostics:
            sources.add("empty", "empty: a catalog begins with `catalog: 1`", Mark(file, 1, 1, 0))
    elif not isinstance(node, Mapping):
        sources.add("wrong-value", "a catalog must be a mapping such as `catalog: 1`", node.mark)
    else:
        _merge(node, sources)


def _merge(node: Mapping, sources: Sources) -> None:
    if not sources.root.entries:
        sources.root.mark = node.mark
    sources.root.size += node.size
    for name, entry in node.entries.items():
        here = sources.root.entries.get(name)
        if here is None:
            sources.root.entries[name] = entry
        elif name in MERGED and isinstance(here.node, Mapping) and isinstance(entry.node, Mapping):
            for key, inner in entry.node.entries.items():
                first = here.node.entries.setdefault(key, inner)
                if first is not inner:
                    _twice((name, key), first.key, inner.key, sources)
        else:
            _twice((name,), here.key, entry.key, sources)


def _twice(path: Path, first: Mark, second: Mark, sources: Sources) -> None:
    message = f"`{path[-1]}` is given twice: here and in {first.file}, line {first.line}"
    sources.add("duplicate-key", message, second, path)
