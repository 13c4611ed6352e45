"""`tino check`: every finding at its place, and an exit code for machines."""

from pathlib import Path

from tests.cli.conftest import CATALOG, Tino


def test_a_sound_catalog(tino: Tino) -> None:
    done = tino("check", "catalog.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "catalog.yaml: 0 errors, 0 warnings\n", "")


def test_errors_name_file_line_and_what_would_be_right(tino: Tino, folder: Path) -> None:
    comments = "# more\n" * 93
    bad = CATALOG.replace("visits > 3", "visit > 3").replace("  daily:", f"{comments}  daily:")
    (folder / "bad.yaml").write_text(bad + "colour: red\n")
    done = tino("check", "bad.yaml")
    assert (done.returncode, done.stdout) == (1, "bad.yaml: 2 errors, 0 warnings\n")
    rule, colour = done.stderr.splitlines()
    assert rule.startswith("bad.yaml:10:")
    assert "actions.regulars.eligible" in rule
    assert "visits" in rule
    assert colour.startswith("bad.yaml:107:1: error: colour: ")  # and not an emoji for any `:100:` on the way


def test_warnings_alone_do_not_fail(tino: Tino, folder: Path) -> None:
    (folder / "old.yaml").write_text(CATALOG.replace("hello: {", "hello: {until: 2020-01-01, "))
    done = tino("check", "old.yaml", "--now", "2026-01-01")
    assert (done.returncode, done.stdout) == (0, "old.yaml: 0 errors, 1 warning\n")
    assert "warning: actions.hello.until" in done.stderr
    assert tino("check", "old.yaml", "--now", "2019-12-31T23:59").stdout == "old.yaml: 0 errors, 0 warnings\n"


def test_what_is_not_there_or_not_a_catalog(tino: Tino, folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (folder / "[b]x[").mkdir()
    for path in ("empty", "bytes.yaml", "[/].yaml", "[b]x["):
        done = tino("check", path)
        assert done.returncode == 1
        assert done.stderr.startswith(path)
        assert done.stdout.startswith(f"{path}: 1 error,")


def test_a_time_that_is_none(tino: Tino) -> None:
    done = tino("check", "catalog.yaml", "--now", "tomorrow")
    assert done.returncode == 2
    assert "'tomorrow' is not a time such as 2017-10-01T09:00" in done.stderr


def test_a_model_that_can_not_be_loaded_is_an_error(tino: Tino, folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"not a model")
    asked = CATALOG.replace("actions:\n", "models: {liking: {onnx: broken.onnx}}\nactions:\n")
    asked = asked.replace("hello: {value: 1,", "hello: {value: 1, propensity: {model: liking},")
    (folder / "asks.yaml").write_text(asked)
    for warned, until in (("0 warnings", ""), ("1 warning", "until: 2020-01-01, ")):
        (folder / "asks.yaml").write_text(asked.replace("hello: {", f"hello: {{{until}"))
        done = tino("check", "asks.yaml", "--now", "2026-01-01")
        assert (done.returncode, done.stdout) == (1, f"asks.yaml: 1 error, {warned}\n")
        assert "model `liking`" in done.stderr
    refused = tino("decide", "asks.yaml", "a", "--now", "2026-01-01")
    assert (refused.returncode, refused.stdout) == (1, "")
