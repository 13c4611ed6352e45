"""What is shipped: the image's recipe, the services of compose.yaml, and the wheel that both rest on.

No image is built here. What a build does is done by hand: the wheel is made of what .dockerignore lets through, and
served from there by the image's own command, in an empty folder, asked by the image's own health check.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from ruamel.yaml import YAML

from features.redis_server import EmbeddedRedis
from settings import PREFIX, Settings
from tests.cli.conftest import environment
from tests.cli.test_serve import READY_WITHIN, free_port, until_alive

ROOT = Path(__file__).parents[1]
CATALOG = ROOT / "examples" / "customer-success"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILT = PROJECT["tool"]["setuptools"]
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = YAML(typ="safe").load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


class Instruction(NamedTuple):
    """A line of the Dockerfile, continuations joined: `COPY`, and what is said after it."""

    name: str
    said: str


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def final_stage() -> list[Instruction]:
    found = instructions()
    return found[max(number for number, each in enumerate(found) if each.name == "FROM") :]


def said(name: str) -> str:
    """By the one instruction of this name in the final stage."""
    (found,) = (each.said for each in final_stage() if each.name == name)
    return found


def let_through() -> list[Path]:
    """What .dockerignore leaves in the context, relative to the root."""
    everything, *rest = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    assert everything == "*"
    assert rest[-1] == "**/__pycache__"
    assert all(line.startswith("!") for line in rest[:-1])
    return [Path(line[1:]) for line in rest[:-1]]


def test_only_what_the_wheel_is_made_of_is_let_through() -> None:
    modules = {f"{name}.py" for name in BUILT["py-modules"]}
    packages = {name.replace(".", "/") for name in BUILT["packages"]} - {"examples"} | {"examples/__init__.py"}
    named = {"LICENSE", "README.md", "pyproject.toml", "requirements/build.txt", "requirements/serve.txt"}
    assert {str(path) for path in let_through()} == modules | packages | named
    assert [path for path in let_through() if not (ROOT / path).exists()] == []


def test_what_is_copied_is_there() -> None:
    copied = [each.said.split() for each in instructions() if each.name == "COPY"]
    sources = [Path(source) for words in copied if not words[0].startswith("--from=") for source in words[:-1]]
    assert sources
    assert [path for path in sources if path != Path() and path not in let_through()] == []


def test_packages_are_installed_by_their_hashes() -> None:
    commands = [command for each in instructions() if each.name == "RUN" for command in each.said.split("&&")]
    installs = [command for command in commands if " install " in command and "pip" in command]
    assert len(installs) == 3
    assert all("--require-hashes" in command or "--no-deps --no-index" in command for command in installs)


def test_images_are_named_with_their_version() -> None:
    images = [each.said.split()[0] for each in instructions() if each.name == "FROM"]
    images += [service["image"] for service in SERVICES.values()]
    tags = [image.partition(":")[2] for image in images]
    assert all(re.match(r"\d", tag) for tag in tags), images
    assert SERVICES["tino"]["image"] == f"{PROJECT['project']['name']}:{PROJECT['project']['version']}"
    python = next(image for image in images if image.startswith("python:"))
    assert python == "python:3.12-slim"  # a version that pyproject.toml takes
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.13"


def test_nothing_runs_as_root() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", said("USER"))
    assert SERVICES["redis"]["user"] == "redis"
    assert not {"user", "privileged"} & {key for name in ("tino", "archive") for key in SERVICES[name]}


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert (service["init"], service["read_only"], service["cap_drop"]) == (True, True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"stop_grace_period", "logging"} <= set(service)


def test_redis_keeps_what_it_acknowledges_and_is_reached_from_inside_alone() -> None:
    redis = SERVICES["redis"]
    program, *words = redis["command"]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert program == "redis-server"
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    assert options["--appendfsync"] == "${TINO_APPENDFSYNC:-everysec}"
    assert redis["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]
    assert "ports" not in redis
    assert [COMPOSE["networks"][network] for network in redis["networks"]] == [{"internal": True}]
    assert "redis-cli ping" in redis["healthcheck"]["test"][1]


def test_both_wait_for_the_redis_they_share() -> None:
    for name in ("tino", "archive"):
        service = SERVICES[name]
        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert service["environment"]["REDIS_URL"] == "redis://redis:6379/0"
        assert set(service["networks"]) & set(SERVICES["redis"]["networks"])
    # What has to be alike in all who use one Redis.
    assert SERVICES["archive"]["environment"].items() <= SERVICES["tino"]["environment"].items()


def test_the_archiver_writes_what_the_service_reads() -> None:
    tino, archive = SERVICES["tino"], SERVICES["archive"]
    assert archive["image"] == tino["image"]
    assert archive["command"] == ["archive"]
    assert archive["volumes"] == ["data:/data"]
    assert "data:/data:ro" in tino["volumes"]
    assert "data" in COMPOSE["volumes"]
    assert "TINO_DATA=/data" in " ".join(each.said for each in final_stage() if each.name == "ENV")
    assert "/data/archive/progress.json" in archive["healthcheck"]["test"][-1]


def test_nothing_is_served_without_a_key() -> None:
    assert re.match(
        r"\$\{TINO_API_KEYS:\?must .*tino-decide:0\.1\.0 key .*\}$", SERVICES["tino"]["environment"]["TINO_API_KEYS"]
    )
    assert SERVICES["tino"]["ports"] == ["${PUBLISH:-127.0.0.1:8000}:8000"]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["tino"]


def test_what_may_be_set_is_documented() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    variables = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert {name for name in variables if f"`{name}`" not in page} == set()


def test_every_setting_of_a_worker_may_be_set() -> None:
    """But for what the services have laid down: where the files are, which Redis it is and how that keeps its own."""
    laid_down = {"TINO_CATALOG", "TINO_DATA", "TINO_NOW", "TINO_REDIS_URL", "TINO_APPENDFSYNC"}
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert settings - laid_down <= SERVICES["tino"]["environment"].keys()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of a copy, as building leaves things beside the sources."""
    context = tmp_path_factory.mktemp("context")
    for path in let_through():
        (context / path).parent.mkdir(exist_ok=True, parents=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, context / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, context / path)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist", "."]
    subprocess.run(command, cwd=context, check=True, timeout=READY_WITHIN, stdin=subprocess.DEVNULL)
    (found,) = (context / "dist").glob("*.whl")
    return found


