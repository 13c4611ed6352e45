"""Templates: the text of treatments, in Jinja's immutable sandbox.

A text with a hole in it is worse than none, so a missing attribute makes a template unrenderable unless the author
gave a `default` or tested for it. Whatever could make two renderings differ (a random filter, a clock, other files) is
taken out: a decision must replay to the same content. So is what makes gigabytes of a short text: filters, methods and
operators that repeat or pad. Templates are parsed and checked when the catalog loads; the
code of one, half a millisecond each to make, is made when it is first rendered, so that ten thousand actions load in
seconds. Only winners are ever rendered.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import do_round
from jinja2.sandbox import ImmutableSandboxedEnvironment

from catalog.diagnostics import RenderError

# Methods that pad text, or a number's bytes, to whatever length the template names.
PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "to_bytes"})
_PADDING_FILTERS = ("batch", "center", "format", "indent", "slice", "tojson")
_PLACES = 15  # of a double, that can mean anything


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's, in which `*` and `%` are for numbers alone and text can't be padded."""

    intercepted_binops = frozenset({"*", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise SecurityError(f"`{operator}` is for numbers")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not (isinstance(obj, (str, bytes, int)) and attr in PADDING) and super().is_safe_attribute(
            obj, attr, value
        )

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """None: Jinja would put a safe `format` in the place of the unsafe one, which pads as well."""
        return None


def _round(value: Any, precision: int = 0, method: Any = "common") -> float:
    """Jinja's `round`; 10 to the power of any precision asked for would never end."""
    if not -_PLACES <= precision <= _PLACES:
        raise ValueError(f"round: at most {_PLACES} places")
    return do_round(value, precision, method)


ENVIRONMENT = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True)
ENVIRONMENT.globals.clear()
ENVIRONMENT.filters["round"] = _round
for _name in ("random", *_PADDING_FILTERS):
    del ENVIRONMENT.filters[_name]

# What filters, operators and Python's compiler raise when a template asks the impossible.
_REFUSALS = (
    TemplateError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
)
_MARKUP = ("{{", "{%", "{#")


class Named(Protocol):
    """Values by name; KeyError where there is none."""

    def __getitem__(self, name: str, /) -> Any: ...


ContentPart: TypeAlias = str | int | float | bool


@lru_cache(maxsize=100_000)
def _compiled(source: str) -> Template:
    """Many treatments say the same: each text is compiled once."""
    return ENVIRONMENT.from_string(source)


@lru_cache(maxsize=100_000)
def _plain_parts(source: str) -> tuple[str | tuple[str, str], ...] | None:
    """Text and (`customer` or `context`, attribute) by turns, if that is all there is to the template; else None.

    Most texts are like that, and putting them together is ten times as fast as Jinja and the same to the letter.
    """
    parts: list[str | tuple[str, str]] = []
    for statement in ENVIRONMENT.parse(source).body:
        if not isinstance(statement, nodes.Output):
            return None
        for node in statement.nodes:
            match node:
                case nodes.TemplateData(data=data):
                    parts.append(data)
                case nodes.Getattr(node=nodes.Name(name="customer" | "context" as owner), attr=attribute):
                    parts.append((owner, attribute))
                case _:
                    return None
    return tuple(parts)


class TextTemplate:
    """One content text that holds Jinja markup; parsed already, compiled when first rendered."""

    __slots__ = ("_compiled", "_parts", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._parts = _plain_parts(source)
        self._compiled: Template | None = None

    @property
    def needs(self) -> frozenset[tuple[str, str]]:
        """(`customer` or `context`, attribute) of what it can't be rendered without, as far as that is plain."""
        return frozenset(part for part in self._parts or () if isinstance(part, tuple))

    def render(self, customer: Named, context: Named) -> str:
        """The text for these attributes. Raises RenderError where one is missing or of no use to a filter."""
        if self._parts is not None:
            return _joined(self._parts, customer, context)
        try:
            if self._compiled is None:
                self._compiled = _compiled(self.source)
            return self._compiled.render(customer=Facts(customer), context=Facts(context))
        except _REFUSALS as error:
            raise RenderError(str(error)) from error


def _joined(parts: tuple[str | tuple[str, str], ...], customer: Named, context: Named) -> str:
    try:
        return "".join(
            [
                part if part.__class__ is str else str((customer if part[0] == "customer" else context)[part[1]])
                for part in parts
            ]
        )
    except KeyError as error:
        raise RenderError(f"{error} is missing") from None


class Content:
    """A treatment's content: what is fixed, and the texts to be rendered."""

    __slots__ = ("_fixed", "_templates")

    def __init__(self, declared: Mapping[str, ContentPart]) -> None:
        self._fixed = dict(declared)
        self._templates = [
            (key, TextTemplate(part)) for key, part in declared.items() if isinstance(part, str) and has_markup(part)
        ]

    @property
    def needs(self) -> frozenset[tuple[str, str]]:
        """What all its texts together can't be rendered without."""
        return frozenset(name for _, text in self._templates for name in text.needs)

    def render(self, customer: Named, context: Named) -> dict[str, ContentPart]:
        """The content for these attributes, keys in the order declared. Raises RenderError, naming the key."""
        rendered = self._fixed.copy()  # has every key, so that the order stays
        for key, template in self._templates:
            try:
                rendered[key] = template.render(customer, context)
            except RenderError as error:
                raise RenderError(f"{key}: {error}") from error
        return rendered


class Facts:
    """Attributes as templates see them: `customer.items` is the attribute `items`, not a dict's method."""

    __slots__ = ("_values",)

    def __init__(self, values: Named) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None


def can_be_compiled(source: str) -> bool:
    """Whether Python can run what Jinja makes of it: a text that parses may still nest deeper than Python does."""
    try:
        ENVIRONMENT.from_string(source)
    except _REFUSALS:
        return False
    return True


def has_markup(text: str) -> bool:
    return any(mark in text for mark in _MARKUP)
