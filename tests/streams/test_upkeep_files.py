"""A backup on disk: what is written comes back, and what is not whole is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.log import Message
from crm_online.models.snapshots import pack
from streams.cli import app as command_line
from streams.upkeep import files
from streams.upkeep.files import (
    MANIFEST,
    Manifest,
    Part,
    read_manifest,
    read_part,
    write_manifest,
    write_part,
)

RECORDS = [
    Message(b"a", b"\x00\xff" * 300, [("as_of", b"0:1")]),
    Message(b"\0progress", b"{}", []),
    Message(b"gone", None, [("x", b""), ("x", b"2")]),
]


def written(folder: Path, version: int = 1) -> Manifest:
    part = write_part(folder, "state", 3, RECORDS, 17)
    manifest = Manifest(version, "9.9.9", "crm", 4, {"events": "id"}, {3: (0, 5, 1.5)}, [part])
    write_manifest(folder, manifest)
    return manifest


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command_line, arguments, env={"COLUMNS": "200"})


def test_what_is_written_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOT", 2)
    manifest = written(tmp_path)
    assert read_manifest(tmp_path) == manifest
    (part,) = manifest.parts
    assert (part.noun, part.partition, part.records, part.end) == ("state", 3, 3, 17)
    lots = list(read_part(tmp_path, part))
    assert [len(lot) for lot in lots] == [2, 1]
    assert [message for lot in lots for message in lot] == RECORDS


def test_the_same_records_make_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (write_part(tmp_path / name, "models", 0, RECORDS, 3) for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("damage", [b"", b"x"])
def test_a_damaged_file_is_refused_before_anything_of_it_is_used(
    tmp_path: Path, damage: bytes
) -> None:
    (part,) = written(tmp_path).parts
    whole = (tmp_path / part.file).read_bytes()
    (tmp_path / part.file).write_bytes(whole[:-1] + damage)
    with pytest.raises(SnapshotError, match=r"state-3\.gz is not the file"):
        next(iter(read_part(tmp_path, part)))
    with pytest.raises(SnapshotError, match="another copy"):
        next(iter(read_part(tmp_path, Part("state", 4, "missing.gz", 0, "", 0))))


def test_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    written(tmp_path, version=2)
    with pytest.raises(SnapshotError, match=r"crm-online 9\.9\.9 in format 2.*newer version"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1}', b'{"format": "x"}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ConfigurationError, match="name another folder"):
        read_manifest(tmp_path)


def test_a_backup_that_was_not_finished_is_none(tmp_path: Path) -> None:
    write_part(tmp_path, "state", 3, RECORDS, 17)
    result = run("restore", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"holds no {MANIFEST}" in result.stderr


def test_a_backup_goes_into_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    result = run("backup", str(tmp_path), "--kafka", "127.0.0.1:9")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not empty: name a new folder" in result.stderr


def test_settings_that_do_not_fit_the_backup_are_named(tmp_path: Path) -> None:
    written(tmp_path)
    result = run("restore", str(tmp_path), "--kafka", "127.0.0.1:9", "--set", "partitions=8")
    assert result.exit_code == 2
    assert "set CRM_PARTITIONS=4" in result.stderr


@pytest.mark.parametrize("name", ["../state-3.gz", "sub/state-3.gz", "/state-3.gz"])
def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sub" / "backup"
    folder.mkdir(parents=True)
    (part,) = written(folder).parts
    if not name.startswith("/"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / part.file).read_bytes())
    with pytest.raises(SnapshotError, match="no file of the folder"):
        next(iter(read_part(folder, msgspec.structs.replace(part, file=name))))


def test_models_signed_with_another_key_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    models = write_part(tmp_path, "models", 0, pack("churn", 17, [0.5], b"another"), 3)
    write_manifest(tmp_path, Manifest(1, "9.9.9", "crm", 4, {}, {}, [models]))
    result = run("restore", str(tmp_path), "--kafka", "127.0.0.1:9", "--set", "partitions=4")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "CRM_SIGNING_KEY" in result.stderr
    assert "127.0.0.1" not in result.stderr


@pytest.mark.parametrize("command", ["adopt", "reset", "backup", "restore"])
def test_no_broker_is_one_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 1.0)
    written(tmp_path)
    folder = {"backup": [str(tmp_path / "new")], "restore": [str(tmp_path)]}.get(command, [])
    result = run(command, *folder, "--kafka", "127.0.0.1:9", "--set", "partitions=4")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("crm-online: ")
    assert "check CRM_KAFKA" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["adopt", "reset", "backup", "restore"])
def test_help_has_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"crm-online {command}" in result.stdout


def test_the_manifest_is_readable_by_people(tmp_path: Path) -> None:
    written(tmp_path)
    about = json.loads((tmp_path / MANIFEST).read_text())
    assert about["applied"] == {"3": [0, 5, 1.5]}
    assert (tmp_path / MANIFEST).read_text().count("\n") > 10
