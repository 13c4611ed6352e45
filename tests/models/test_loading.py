"""What a model is refused for when the catalog's plan loads it, one by one, in words that help."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.errors import FeatureError, MetadataError, ModelError, ModelFileError, ProbabilityError
from models.scoring import Models
from tests.models.onnx_files import CATALOG, GROUP, NUMBER, logistic, metadata, onnx, plan_with

SOUND = logistic([0.1], metadata(NUMBER))


def test_a_sound_one_loads(tmp_path: Path) -> None:
    Models(plan_with(SOUND, tmp_path))


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"not a model", ModelFileError, "can't load it"),
        (logistic([0.1], metadata(NUMBER), opset=99), ModelFileError, "opset"),
        (logistic([0.1], {}), MetadataError, "no `tino`"),
        (logistic([0.1], {"tino": "{"}), MetadataError, "can't be understood"),
        (logistic([0.1], metadata(NUMBER, format=2)), MetadataError, "format 2; this version reads 1"),
        (logistic([0.1], metadata(NUMBER, label=None)), MetadataError, "label"),
        (logistic([0.1], metadata(NUMBER, trained_at=None)), MetadataError, "trained_at"),
        (logistic([0.1], metadata(NUMBER, features=None)), MetadataError, "features"),
        (logistic([0.1], metadata()), MetadataError, "features"),
        (logistic([0.1], metadata(NUMBER, output="p1")), MetadataError, "output `p1`; the graph has probabilities"),
        (logistic([0.1], metadata({**NUMBER, "encoding": "one_of"})), MetadataError, "encoded as number, not one_of"),
        (logistic([0.1], metadata({**NUMBER, "least": 2.0, "most": 1.0})), MetadataError, "more than `most`"),
        (logistic([0.1], metadata({**NUMBER, "scale": 2})), MetadataError, "scale"),
        (logistic([0.1], metadata({**GROUP, "categories": []})), MetadataError, "`categories` are missing"),
        (logistic([0.1], metadata({**GROUP, "categories": ["a", "a"]})), MetadataError, "twice"),
        (logistic([0.1], metadata({**NUMBER, "name": "visit"})), FeatureError, "did you mean `customer.visits`"),
        (logistic([0.1], metadata({**NUMBER, "owner": "user"})), FeatureError, "`user.visits`"),
        (logistic([0.1], metadata({**NUMBER, "type": "double"})), FeatureError, "declares it as int; train it again"),
        (logistic([0.1, 0.2], metadata(NUMBER)), FeatureError, "2 columns, but the features in its metadata make 1"),
        (logistic([0.1], metadata(NUMBER), rows=1), FeatureError, "any number of rows and 1 columns"),
        (logistic([0.1], metadata(NUMBER), kind=onnx.TensorProto.STRING), FeatureError, "encoded before the graph"),
        (logistic([0.1], metadata(NUMBER), kind=onnx.TensorProto.INT64), FeatureError, "tensor(int64)"),
        (logistic([0.1], metadata(NUMBER), columns=3), ProbabilityError, "one probability each is needed"),
        (logistic([0.1], metadata(NUMBER), last="Identity"), ProbabilityError, "which is no probability"),
        (logistic([0.1], metadata({**NUMBER, "fill": None})), ProbabilityError, "with missing values: gave nan"),
    ],
)  # fmt: skip
def test_refused(content: bytes, error: type[ModelError], said: str, tmp_path: Path) -> None:
    plan = plan_with(content, tmp_path)
    with pytest.raises(error, match="model `renewal`: ") as refused:
        Models(plan)
    assert said in str(refused.value)
    assert refused.value.model == "renewal"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(SOUND + b" "), "has changed since the catalog was loaded"),
        (lambda file: file.unlink(), "can't be read (No such file or directory)"),
    ],
)
def test_refused_if_the_file_is_not_what_it_was(spoil: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    plan = plan_with(SOUND, tmp_path)
    spoil(tmp_path / "renewal.onnx")
    with pytest.raises(ModelFileError) as refused:
        Models(plan)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("label: bought", "trained on the label `renewed`, but the catalog declares `bought`"),
        ("features: [customer.visits, context.page]", "first difference: `context.page`"),
    ],
)
def test_refused_if_it_was_trained_for_something_else(declared: str, said: str, tmp_path: Path) -> None:
    catalog = CATALOG.replace("onnx: renewal.onnx", f"onnx: renewal.onnx, {declared}")
    with pytest.raises(FeatureError) as refused:
        Models(plan_with(SOUND, tmp_path, catalog))
    assert said in str(refused.value)


def test_refused_with_other_inputs_than_one_matrix(tmp_path: Path) -> None:
    model = onnx.load_from_string(SOUND)
    model.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, ["N", 1]))
    with pytest.raises(FeatureError) as refused:
        Models(plan_with(model.SerializeToString(), tmp_path))
    assert "2 inputs (features, more)" in str(refused.value)


def test_bytes_may_come_from_elsewhere(tmp_path: Path) -> None:
    plan = plan_with(SOUND, tmp_path)
    (tmp_path / "renewal.onnx").unlink()
    Models(plan, lambda file: SOUND)


def test_the_runtime_reports_to_nobody(tmp_path: Path) -> None:
    """Its wheels would, by default; the switch has to be thrown before they are imported."""
    program = "import models.session, os, threading; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    told = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert list(tmp_path.iterdir()) == [], "what it would send is collected in a cache of the user's"
    lines = (Path(__file__).parents[2] / "models/session.py").read_text(encoding="utf-8").splitlines()
    thrown = next(number for number, line in enumerate(lines) if "ORT_DISABLE_TELEMETRY" in line)
    assert thrown < next(number for number, line in enumerate(lines) if line.startswith("import onnxruntime"))
