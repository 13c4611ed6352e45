"""Files and directories: merging, and input that nobody meant well."""

import os
from pathlib import Path

import pytest

from catalog import sources
from catalog.diagnostics import CatalogError
from catalog.loading import check_catalog, load_catalog
from tests.catalog.conftest import Write

BASE = "catalog: 1\nname: parts\nchannels:\n  web: {direction: inbound}\n"


def _codes(path: Path) -> list[str]:
    return [found.code for found in check_catalog(path)]


def _split(folder: Path, **parts: str) -> Path:
    for name, text in parts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_directory_is_one_catalog_in_order_of_file_name(tmp_path: Path) -> None:
    action = "actions:\n  {name}:\n    value: 1\n    treatments: {{web: {{title: Hello}}}}\n"
    folder = _split(tmp_path, b=action.format(name="second"), a=action.format(name="first"), c=BASE)
    (folder / ".hidden.yaml").write_text("not: read")
    (folder / "notes.txt").write_text("not read")
    assert list(load_catalog(folder).spec.actions) == ["first", "second"]


def test_the_same_key_in_two_files_names_both(tmp_path: Path) -> None:
    folder = _split(tmp_path, a=BASE, b="channels:\n  web: {direction: inbound}\n")
    (found,) = [found for found in check_catalog(folder) if found.severity == "error"]
    assert found.file.endswith("b.yaml")
    assert f"{folder / 'a.yaml'}, line 4" in found.message


def test_a_sections_mapping_cannot_meet_something_else(tmp_path: Path) -> None:
    assert "duplicate-key" in _codes(_split(tmp_path, a=BASE, b="channels: [web]\n"))


ACTION = "actions:\n  hello:\n    value: 1\n    treatments: {web: {title: Hello}}\n"


@pytest.mark.parametrize(
    ("text", "path", "line", "wanted"),
    [
        (BASE + ACTION + "    eligible:\n", "actions.hello.eligible", 9, "`eligible` is empty: write a rule or leave"),
        (
            BASE + ACTION + "    until: ~\n",
            "actions.hello.until",
            9,
            "`until` is empty: write a value or leave the key",
        ),
        (BASE + ACTION.replace("Hello", "null"), "actions.hello.treatments.web.title", 8, "`title` is empty"),
        (BASE + ACTION.replace("value: 1", "value:"), "actions.hello.value", 7, "`value` is empty"),
        (BASE + ACTION + "derived:\n  # later: true\n", "derived", 9, "`derived` is empty"),
        (BASE + ACTION + "control_group:\n", "control_group", 9, "`control_group` is empty"),
        (
            BASE + ACTION + "contact_policies:\n  a: {limit: 1, rolling: 1d, scope: {channel: }}\n",
            "contact_policies.a.scope.channel",
            10,
            "`channel` is empty",
        ),
        (BASE + ACTION + "purposes: [~]\n", "purposes.0", 9, "an item of `purposes` is empty"),
    ],
)
def test_a_key_with_nothing_after_it_is_an_error(write: Write, text: str, path: str, line: int, wanted: str) -> None:
    (found,) = [found for found in check_catalog(write(text)) if found.severity == "error"]
    assert (found.code, found.path, found.line) == ("empty", path, line)
    assert wanted in found.message


def test_line_ends_of_windows_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + (BASE + "colour: blue\n").replace("\n", "\r\n").encode())
    (found,) = [found for found in check_catalog(file) if found.severity == "error"]
    assert (found.line, found.column, found.path) == (5, 1, "colour")


def test_one_unreadable_file_hides_what_the_others_would_lack(tmp_path: Path) -> None:
    folder = _split(
        tmp_path, a="actions:\n  hello: {value: 1, treatments: {web: {title: a}}}\n", b="channels: {web: [\n"
    )
    assert _codes(folder) == ["yaml-syntax"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"---\n", "empty"),
        (b"null", "empty"),
        (b"just words", "wrong-value"),
        (b"- a\n- b\n", "wrong-value"),
        (b"\x00\x01\x02\xff\xfe", "unreadable"),
        (b"a: \x07\n", "yaml-syntax"),
        (b"a: b: c\n", "yaml-syntax"),
        (b"%YAML 9.9\n---\na: 1\n", "yaml-syntax"),
        (b'a: "\\UFFFFFFFF"\n', "yaml-syntax"),
        (b'"\\ud800": 0xffffffffffffffffffffffffffffffffffffffffffffffffff\n', "yaml-syntax"),
        (b"catalog: 1\n---\ncatalog: 1\n", "yaml-documents"),
        (b"a: *b\n", "yaml-alias"),
        (b"a: &a [*a]\n", "yaml-alias"),
        (b"[" * 100_000, "yaml-depth"),
        (b"a: !!python/object/apply:os.system [id]\n", "yaml-tag"),
    ],
)
def test_what_is_no_catalog_is_said_so(content: bytes, code: str, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_bytes(content)
    assert code in _codes(file)
    with pytest.raises(CatalogError):
        load_catalog(file)


def test_an_alias_bomb_is_refused_before_it_is_unfolded(write: Write) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 12):
        bomb += f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * 10) + "]\n"
    assert _codes(write(bomb)) == ["yaml-size"]


def test_an_alias_stands_for_what_it_names(write: Write) -> None:
    text = BASE + (
        "actions:\n"
        "  first: {value: 1, treatments: &shown {web: {title: Hello}}}\n"
        "  second: {value: 2, treatments: *shown}\n"
    )
    assert load_catalog(write(text)).spec.actions["second"].treatments["web"].content == {"title": "Hello"}


def test_too_much_text_is_refused_unparsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    assert _codes(_split(tmp_path, a="# " + "x" * 200)) == ["too-large"]
    assert _codes(_split(tmp_path, a="# " + "x" * 60, b="# " + "x" * 60)) == ["empty", "too-large"]


def test_what_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    assert _codes(tmp_path / "absent.yaml") == ["unreadable"]
    assert _codes(tmp_path) == ["unreadable"]
    assert _codes(Path("nul\0byte")) == ["unreadable"]
    (tmp_path / "folder.yaml").mkdir()
    assert _codes(tmp_path) == ["unreadable"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(write: Write) -> None:
    file = write(BASE)
    file.chmod(0)
    assert _codes(file) == ["unreadable"]
