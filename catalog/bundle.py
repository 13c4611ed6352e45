"""A bundle: everything a catalog was loaded from, in one piece of bytes, so that it can be loaded again anywhere.

It holds the files as they were read, for people and for other tools, and the same once more as plain values: reading
YAML takes longer than all the rest of loading, and what it came to is known. Files of models lie under the hash of
their bytes, and the values name them so: where a catalog's author keeps them is no matter of those who load it again.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from catalog.diagnostics import CatalogError, Diagnostic
from catalog.loading import LoadedCatalog, load_values

FORMAT = b"tino-bundle-1\n"


class BundleError(ValueError):
    """These bytes are no bundle, or it does not load to the catalog it is kept as; the message says which."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """`values` is the merged catalog as JSON, `files` the bytes of each file by its name."""

    values: bytes
    files: Mapping[str, bytes]


def bundle_of(catalog: LoadedCatalog) -> Bundle:
    """Raises BundleError if a model's file is no longer what was loaded, OSError if it can't be read."""
    files = {Path(name).name: text.encode() for name, text in catalog.texts.items()}
    values = dict(catalog.values)
    for name, model in catalog.models.items():
        data = model.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != model.sha256:
            raise BundleError(f"{model.path} has changed since the catalog was loaded: load it again")
        files[f"{model.sha256}.onnx"] = data
        values["models"] = values["models"] | {name: values["models"][name] | {"onnx": f"{model.sha256}.onnx"}}
    return Bundle(json.dumps(values).encode(), files)


def pack(bundle: Bundle) -> bytes:
    return FORMAT + zlib.compress(msgspec.msgpack.encode((bundle.values, dict(bundle.files))))


def unpack(packed: bytes) -> Bundle:
    """Raises BundleError."""
    if not packed.startswith(FORMAT):
        raise BundleError("this is no bundle of a catalog, or one that a later Tino has written")
    try:
        raw = zlib.decompress(packed[len(FORMAT) :])
        values, files = msgspec.msgpack.decode(raw, type=tuple[bytes, dict[str, bytes]])
    except (zlib.error, msgspec.MsgspecError) as error:
        raise BundleError(f"this bundle of a catalog is damaged: {error}") from error
    return Bundle(values, files)


def load_bundle(bundle: Bundle, digest: str, folder: Path) -> LoadedCatalog:
    """The very catalog that is named `digest`. Raises BundleError if it isn't, or does not load any more; OSError.

    Files of models are written to `folder`, and have to stay there until the models are loaded.
    """
    for name, data in bundle.files.items():
        if name == f"{hashlib.sha256(data).hexdigest()}.onnx":
            (folder / name).write_bytes(data)
    try:
        loaded = load_values(values_in(bundle), folder / "catalog.yaml")
    except CatalogError as error:
        raise BundleError(f"this Tino can't load {digest}: {_first(error.diagnostics)}") from error
    if loaded.digest != digest:
        raise BundleError(f"what is kept as {digest} means {loaded.digest} to this Tino")
    return loaded


def name_in(bundle: Bundle) -> str:
    """What the catalog is called, without loading it. Raises BundleError."""
    name = values_in(bundle).get("name")
    if not isinstance(name, str):
        raise BundleError("the catalog in this bundle has no name")
    return name


def values_in(bundle: Bundle) -> dict[str, Any]:
    """What the catalog declares, as it was written. Raises BundleError."""
    try:
        values = json.loads(bundle.values)
    except ValueError as error:
        raise BundleError(f"the values in this bundle of a catalog are damaged: {error}") from error
    if not isinstance(values, dict):
        raise BundleError("the values in this bundle of a catalog are no mapping")
    return values


def _first(found: Sequence[Diagnostic]) -> str:
    first = next(diagnostic for diagnostic in found if diagnostic.severity == "error")
    return f"{first.path}: {first.message}"
