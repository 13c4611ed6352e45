"""Loading: files in, an immutable and fully checked catalog out; or every reason why not."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from catalog.aggregate_checks import check_aggregates
from catalog.attributes import written
from catalog.diagnostics import CatalogError, Diagnostic
from catalog.digest import digest
from catalog.expressions import check_expressions
from catalog.lint import lint
from catalog.model_checks import check_models
from catalog.models import ModelFile
from catalog.policy_checks import check_counting
from catalog.references import check_references
from catalog.report import Report
from catalog.sources import Sources, read_sources, sources_of
from catalog.spec import Catalog, treatment_id
from catalog.template_checks import check_templates
from catalog.templates import Content
from catalog.validation import validate
from rules.checking import CheckedRule, Environment


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """A catalog without errors.

    `checked` maps paths (`derived.x` first and in order, `aggregates.<name>.where`, `segments.<name>`,
    `scores.<name>.parts.<name>.value`, `actions.<name>.eligible`, `channels.<name>.address`,
    `actions.<name>.context_weights.<name>.when`, `contact_policies.<name>.per`, `preferred_channel`) to checked rules;
    `templates` maps treatment ids to their content, ready to be rendered; `models` maps names to the models' files;
    `digest` names everything the catalog means.
    `values` and `texts` are what it was loaded from: the plain values of all files together, and each file's text by
    its path.
    """

    spec: Catalog
    environment: Environment
    checked: Mapping[str, CheckedRule]
    templates: Mapping[str, Content]
    models: Mapping[str, ModelFile]
    warnings: tuple[Diagnostic, ...]
    digest: str
    values: Mapping[str, Any]
    texts: Mapping[str, str]


def load_catalog(path: Path, now: datetime | None = None, *, trained: bool = True) -> LoadedCatalog:
    """Loads a YAML file, or a directory of them as one catalog.

    With `now` (aware), the warnings include actions whose time has passed. With `trained` False, models need
    no file yet; such a catalog is for training, not for decisions. Raises CatalogError with everything
    that was found if any of it is an error.
    """
    report, loaded = _load(lambda: read_sources(path), now, trained)
    if loaded is None:
        raise CatalogError(report.in_order())
    return loaded


def load_values(values: dict[str, Any], file: Path) -> LoadedCatalog:
    """Loads what files were found to say before, as if it stood in `file`. Raises CatalogError."""
    report, loaded = _load(lambda: sources_of(values, str(file)), None, True)
    if loaded is None:
        raise CatalogError(report.in_order())
    return loaded


def check_catalog(path: Path, now: datetime | None = None) -> list[Diagnostic]:
    """Every error and warning, in file order; empty for a catalog beyond reproach. Raises for no content."""
    report, _ = _load(lambda: read_sources(path), now, True)
    return report.in_order()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Nearly all that loading makes stays or dies together: looking for cycles in it costs a sixth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_collector_paused()
def _load(read: Callable[[], Sources], now: datetime | None, trained: bool) -> tuple[Report, LoadedCatalog | None]:
    report = Report(read())
    if not report.sources.complete or (report.failed and not report.sources.root.entries):
        return report, None
    spec = validate(report)
    if spec is None:
        return report, None
    check_references(spec, report)
    check_counting(spec, report)
    kept = check_aggregates(spec, report)
    environment, checked = check_expressions(spec, kept, report)
    check_templates(spec, report, _declared_names(report))
    models = check_models(spec, checked, _declared_names(report), report, trained=trained)
    if report.failed:
        return report, None
    lint(spec, checked, report, now)
    templates = {
        treatment_id(action, channel): Content(treatment.content) for action, _, channel, treatment in spec.treatments()
    }
    loaded = LoadedCatalog(
        spec=spec,
        environment=environment,
        checked=MappingProxyType(checked),
        templates=MappingProxyType(templates),
        models=MappingProxyType(models),
        warnings=tuple(report.in_order()),
        digest=digest(spec, models),
        values=MappingProxyType(report.sources.values),
        texts=MappingProxyType(report.sources.texts),
    )
    return report, loaded


def _declared_names(report: Report) -> dict[str, set[str]]:
    """What templates may name, also where the declaration itself is wrong: that is reported where it stands."""
    values = report.sources.values
    context = values.get("context")
    return {
        "customer": {name for name, _ in written(values)},
        "context": set(context) if isinstance(context, dict) else set(),
    }
