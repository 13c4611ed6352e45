"""Loading a model: its file read, compared with what the catalog was loaded with, bound to what the catalog declares.

All that can be wrong with a model is found here, before the first decision. Whatever passes can be fed by every
customer and every request that the catalog allows.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterable

from catalog.models import ModelFile
from catalog.plan import Plan
from models.encoding import Feature
from models.errors import FeatureError, ModelFileError
from models.inputs import declared_types
from models.probe import probe
from models.session import Session


def read_content(file: ModelFile) -> bytes:
    return file.path.read_bytes()


def open_model(file: ModelFile, plan: Plan, read: Callable[[ModelFile], bytes] = read_content) -> Session:
    """The model, ready to run. Raises ModelError with the first thing that is wrong with it."""
    try:
        content = read(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(file.name, f"its file can't be read ({reason}): {file.path}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        message = f"its file has changed since the catalog was loaded (SHA-256 {found[:12]}…, not {file.sha256[:12]}…)"
        raise ModelFileError(file.name, f"{message}: {file.path}")
    session = Session(file.name, content)
    check_features(file, session.metadata.features, plan)
    if file.label is not None and file.label != session.metadata.label:
        message = f"it was trained on the label `{session.metadata.label}`, but the catalog declares `{file.label}`"
        raise FeatureError(file.name, f"{message}; train it again")
    probe(session)
    return session


def check_features(file: ModelFile, features: Iterable[Feature], plan: Plan) -> None:
    """Raises FeatureError where a feature isn't declared, has another type, or isn't what the catalog lists."""
    types = declared_types(plan)
    for feature in features:
        declared = types.get(feature.path)
        if declared is None:
            close = difflib.get_close_matches(feature.path, types, 1)
            hint = f"; did you mean `{close[0]}`?" if close else ""
            raise FeatureError(file.name, f"it needs `{feature.path}`, which the catalog doesn't declare{hint}")
        if declared != feature.type:
            message = f"it takes `{feature.path}` as {feature.type}, but the catalog declares it as {declared}"
            raise FeatureError(file.name, f"{message}; train it again")
    given = tuple(feature.path for feature in features)
    if file.features and given != file.features:
        first = next(iter(sorted(set(given) ^ set(file.features))), "their order")
        message = f"it was trained on other features than the catalog lists (first difference: `{first}`)"
        raise FeatureError(file.name, f"{message}; train it again")
