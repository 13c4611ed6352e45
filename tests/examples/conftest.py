"""The grocery example's raw tables; without them its tests are left out."""

from pathlib import Path

import pytest

from examples.grocery.source import DataMissingError, find_source


@pytest.fixture(scope="session")
def raw() -> Path:
    try:
        return find_source()
    except DataMissingError as missing:
        pytest.skip(str(missing))
