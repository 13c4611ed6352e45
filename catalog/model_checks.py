"""What is declared of models: files that are there, features that exist, propensities that name a model."""

import hashlib
from collections.abc import Mapping
from pathlib import Path as FilePath

from catalog.models import TREATMENT_FEATURES, Model, ModelFile, ModelPropensity
from catalog.nodes import Path
from catalog.report import Report, did_you_mean
from catalog.spec import Catalog
from rules.checking import CheckedRule
from rules.types import AttributeType

MAX_BYTES = 256 * 2**20


def check_models(
    spec: Catalog,
    checked: Mapping[str, CheckedRule],
    declared: Mapping[str, set[str]],
    report: Report,
    *,
    trained: bool = True,
) -> dict[str, ModelFile]:
    """The models' files by name. `declared` are the attributes by owner; with `trained` the files must be there."""
    written = report.sources.values.get("models")
    _check_references(spec, set(written) if isinstance(written, dict) else set(), report)
    files = {}
    for name, model in spec.models.items():
        for place, feature in enumerate(model.features):
            _check_feature(feature, checked, declared, ("models", name, "features", str(place)), report)
        found = _file(name, model, report, trained)
        if found is not None:
            files[name] = found
    return files


def _check_references(spec: Catalog, known: set[str], report: Report) -> None:
    for name, action in spec.actions.items():
        given = action.propensity
        if isinstance(given, ModelPropensity) and given.model not in known:
            message = f"`{given.model}` is not a declared model{did_you_mean(given.model, known)}"
            report.error("unknown-name", ("actions", name, "propensity", "model"), message)


def _check_feature(
    feature: str, checked: Mapping[str, CheckedRule], declared: Mapping[str, set[str]], path: Path, report: Report
) -> None:
    owner, _, name = feature.partition(".")
    if owner not in (*declared, "treatment"):
        message = f"`{feature}` is no feature: these begin with `customer.`, `context.` or `treatment.`"
        report.error("wrong-value", path, message)
        return
    known = declared.get(owner, TREATMENT_FEATURES)
    if name not in known:
        hint = did_you_mean(feature, (f"{owner}.{each}" for each in known))
        report.error("unknown-name", path, f"`{feature}` is not declared{hint}")
    derived = checked.get(f"derived.{name}") if owner == "customer" else None
    if derived is not None and derived.kind not in list(AttributeType):
        message = f"`{feature}` is a {derived.kind}, which is no feature; derive a number from it"
        report.error("wrong-value", path, message)


def _file(name: str, model: Model, report: Report, trained: bool) -> ModelFile | None:
    path = ("models", name, "onnx")
    file = FilePath(report.sources.mark(path).file).parent / model.onnx
    try:
        if file.stat().st_size > MAX_BYTES:
            report.error("model-file", path, f"`{model.onnx}` is larger than a model may be, {MAX_BYTES >> 20} MiB")
            return None
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        if trained:
            reason = getattr(error, "strerror", None) or error
            message = f"`{model.onnx}` can't be read ({reason}): {file}; `tino train` makes it"
            report.error("model-file", path, message)
            return None
        sha256 = ""
    return ModelFile(name, file, sha256, model.features, model.label)
