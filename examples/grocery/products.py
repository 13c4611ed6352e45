"""What each product is: its department, its category, whether it is the retailer's own label."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from examples.grocery.source import Ints, read

TOP_DEPARTMENTS = 5
TOP_CATEGORIES = 12
NO_DEPARTMENT = {"COUPON", "MISCELLANEOUS"}
NO_CATEGORY = {"COUPON/MISC ITEMS", "MISCELLANEOUS"}
BABY_CARE = {"BABY FOODS", "BABY HBC", "DIAPERS & DISPOSABLES", "INFANT FORMULA", "INFANT CARE PRODUCTS"}

# A department in words fit for a message. Those left out never become a favourite: GROCERY is nearly everybody's
# largest and says nothing, fuel and spirits are nothing a coupon here covers.
IN_WORDS = {
    "COSMETICS": "beauty",
    "DELI": "deli",
    "DRUG GM": "health and home",
    "FLORAL": "flowers",
    "GARDEN CENTER": "garden",
    "MEAT": "fresh meat",
    "MEAT-PCKGD": "bacon and sausage",
    "NUTRITION": "natural foods",
    "PASTRY": "bakery",
    "PRODUCE": "fruit and vegetables",
    "SALAD BAR": "salad bar",
    "SEAFOOD": "seafood",
    "SEAFOOD-PCKGD": "seafood",
}


@dataclass(frozen=True)
class Products:
    """Columns over products sorted by id; department and category are positions in the sorted lists of names."""

    ids: Ints
    department: Ints
    category: Ints
    private: NDArray[np.bool_]
    departments: list[str]
    categories: list[str]

    def rows(self, products: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """The row of each product, and whether it has one: some lines name a product the list does not know."""
        row = np.minimum(np.searchsorted(self.ids, products), len(self.ids) - 1)
        return row, self.ids[row] == products

    def top_departments(self, cents: Ints) -> list[list[str]]:
        return top(cents, self.departments, NO_DEPARTMENT, TOP_DEPARTMENTS)

    def top_categories(self, cents: Ints) -> list[list[str]]:
        return top(cents, self.categories, NO_CATEGORY, TOP_CATEGORIES)

    def favourites(self, cents: Ints) -> list[str | None]:
        """In words, the department with the highest spend; None where nothing was spent in one that has words."""
        best = top(cents, self.departments, set(self.departments) - set(IN_WORDS), 1)
        return [IN_WORDS[names[0]] if names else None for names in best]

    def bought_baby_care(self, cents: Ints) -> NDArray[np.bool_]:
        chosen = [position for position, name in enumerate(self.categories) if name in BABY_CARE]
        bought: NDArray[np.bool_] = cents[:, chosen].sum(axis=1) > 0
        return bought


def top(cents: Ints, names: list[str], never: set[str], most: int) -> list[list[str]]:
    """Per row, the names with the highest amounts above zero, highest first; equal amounts in alphabetical order."""
    amounts = cents.copy()
    amounts[:, [position for position, name in enumerate(names) if name in never]] = 0
    order = np.argsort(-amounts, axis=1, kind="stable")[:, :most]
    return [
        [names[position] for position in positions if row[position] > 0]
        for row, positions in zip(amounts, order, strict=True)
    ]


def read_products(source: Path) -> Products:
    table = read(source, "products", ["product_id", "department", "product_category", "brand"]).sort_by("product_id")
    department, departments = coded(table["department"])
    category, categories = coded(table["product_category"])
    private = np.asarray(pc.equal(table["brand"], "Private").to_numpy(), dtype=np.bool_)
    return Products(table["product_id"].to_numpy(), department, category, private, departments, categories)


def coded(column: Any) -> tuple[Ints, list[str]]:
    """Each value as its position among the sorted distinct values."""
    names = sorted({name or "" for name in column.to_pylist()})
    position = {name: index for index, name in enumerate(names)}
    return np.array([position[name or ""] for name in column.to_pylist()], dtype=np.int64), names
