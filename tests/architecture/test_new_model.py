"""The tutorial on a new model does what it says: its file is a model, its lines are settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "new-model.md").read_text(encoding="utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUN = re.compile(r"<!-- run beside it -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINES = re.compile(r"^```toml\n(churn_challengers = .*?)\n```$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, code in FILE.findall(PAGE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
    return tmp_path


def python(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{folder}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_is_a_file_and_something_to_run() -> None:
    assert [name for name, _ in FILE.findall(PAGE)] == ["crm_online_models/rhythm.py"]
    assert (len(RUN.findall(PAGE)), len(LINES.findall(PAGE))) == (1, 2)


def test_challengers_of_the_tutorial_learn_and_are_compared(folder: Path) -> None:
    done = python(folder, RUN.findall(PAGE)[0])
    assert done.returncode == 0, done.stderr
    found = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(found) == {"main", "forest", "rhythm"}
    assert "benched" not in done.stdout
    assert found.pop("main").endswith(", champion")
    assert all(int(line.split()[-1]) > 20 for line in found.values()), done.stdout


@pytest.mark.parametrize("line", LINES.findall(PAGE))
def test_its_lines_make_models_that_survive_their_snapshots(folder: Path, line: str) -> None:
    code = """
import sys, tomllib
from crm_online import Learner, Settings
from crm_online.log import LogRecord
from crm_online.models.snapshots import SnapshotReader
from tests.outcomes import history, log_of

settings = Settings(min_outcomes=5, **tomllib.loads(sys.argv[1]))
learner = Learner(settings)
learner.process("outcomes", log_of(history(60)))
records = [LogRecord(i, 0, *m) for i, m in enumerate(learner.publish() + learner.publish_whole())]
key = settings.signing_key.get_secret_value().encode()
heir = Learner(settings)
heir.restore(SnapshotReader(key).apply(records))
(challenger,) = set(heir.contests["churn"].contest.contestants) - {"main"}
held = heir.contests["churn"].contest.contestants[challenger]
print(challenger, held.learned > 0, held.benched or "well")
"""
    done = python(folder, code, line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["True", "well"]
