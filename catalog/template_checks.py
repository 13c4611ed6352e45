"""What can be said of a template before it is rendered: syntax, filters, and the attributes it names."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from jinja2 import TemplateSyntaxError, nodes

from catalog.diagnostics import RenderError
from catalog.nodes import Path
from catalog.report import Report, did_you_mean
from catalog.spec import Catalog
from catalog.templates import ENVIRONMENT, PADDING, TextTemplate, can_be_compiled, has_markup

_GIVEN_BY_JINJA = {"loop", "self", "caller", "varargs", "kwargs"}
# Compiling takes half a millisecond, so only what might fail in it is compiled when the catalog loads.
_DEEP, _DEEPEST = 16, 100
_INTRICATE: tuple[type[nodes.Node], ...] = (nodes.Macro, nodes.CallBlock, nodes.Keyword)
_OTHER_FILES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)


class Fault(NamedTuple):
    """What is wrong, and in which line of the template (from 1)."""

    message: str
    line: int


def check_templates(spec: Catalog, report: Report, declared: Mapping[str, set[str]]) -> None:
    """Reports faults in every treatment's texts; `declared` holds the names `customer` and `context` have."""
    known: dict[str, list[Fault]] = {}
    for action, _, channel, treatment in spec.treatments():
        for key, text in treatment.content.items():
            if not isinstance(text, str) or not has_markup(text):
                continue
            if text not in known:
                known[text] = list(faults(text, declared))
            for fault in known[text]:
                path: Path = ("actions", action, "treatments", channel, key)
                report.error_inside("template", path, f"`{key}`: {fault.message}", fault.line, 1)


def faults(text: str, declared: Mapping[str, set[str]]) -> Iterator[Fault]:
    try:
        tree = ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        yield Fault(f"not a valid template: {error.message}", error.lineno)
        return
    except RecursionError:
        yield Fault("not a valid template: nested too deeply", 1)
        return
    depth = _depth(tree)
    if depth > _DEEPEST:
        yield Fault("nested too deeply to be rendered", 1)
        return
    unusable = list(_unusable(tree, declared))
    yield from unusable
    if not unusable and (depth > _DEEP or any(tree.find_all(_INTRICATE))) and not can_be_compiled(text):
        yield Fault("nested too deeply to be rendered, or the same argument given twice", 1)
    owners = set()
    for owner, attribute, line in _attributes(tree, declared):
        owners.add(id(owner))
        if attribute not in declared[owner.name]:
            hint = did_you_mean(attribute, declared[owner.name])
            yield Fault(f"`{owner.name}.{attribute}` is not declared{hint}", line)
    local = _GIVEN_BY_JINJA | {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    local |= {macro.name for macro in tree.find_all(nodes.Macro)}
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load" or name.name in local or id(name) in owners:
            continue
        if name.name in declared:
            yield Fault(f"`{name.name}` alone has no text; say which attribute", name.lineno)
        else:
            owner_of = next((owner for owner, names in declared.items() if name.name in names), None)
            hint = (
                f"; did you mean `{owner_of}.{name.name}`?" if owner_of else "; templates may use customer and context"
            )
            yield Fault(f"`{name.name}` is not known{hint}", name.lineno)


def _depth(tree: nodes.Template) -> int:
    """How deep the tree is, or a little more than the deepest allowed."""
    level: list[nodes.Node] = [tree]
    depth = 0
    while level and depth <= _DEEPEST:
        depth += 1
        level = [child for node in level for child in node.iter_child_nodes()]
    return depth


def _attributes(tree: nodes.Template, declared: Mapping[str, set[str]]) -> Iterator[tuple[nodes.Name, str, int]]:
    """(the name `customer` or `context`, attribute, line) of every attribute the template reads by name."""
    for named in tree.find_all(nodes.Getattr):
        if isinstance(named.node, nodes.Name) and named.node.name in declared:
            yield named.node, named.attr, named.lineno
    for item in tree.find_all(nodes.Getitem):
        name = item.arg.value if isinstance(item.arg, nodes.Const) else None
        if isinstance(item.node, nodes.Name) and item.node.name in declared and isinstance(name, str):
            yield item.node, name, item.lineno


def _unusable(tree: nodes.Template, declared: Mapping[str, set[str]]) -> Iterator[Fault]:
    for used in tree.find_all(nodes.Filter):
        if used.name not in ENVIRONMENT.filters:
            yield Fault(f"there is no filter `{used.name}`{did_you_mean(used.name, ENVIRONMENT.filters)}", used.lineno)
    for test in tree.find_all(nodes.Test):
        if test.name not in ENVIRONMENT.tests:
            yield Fault(f"there is no test `{test.name}`{did_you_mean(test.name, ENVIRONMENT.tests)}", test.lineno)
    for other in tree.find_all(_OTHER_FILES):
        yield Fault("a template can't use other templates or blocks", other.lineno)
    for power in tree.find_all(nodes.Pow):
        yield Fault("`**` is not supported: 9 ** 9 ** 9 would never end", power.lineno)
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in PADDING:
            yield Fault(f"`{call.node.attr}()` is not supported: it makes a text of any length", call.lineno)
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load" and name.name in declared:
            yield Fault(f"`{name.name}` can't be given another meaning", name.lineno)


def renders_bare(text: str) -> bool:
    """Whether the template renders when nothing at all is known of the customer and the request."""
    try:
        TextTemplate(text).render({}, {})
    except RenderError:
        return False
    return True
