"""What each product is, in the words of the catalog: its department, the shelf it lies on, whose label it bears."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from examples.grocery.source import read

# Departments in words fit for a message; the others are called as in the data, in small letters.
DEPARTMENTS = {
    "CHEF SHOPPE": "restaurant",
    "COSMETICS": "beauty",
    "DRUG GM": "health and home",
    "FLORAL": "flowers",
    "GARDEN CENTER": "garden",
    "MEAT": "fresh meat",
    "MEAT-PCKGD": "bacon and sausage",
    "NUTRITION": "natural foods",
    "PASTRY": "bakery",
    "PRODUCE": "fruit and vegetables",
    "SEAFOOD-PCKGD": "seafood",
}
NO_DEPARTMENT = {"COUPON", "MISCELLANEOUS"}

# The shelves that coupons of the campaigns are for, by product category. What lies on another has no shelf.
SHELVES = {
    "BABY FOODS": "baby food",
    "BABY HBC": "baby care",
    "BACON": "breakfast meat",
    "BAG SNACKS": "snacks",
    "BAKING MIXES": "baking",
    "BAKING NEEDS": "baking",
    "BREAKFAST SAUSAGE/SANDWICHES": "breakfast meat",
    "CAT FOOD": "cat food",
    "CHEESE": "cheese",
    "COLD CEREAL": "cereal",
    "COOKIES/CONES": "cookies",
    "CRACKERS/MISC BKD FD": "crackers",
    "DIAPERS & DISPOSABLES": "diapers",
    "DRY BN/VEG/POTATO/RICE": "staples",
    "EGGS": "eggs",
    "FLUID MILK PRODUCTS": "milk",
    "FROZEN PIE/DESSERTS": "pies",
    "FROZEN PIZZA": "pizza",
    "FRUIT - SHELF STABLE": "canned food",
    "FRZN BREAKFAST FOODS": "frozen food",
    "FRZN MEAT/MEAT DINNERS": "dinners",
    "FRZN POTATOES": "frozen food",
    "FRZN VEGETABLE/VEG DSH": "frozen food",
    "GREETING CARDS/WRAP/PARTY SPLY": "cards",
    "HAIR CARE PRODUCTS": "hair care",
    "HISPANIC": "dips",
    "ICE CREAM/MILK/SHERBTS": "ice cream",
    "INFANT CARE PRODUCTS": "baby care",
    "INFANT FORMULA": "baby food",
    "ISOTONIC DRINKS": "soft drinks",
    "MAKEUP AND TREATMENT": "makeup",
    "MARGARINES": "staples",
    "PNT BTR/JELLY/JAMS": "spreads",
    "REFRGRATD DOUGH PRODUCTS": "baking",
    "REFRGRATD JUICES/DRNKS": "juice",
    "SALADS/DIPS": "dips",
    "SALD DRSNG/SNDWCH SPRD": "staples",
    "SEAFOOD - FROZEN": "dinners",
    "SOFT DRINKS": "soft drinks",
    "SOUP": "soup",
    "STATIONERY & SCHOOL SUPPLIES": "school",
    "VEGETABLES - SHELF STABLE": "canned food",
    "YOGURT": "yogurt",
}


@dataclass(frozen=True)
class Products:
    """pyarrow columns over all products, in the order of `ids`; null where there is nothing to say.

    `private_label` is 1 for what bears the retailer's own label, else 0.
    """

    ids: Any
    department: Any
    shelf: Any
    private_label: Any

    def columns(self, products: Any) -> dict[str, Any]:
        """What is said of each of `products`; nothing of those the list does not know."""
        row = pc.index_in(products, self.ids)
        return {
            "department": self.department.take(row),
            "shelf": self.shelf.take(row),
            "private_label": self.private_label.take(row),
        }


def read_products(source: Path) -> Products:
    table = read(source, "products", ["product_id", "department", "product_category", "brand"]).combine_chunks()
    return Products(
        table["product_id"].combine_chunks(),
        named(table["department"], department),
        named(table["product_category"], SHELVES.get),
        pc.cast(pc.equal(table["brand"], "Private"), pa.int64()).combine_chunks(),
    )


def department(raw: str) -> str | None:
    return None if raw in NO_DEPARTMENT else DEPARTMENTS.get(raw, raw.lower())


def named(column: Any, name: Any) -> Any:
    """Each value by its name, null where it has none."""
    codes = column.combine_chunks().dictionary_encode()
    names = pa.array([None if raw is None else name(raw) for raw in codes.dictionary.to_pylist()], pa.string())
    return names.take(codes.indices)
