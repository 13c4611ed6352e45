"""The performance table, as Markdown."""

from collections.abc import Mapping


def report(results: Mapping[str, Mapping[str, float]]) -> None:
    for name, numbers in results.items():
        print(f"\n| {name} | |\n|---|---:|")
        for label, number in numbers.items():
            print(f"| {label} | {number:,.2f} |" if number < 100 else f"| {label} | {number:,.0f} |")
