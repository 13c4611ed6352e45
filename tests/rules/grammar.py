"""Random rules, each written twice: as a user writes it, and as the official evaluator needs it.

The two texts differ where Tino adds to CEL: integer literals against doubles get `.0`, and derived attributes are
spelled out. `has()` of a derived attribute has no text in CEL, so the oracle's reads `customer.has_<name>`, which the
property fills in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from tests.rules import declared


@dataclass(frozen=True)
class Written:
    """`kinds` are the language features used; `reads` the attributes, those of the context with their prefix."""

    user: str
    oracle: str
    kinds: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()


def same(text: str, kind: str = "", reads: Iterable[str] = ()) -> Written:
    return Written(text, text, frozenset([kind] if kind else []), frozenset(reads))


def compose(template: str, *parts: Written, kind: str = "") -> Written:
    kinds = frozenset([kind] if kind else []).union(*(part.kinds for part in parts))
    reads: frozenset[str] = frozenset().union(*(part.reads for part in parts))
    users, oracles = [part.user for part in parts], [part.oracle for part in parts]
    return Written(template.format(*users), template.format(*oracles), kinds, reads)


def attribute(name: str) -> Written:
    return same(f"customer.{name}", reads=[name])


def derived(name: str) -> Written:
    reads = frozenset(declared.DERIVED_READS[name])
    return Written(f"customer.{name}", f"({declared.DERIVED[name]})", frozenset({"derived"}), reads)


KINDS = {
    *("&&", "||", "!", "?:", "in list", "has", "order", "equality", "range", "repeated term", "string function"),
    *("comprehension", "int arithmetic", "double arithmetic", "timestamp", "duration", "days_until", "in_band"),
    *("derived", "bool equality", "membership", "more than 16 rows"),
}


class Grammar:
    def __init__(self, random: Random) -> None:
        self.random = random
        self._atoms: list[Callable[[], Written]] = [
            *(self._comparison, self._comparison, self._comparison, self._in_list, self._has, self._text_function),
            *(self._list, self._membership, self._bool, self._in_band, self._time, self._two_terms, self._plan),
            self._negated_ratio,
        ]

    def rule(self) -> Written:
        if self.random.random() < 0.09:
            return self._wide()
        return self.formula(self.random.choice([0, 1, 1, 2, 2, 3]))

    def formula(self, depth: int) -> Written:
        if depth == 0:
            return self.random.choice(self._atoms)()
        match self.random.randrange(8):
            case 0 | 1:
                return compose("({} && {})", self.formula(depth - 1), self.formula(depth - 1), kind="&&")
            case 2 | 3:
                return compose("({} || {})", self.formula(depth - 1), self.formula(depth - 1), kind="||")
            case 4 | 5:
                return compose("!({})", self.formula(depth - 1), kind="!")
            case 6:
                parts = [self.formula(depth - 1) for _ in range(3)]
                return compose("({} ? {} : {})", *parts, kind="?:")
        return self._repeated()

    def _wide(self) -> Written:
        """A rule of more than sixteen rows: a product of alternatives."""
        pairs = [
            compose("({} || {})", self.formula(0), self.formula(self.random.choice([0, 0, 1])), kind="||")
            for _ in range(5)
        ]
        product = compose(" && ".join(["{}"] * 5), *pairs, kind="&&")
        if self.random.random() < 0.5:
            product = compose("({}) || {}", product, self.formula(0), kind="||")
        return product

    def _repeated(self) -> Written:
        """Several clauses on one term, in a row."""
        term, literal = self._ordered_term()
        parts = []
        for _ in range(self.random.randrange(2, 5)):
            clause = self._compared(term, literal)
            parts.append(compose("!({})", clause, kind="!") if self.random.random() < 0.35 else clause)
        glue, kind = self.random.choice([(" && ", "&&"), (" && ", "&&"), (" || ", "||")])
        repeated = compose("(" + glue.join(["{}"] * len(parts)) + ")", *parts, kind=kind)
        return compose("{}", repeated, kind="repeated term")

    # Terms, each with the literals to compare it with.

    def _ordered_term(self) -> tuple[Written, Callable[[], Written]]:
        makers = [self._int_term, self._int_term, self._double_term, self._text_term, self._moment_term]
        return self.random.choice([*makers, self._span_term])()

    def _int_term(self) -> tuple[Written, Callable[[], Written]]:
        pick = self.random.choice
        simple = [attribute("level"), attribute("level"), attribute("visits"), self._cart()]
        computed = [
            compose("({} % {})", attribute("visits"), self._divisor(), kind="int arithmetic"),
            compose("({} / {})", attribute("points"), self._divisor(), kind="int arithmetic"),
            compose("({} * {})", attribute("visits"), attribute("points"), kind="int arithmetic"),
            compose("({} + {})", attribute("visits"), self._int(), kind="int arithmetic"),
            compose("-{}", attribute("visits"), kind="int arithmetic"),
            compose("size({})", attribute("name"), kind="string function"),
            compose("{}.size()", attribute("segments")),
            compose("days_until({})", attribute("renewal"), kind="days_until"),
            compose("days_until({})", attribute("renewal"), kind="days_until"),
            compose("{}", derived("days_left"), kind="days_until"),
            compose("{}", derived("days_left"), kind="days_until"),
            compose("{}", derived("gained"), kind="int arithmetic"),
            compose("({} ? {} : 2)", self._plain_bool(), attribute("visits"), kind="?:"),
            compose("{}.getHours()", attribute("renewal"), kind="timestamp"),
            compose("{}.getDayOfWeek('Europe/Madrid')", attribute("renewal"), kind="timestamp"),
            compose("int({})", derived("ratio")),
        ]
        return pick(simple if self.random.random() < 0.5 else computed), self._int

    def _double_term(self) -> tuple[Written, Callable[[], Written]]:
        pick = self.random.choice
        simple = [
            attribute("score"),
            attribute("score"),
            attribute("spent"),
            same("context.ratio", reads=["context.ratio"]),
        ]
        computed = [
            compose("({} / {})", attribute("spent"), attribute("budget"), kind="double arithmetic"),
            compose("({} / {})", attribute("spent"), self._double(), kind="double arithmetic"),
            compose(
                "({} * {} - {})", attribute("spent"), self._double(), attribute("budget"), kind="double arithmetic"
            ),
            *[compose("{}", derived("ratio"), kind="double arithmetic")] * 3,
            compose("-{}", attribute("spent"), kind="double arithmetic"),
            compose("double({})", attribute("visits")),
        ]
        return pick(simple if self.random.random() < 0.5 else computed), self._double

    def _text_term(self) -> tuple[Written, Callable[[], Written]]:
        page = same("context.page", reads=["context.page"])
        added = compose("({} + {})", attribute("name"), self._quoted(["", "x"]))
        return self.random.choice([attribute("tier"), attribute("tier"), page, added]), self._tier

    def _moment_term(self) -> tuple[Written, Callable[[], Written]]:
        later = compose("({} + {})", attribute("renewal"), self._span(), kind="duration")
        term = self.random.choice([attribute("since"), attribute("renewal"), same("now"), later])
        return compose("{}", term, kind="timestamp"), self._moment

    def _span_term(self) -> tuple[Written, Callable[[], Written]]:
        term = self.random.choice([derived("remaining"), compose("(now - {})", attribute("renewal"), kind="timestamp")])
        return compose("{}", term, kind="duration"), self._span

    def _cart(self) -> Written:
        return same("context.cart", reads=["context.cart"])

    # Literals.

    def _int(self) -> Written:
        return same(str(self.random.choice(declared.INTS)))

    def _divisor(self) -> Written:
        return self.random.choice([same(str(self.random.choice([-3, -1, 2, 3, 7]))), attribute("points")])

    def _double(self) -> Written:
        value = self.random.choice(declared.DOUBLES)
        if value.is_integer() and self.random.random() < 0.6:
            return Written(str(int(value)), f"{int(value)}.0")
        return same(self.random.choice([str(value)] * 12 + ["double('NaN')", "double('inf')"]))

    def _quoted(self, texts: list[str]) -> Written:
        return same(f'"{self.random.choice(texts)}"')

    def _tier(self) -> Written:
        return self._quoted(declared.TIERS + declared.PAGES)

    def _moment(self) -> Written:
        moment = self.random.choice(declared.MOMENTS).isoformat().replace("+00:00", "Z")
        return same(f'timestamp("{moment}")')

    def _span(self) -> Written:
        return same(f'duration("{self.random.choice(["0s", "1s", "24h", "-36h", "1ms"])}")')

    # Atoms.

    def _compared(self, term: Written, literal: Callable[[], Written]) -> Written:
        operator = self.random.choice(["<", "<=", ">", ">=", "==", "!="])
        kind = "equality" if operator in ("==", "!=") else "order"
        if self.random.random() < 0.2:
            return compose(f"{{}} {operator} {{}}", literal(), term, kind=kind)
        return compose(f"{{}} {operator} {{}}", term, literal(), kind=kind)

    def _comparison(self) -> Written:
        term, literal = self._ordered_term()
        if self.random.random() < 0.25:
            low, high = self.random.choice([(">", "<="), (">=", "<"), (">", "<")])
            parts = (term, literal(), term, literal())
            return compose(f"({{}} {low} {{}} && {{}} {high} {{}})", *parts, kind="range")
        clause = self._compared(term, literal)
        return compose("!({})", clause, kind="!") if self.random.random() < 0.25 else clause

    def _negated_ratio(self) -> Written:
        """Where `!(a < k)` is not `a >= k`: the ratio may be NaN."""
        clause = compose("{} < {}", derived("ratio"), self._double(), kind="order")
        return compose("!({})", clause, kind="!")

    def _plan(self) -> Written:
        if self.random.random() < 0.3:
            return compose("{} in [1, 2]", attribute("plan"), kind="in list")
        operator = self.random.choice(["==", "!="])
        return compose(f"{{}} {operator} {{}}", attribute("plan"), same(self.random.choice("012")), kind="equality")

    def _in_list(self) -> Written:
        term, literal = self._ordered_term()
        items = [literal() for _ in range(self.random.randrange(1, 4))]
        return compose("{} in [" + ", ".join(["{}"] * len(items)) + "]", term, *items, kind="in list")

    def _two_terms(self) -> Written:
        operator = self.random.choice(["<", ">=", "==", "!="])
        pairs = [
            (attribute("visits"), attribute("points")),
            (attribute("spent"), attribute("budget")),
            (attribute("renewal"), same("now")),
        ]
        return compose(f"{{}} {operator} {{}}", *self.random.choice(pairs))

    def _has(self) -> Written:
        name = self.random.choice([*declared.CUSTOMER, *declared.DERIVED, "context.page", "context.ratio"])
        if name in declared.DERIVED:
            reads = frozenset(declared.DERIVED_READS[name])
            return Written(f"has(customer.{name})", f"customer.has_{name}", frozenset({"has", "derived"}), reads)
        text = name if name.startswith("context.") else f"customer.{name}"
        return same(f"has({text})", "has", [name])

    def _text_function(self) -> Written:
        function = self.random.choice(["startsWith", "endsWith", "contains", "matches"])
        argument = self._quoted([".*a$", "A.a", "(", "^日"] if function == "matches" else ["", "A", "a", "María", "😀"])
        return compose(f"{{}}.{function}({{}})", attribute("name"), argument, kind="string function")

    def _list(self) -> Written:
        segments, literal = attribute("segments"), self._quoted(declared.SEGMENTS)
        shapes = [
            compose("{}.exists(s, s == {})", segments, literal),
            compose('{}.exists(name, "gold" == name || name == {})', segments, literal),
            compose("{}.all(s, s != {} || {})", segments, literal, self._plain_bool()),
            compose("{}.exists_one(s, s < {})", segments, literal),
            compose("{}.exists(s, s == {} && {} > 2)", segments, literal, attribute("visits")),
            compose("{}.filter(s, s != {}).size() > 1", segments, literal),
            compose('{}.map(s, s + "!").exists(s, s == {} + "!")', segments, literal),
            compose("[1, 2, 3].exists(n, n == {})", attribute("visits")),
            compose("[0, 1, 2].all(n, 4 / {} >= n)", attribute("visits"), kind="int arithmetic"),
            compose("{0}.exists(s, {0}.exists(t, t > s && s == {1}))", segments, literal),
        ]
        return compose("{}", self.random.choice(shapes), kind="comprehension")

    def _membership(self) -> Written:
        segments, literal = attribute("segments"), self._quoted(declared.SEGMENTS)
        if self.random.random() < 0.2:
            return compose("{}[{}] == {}", segments, same(self.random.choice(["0", "1"])), literal)
        if self.random.random() < 0.2:
            return compose("{} == [{}]", segments, literal, kind="equality")
        return compose("{} in {}", literal, segments, kind="membership")

    def _plain_bool(self) -> Written:
        return self.random.choice([attribute("vip"), attribute("vip"), derived("loyal")])

    def _bool(self) -> Written:
        value = self._plain_bool()
        if self.random.random() < 0.25:
            return value
        operator, literal = self.random.choice(["==", "!="]), self.random.choice(["true", "false"])
        shape = self.random.choice([f"{{}} {operator} {literal}", f"{literal} {operator} {{}}"])
        return compose(shape, value, kind="bool equality")

    def _in_band(self) -> Written:
        term, literal = self.random.choice([self._int_term, self._double_term])()
        if "level" in term.reads or "score" in term.reads:
            term, literal = compose("{}", derived("days_left"), kind="days_until"), self._int
        return compose("in_band({}, {}, {})", term, literal(), literal(), kind="in_band")

    def _time(self) -> Written:
        term, literal = self.random.choice([self._moment_term, self._span_term])()
        return self._compared(term, literal)
