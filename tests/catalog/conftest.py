from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]


@pytest.fixture
def sound() -> Path:
    """A catalog that uses every section and of which nothing bad can be said."""
    return Path(__file__).parent / "cases" / "sound" / "catalog.yaml"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a catalog file and gives its path."""

    def written(text: str) -> Path:
        file = tmp_path / "catalog.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return written
