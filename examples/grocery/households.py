"""One row per household: what is known of it that is no event."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from examples.grocery.invented import invented_columns
from examples.grocery.source import Ints, read


def households(source: Path) -> Any:
    """A pyarrow Table of every household that ever bought something, sorted by number; what is unknown is null."""
    numbers = np.unique(read(source, "transactions", ["household_id"])["household_id"].to_numpy())
    columns = {
        "customer_id": pa.array([f"hh-{number}" for number in numbers]),
        **demographic_columns(source, numbers),
        **invented_columns(numbers),
    }
    return pa.table(columns)


def demographic_columns(source: Path, households: Ints) -> dict[str, Any]:
    """Known for 801 households. `household_size` 5 means five or more, `kids_count` 3 means three or more."""
    table = read(source, "demographics")
    rows = pc.index_in(pa.array(households), table["household_id"].combine_chunks())
    of_all = table.take(rows)
    return {
        "age": of_all["age"].cast(pa.string()),
        "income": of_all["income"].cast(pa.string()),
        "household_size": at_least(of_all["household_size"]),
        "kids_count": at_least(of_all["kids_count"]),
    }


def at_least(column: Any) -> Any:
    """'5+' as 5."""
    return pc.cast(pc.replace_substring(column.cast(pa.string()), "+", ""), pa.int64())
