"""CEL's checked syntax tree as the official binding serialises it, read into `rules.syntax`.

The message layout is that of `cel/expr/checked.proto` and `cel/expr/syntax.proto` in the CEL specification; only the
fields read here are declared. Declared as proto2 so that a scalar's absence can be told from its zero.
"""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

from rules.syntax import Call, Const, Fold, Ident, ListOf, Node, Select

_LAYOUT: dict[str, list[tuple[str, int, str]]] = {
    "ParsedExpr": [("expr", 2, "Expr"), ("source_info", 3, "SourceInfo")],
    "CheckedExpr": [("type_map", 3, "*TypeEntry"), ("expr", 4, "Expr"), ("source_info", 5, "SourceInfo")],
    "TypeEntry": [("key", 1, "int64"), ("value", 2, "Type")],
    "PositionEntry": [("key", 1, "int64"), ("value", 2, "int64")],
    "SourceInfo": [("positions", 4, "*PositionEntry")],
    "Empty": [],
    "ListType": [("elem_type", 1, "Type")],
    "Type": [
        ("null", 2, "int64"),
        ("primitive", 3, "int64"),
        ("well_known", 5, "int64"),
        ("list_type", 6, "ListType"),
        ("map_type", 7, "Empty"),
        ("message_type", 9, "string"),
    ],
    "Expr": [
        ("id", 2, "int64"),
        ("const_expr", 3, "Constant"),
        ("ident_expr", 4, "IdentExpr"),
        ("select_expr", 5, "SelectExpr"),
        ("call_expr", 6, "CallExpr"),
        ("list_expr", 7, "ListExpr"),
        ("struct_expr", 8, "Empty"),
        ("comprehension_expr", 9, "Comprehension"),
    ],
    "IdentExpr": [("name", 1, "string")],
    "SelectExpr": [("operand", 1, "Expr"), ("field", 2, "string"), ("test_only", 3, "bool")],
    "CallExpr": [("target", 1, "Expr"), ("function", 2, "string"), ("args", 3, "*Expr")],
    "ListExpr": [("elements", 1, "*Expr")],
    "Comprehension": [
        ("iter_var", 1, "string"),
        ("iter_range", 2, "Expr"),
        ("accu_var", 3, "string"),
        ("accu_init", 4, "Expr"),
        ("loop_condition", 5, "Expr"),
        ("loop_step", 6, "Expr"),
        ("result", 7, "Expr"),
        ("iter_var2", 8, "string"),
    ],
    "Constant": [
        ("null_value", 1, "int64"),
        ("bool_value", 2, "bool"),
        ("int64_value", 3, "int64"),
        ("uint64_value", 4, "uint64"),
        ("double_value", 5, "double"),
        ("string_value", 6, "string"),
        ("bytes_value", 7, "bytes"),
    ],
}
_PRIMITIVES = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_WELL_KNOWN = {2: "timestamp", 3: "duration"}
_CONSTANTS = {
    "bool_value": "bool",
    "int64_value": "int",
    "uint64_value": "uint",
    "double_value": "double",
    "string_value": "string",
    "bytes_value": "bytes",
}


def _message_classes() -> dict[str, Any]:
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tino/cel_tree.proto", package="tino.cel", syntax="proto2")
    for message_name, fields in _LAYOUT.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind in fields:
            repeated, bare = kind.startswith("*"), kind.lstrip("*")
            label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            added = message.field.add(name=name, number=number, label=label)
            if bare in _LAYOUT:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".tino.cel.{bare}"
            else:
                added.type = field_type.Type.Value(f"TYPE_{bare.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tino.cel.{name}")) for name in _LAYOUT}


_MESSAGES = _message_classes()


def read_tree(serialized: bytes) -> Node:
    """The tree in `serialized`; of a tree that was only parsed, every node's kind is `dyn`."""
    wrapped = any_pb2.Any.FromString(serialized)
    name = "CheckedExpr" if wrapped.type_url.endswith("CheckedExpr") else "ParsedExpr"
    message = _MESSAGES[name].FromString(wrapped.value)
    kinds = {entry.key: _kind(entry.value) for entry in message.type_map} if name == "CheckedExpr" else {}
    offsets = {entry.key: entry.value for entry in message.source_info.positions}
    return _Reader(kinds, offsets).node(message.expr)


def _kind(declared: Any) -> str:
    if declared.HasField("primitive"):
        return _PRIMITIVES.get(declared.primitive, "dyn")
    if declared.HasField("well_known"):
        return _WELL_KNOWN.get(declared.well_known, "dyn")
    if declared.HasField("list_type"):
        return f"list<{_kind(declared.list_type.elem_type)}>"
    for field in ("map_type", "message_type", "null"):
        if declared.HasField(field):
            return field.removesuffix("_type")
    return "dyn"


class _Reader:
    def __init__(self, kinds: dict[int, str], offsets: dict[int, int]) -> None:
        self._kinds = kinds
        self._offsets = offsets

    def node(self, expr: Any) -> Node:
        kind, offset = self._kinds.get(expr.id, "dyn"), self._offsets.get(expr.id, 0)
        if expr.HasField("const_expr"):
            return _constant(expr.const_expr, offset)
        if expr.HasField("ident_expr"):
            return Ident(kind, offset, expr.ident_expr.name)
        if expr.HasField("select_expr"):
            select = expr.select_expr
            return Select(kind, offset, self.node(select.operand), select.field, select.test_only)
        if expr.HasField("call_expr"):
            call = expr.call_expr
            method = call.HasField("target")
            args = ([call.target] if method else []) + list(call.args)
            return Call(kind, offset, call.function, tuple(map(self.node, args)), method)
        if expr.HasField("list_expr"):
            return ListOf(kind, offset, tuple(map(self.node, expr.list_expr.elements)))
        if expr.HasField("comprehension_expr"):
            return self._fold(expr.comprehension_expr, kind, offset)
        return Call(kind, offset, "{}", (), False)

    def _fold(self, fold: Any, kind: str, offset: int) -> Node:
        if fold.iter_var2:
            return Call(kind, offset, "comprehension over two variables", (), False)
        return Fold(
            kind,
            offset,
            fold.iter_var,
            self.node(fold.iter_range),
            fold.accu_var,
            self.node(fold.accu_init),
            self.node(fold.loop_condition),
            self.node(fold.loop_step),
            self.node(fold.result),
        )


def _constant(constant: Any, offset: int) -> Const:
    for field, kind in _CONSTANTS.items():
        if constant.HasField(field):
            return Const(kind, offset, getattr(constant, field))
    return Const("null", offset, None)
