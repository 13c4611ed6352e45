"""The official checker, told what the catalog declares: `customer` and `context`, or `event`, as messages, `now`, and
Tino's functions.

As messages, so that a misspelt attribute is an error. Expressions are *evaluated* on maps: in a message a missing field
would read as its type's zero.
"""

from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, timestamp_pb2, wrappers_pb2

from rules.history import CONTACTED, RESPONDED, SINCE_CONTACT

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "int": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
    "bool": _FIELD.TYPE_BOOL,
}
_MESSAGES = {"timestamp": ".google.protobuf.Timestamp", "duration": ".google.protobuf.Duration"}
DERIVABLE = {*_SCALARS, *_MESSAGES, "list<string>"}


def official_checker(fields: Mapping[str, Mapping[str, str]], with_time: bool = True) -> Any:
    """`fields` are the types of each owner's attributes, by name; without time there is no `now` and no zone."""
    file = descriptor_pb2.FileDescriptorProto(name="tino/rules.proto", package="tino", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/duration.proto"])
    for owner, declared in fields.items():
        message = file.message_type.add(name=owner.capitalize())
        message.options.deprecated_legacy_json_field_conflicts = True  # `a_b` and `aB` are two attributes
        for number, (name, kind) in enumerate(declared.items(), start=1):
            _add_field(message, name, number + 999 * (number >= 19000), kind)
    pool = descriptor_pool.DescriptorPool()
    for known in (timestamp_pb2, duration_pb2, any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    variables = {owner: cel.Type(f"tino.{owner.capitalize()}") for owner in fields}
    if with_time:
        variables["now"] = cel.Type.TIMESTAMP
    return cel.NewEnv(pool, variables=variables, functions=tino_functions()[0 if with_time else WITH_TIME :])


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    # 19000 to 19999 are protobuf's own field numbers: the caller skips them.
    label = _FIELD.LABEL_REPEATED if kind == "list<string>" else _FIELD.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind in _MESSAGES:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, _MESSAGES[kind]
    else:
        field.type = _SCALARS["string" if kind == "list<string>" else kind]


WITH_TIME = 4  # of Tino's functions need a time: the first ones


def tino_functions(days_until: Any = None, in_band: Any = None) -> list[Any]:
    """The declarations of Tino's functions, first those that need a time; the arguments give them bodies for the
    official evaluator.
    """
    kinds = cel.Type
    return [
        cel.FunctionDecl(
            "days_until", [cel.Overload("days_until_timestamp", kinds.INT, [kinds.TIMESTAMP], impl=days_until)]
        ),
        cel.FunctionDecl(
            CONTACTED, [cel.Overload("contacted_string_duration", kinds.BOOL, [kinds.STRING, kinds.DURATION])]
        ),
        cel.FunctionDecl(
            RESPONDED, [cel.Overload("responded_string_string", kinds.BOOL, [kinds.STRING, kinds.STRING])]
        ),
        cel.FunctionDecl(SINCE_CONTACT, [cel.Overload("since_contact_string", kinds.DURATION, [kinds.STRING])]),
        cel.FunctionDecl(
            "in_band",
            [
                cel.Overload(f"in_band_{kind.name()}", kinds.BOOL, [kind] * 3, impl=in_band)
                for kind in (kinds.INT, kinds.DOUBLE)
            ],
        ),
    ]
