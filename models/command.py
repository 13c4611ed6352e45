"""`tino train`: trains a model that the catalog declares, prints what it is worth, writes its file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from catalog.building import build_plan
from catalog.diagnostics import CatalogError
from catalog.loading import LoadedCatalog, load_catalog
from catalog.models import Model
from catalog.report import did_you_mean
from features.columns import ImportFileError
from models.algorithms import ALGORITHMS
from models.errors import ModelError, TrainingError
from models.report import report
from models.training import Task, save, train


def train_command(
    catalog: Annotated[Path, typer.Argument(help="A catalog: a YAML file or a directory of them.")],
    model: Annotated[
        str | None, typer.Option(help="Which of the catalog's models; may be left out if it has one.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The rows: CSV, JSON Lines or Parquet. Default: .data/CATALOG/training/MODEL.parquet"),
    ] = None,
    algorithm: Annotated[str, typer.Option(help="logistic or lightgbm.")] = "logistic",
    out: Annotated[Path | None, typer.Option(help="The file to write; default: the one the catalog names.")] = None,
) -> None:
    """Train a model from past contacts and print what it is worth, beside each group's base rate."""
    if algorithm not in ALGORITHMS:
        raise typer.BadParameter(f"{algorithm!r} is not {' or '.join(ALGORITHMS)}", param_hint="--algorithm")
    try:
        loaded = load_catalog(catalog, trained=False)
        name = _chosen(loaded, model)
        declared = loaded.spec.models[name]
        task = _task(name, declared, algorithm)
        plan = build_plan(loaded)
        rows = data or _default_data(catalog, name)
        if data is None and not rows.exists():
            raise TrainingError(
                f"there are no rows at {rows}: name a file of past contacts by --data "
                "(those of the grocery example are made by `python -m examples.grocery.training`)"
            )
        trained = train(task, rows, plan, datetime.now(UTC).replace(microsecond=0))
        for line in report(trained):
            typer.echo(line)
        path = out or loaded.models[name].path
        save(trained, path, plan)
    except CatalogError as error:
        typer.echo("\n".join(str(each) for each in error.diagnostics if each.severity == "error"), err=True)
        raise typer.Exit(code=1) from None
    except (TrainingError, ModelError, ImportFileError, OSError) as error:
        typer.echo(f"tino: {error}", err=True)
        raise typer.Exit(code=1) from None
    typer.echo(f"{len(trained.content):,} bytes in {path}")


def _chosen(loaded: LoadedCatalog, model: str | None) -> str:
    models = loaded.spec.models
    if model is None and len(models) == 1:
        return next(iter(models))
    if model is None:
        hint = f"say which of them: --model {' | '.join(models)}" if models else "it declares none under `models`"
        raise TrainingError(f"the catalog {loaded.spec.name} has {len(models)} models; {hint}")
    if model not in models:
        raise TrainingError(f"`{model}` is not a declared model{did_you_mean(model, models)}")
    return model


def _task(name: str, model: Model, algorithm: str) -> Task:
    if model.label is None or not model.features:
        missing = "`label`" if model.label is None else "`features`"
        raise TrainingError(f"model `{name}`: {missing} is missing in the catalog; training needs it")
    return Task(name, model.label, model.features, model.test_from, algorithm)


def _default_data(catalog: Path, model: str) -> Path:
    return Path(".data") / catalog.stem / "training" / f"{model}.parquet"