def test_the_wheel_has_every_file_of_its_packages(wheel: Path) -> None:
    folders = [name.replace(".", "/") for name in BUILT["packages"]]
    there = {
        f"{folder}/{file.name}"
        for folder in folders
        for file in (ROOT / folder).iterdir()
        if file.is_file() and file.suffix != ".md"
    }
    with zipfile.ZipFile(wheel) as opened:
        assert there <= set(opened.namelist())
    assert {"features/commit.lua", "archive/trim.lua", "examples/grocery/catalog.yaml"} <= there


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """A folder with what the wheel has: all of it is Python, and so installed by unpacking."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
    return tmp_path / "installed"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path / "redis") as server:
        yield server


def healthy(port: int, away_from: Path) -> bool:
    """As the image asks, on another port."""
    command = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    program = [sys.executable, *(word.replace("127.0.0.1:8000", f"127.0.0.1:{port}") for word in command[1:])]
    proxied = environment(http_proxy="http://127.0.0.1:1")
    return (
        subprocess.run(program, cwd=away_from, env=proxied, capture_output=True, timeout=60, check=False).returncode
        == 0
    )


def test_the_image_s_command_serves_from_what_is_installed(
    installed: Path, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    empty, port = tmp_path / "empty", free_port()
    empty.mkdir()
    variables = environment(
        PYTHONPATH=os.fspath(installed), REDIS_URL=redis.url,
        TINO_CATALOG=str(CATALOG), TINO_DATA=str(tmp_path / "data"), TINO_PARTITIONS="", TINO_API_KEYS="",
    )  # fmt: skip
    where = [sys.executable, "-P", "-c", "import cli, archive.streams; print(cli.__file__, archive.streams.__file__)"]
    found = subprocess.run(where, cwd=empty, env=variables, capture_output=True, text=True, check=True, timeout=60)
    assert [Path(file).is_relative_to(installed) for file in found.stdout.split()] == [True, True]
    assert not healthy(port, empty)
    command = [sys.executable, "-P", "-m", "cli", *json.loads(said("CMD")), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=empty, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=READY_WITHIN, trust_env=False) as client:
            until_alive(client, process)
            assert healthy(port, empty)
            assert client.post("/next-action", json={"customer_id": "a"}).json()["status"] == "decided"
        process.send_signal(signal.SIGTERM)
        assert process.wait(READY_WITHIN) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
    assert list(empty.iterdir()) == []
    once = subprocess.run(
        [sys.executable, "-P", "-m", "cli", *SERVICES["archive"]["command"], "--once", "--min-age", "0"],
        cwd=empty, env=variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert once.stdout == "archived 1 record in 1 file, trimmed 0 from Redis\n", once.stderr
    assert (tmp_path / "data" / "archive" / "progress.json").is_file()
