"""`tino train` as it is typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalog.loading import check_catalog
from cli import app
from tests.models.rows import CATALOG, made_up, write

pytest.importorskip("skl2onnx", reason="the extra `train` is not installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "catalog.yaml").write_text(CATALOG)
    (tmp_path / ".data" / "shop" / "training").mkdir(parents=True)
    write(made_up(1200), tmp_path / ".data" / "shop" / "training" / "renewal.parquet")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["train", *arguments])
    return result.exit_code, result.output


def test_rows_and_file_have_their_places(folder: Path) -> None:
    assert [found.code for found in check_catalog(folder / "shop")] == ["model-file"]
    code, text = run("shop")
    assert code == 0, text
    assert "bytes in shop/renewal.onnx" in text
    assert "learned from  900 contacts" in text
    assert check_catalog(folder / "shop") == []
    assert [path.name for path in (folder / "shop").iterdir() if path.suffix != ".yaml"] == ["renewal.onnx"]


def test_both_may_be_elsewhere(folder: Path) -> None:
    data = write(made_up(800), folder / "other.parquet")
    code, text = run("shop", "--model", "renewal", "--data", str(data), "--out", str(folder / "new" / "m.onnx"))
    assert code == 0, text
    assert (folder / "new" / "m.onnx").is_file()
    assert not (folder / "shop" / "renewal.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop", "--model", "renewals"], "`renewals` is not a declared model; did you mean `renewal`?"),
        (["shop", "--data", "nowhere.parquet"], "no such file: nowhere.parquet"),
        (["nowhere"], "can't be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments: list[str], said: str, folder: Path) -> None:
    code, text = run(*arguments)
    assert (code, said in text) == (1, True), text
    assert "Traceback" not in text


def test_algorithms_are_checked(folder: Path) -> None:
    code, text = run("shop", "--algorithm", "magic")
    assert code == 2
    assert "is not logistic or lightgbm" in text


@pytest.mark.parametrize(
    ("here", "instead", "said"),
    [
        ("    label: renewed\n", "", "`label` is missing in the catalog"),
        ("models:\n", "models:\n  second: {onnx: s.onnx}\n", "2 models; say which of them: --model second | renewal"),
    ],
)
def test_a_catalog_that_does_not_say_enough(here: str, instead: str, said: str, folder: Path) -> None:
    (folder / "shop" / "catalog.yaml").write_text(CATALOG.replace(here, instead, 1))
    code, text = run("shop")
    assert (code, said in text) == (1, True), text


def test_a_catalog_without_models(folder: Path) -> None:
    head, _, tail = CATALOG.partition("models:\n")
    actions = tail[tail.index("actions:") :].replace("propensity: {model: renewal}, ", "")
    (folder / "shop" / "catalog.yaml").write_text(head + actions)
    code, text = run("shop")
    assert (code, "has 0 models; it declares none under `models`" in text) == (1, True), text
