"""No model file runs code, writes a file, or takes much memory or time; what is refused is refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
import corpus

CASES = corpus.cases()
SHARE = 11  # of the corpus in the suite: one in so many


def loaded(names: list[str], folder: Path) -> list[dict[str, Any]]:
    """What came of the files, loaded one after another in a fresh process, by their names."""
    files = {f"{i}{'.pth' if name.endswith('.pth') else '.safetensors'}": name for i, name in enumerate(names)}
    for file, name in files.items():
        CASES[name](folder / file)
    worker = Path(corpus.__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    before = sorted(folder.iterdir())
    command = [sys.executable, str(worker), str(folder)]
    done = subprocess.run(
        command, input=json.dumps(list(files)), capture_output=True, text=True, cwd=folder, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(folder.iterdir()) == before
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["name"] for each in found] == list(files)
    return [{**each, "name": files[each["name"]]} for each in found]


def are_harmless(found: list[dict[str, Any]]) -> None:
    assert not [each for each in found if each["outcome"].startswith("fault")]
    assert not [each for each in found if each["touched"]]
    assert not [each for each in found if each["megabytes"] > 200]
    assert not [each for each in found if each["seconds"] > 2]


linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux counts it")


@linux
def test_a_part_of_the_corpus_is_harmless(tmp_path):
    are_harmless(loaded(list(CASES)[::SHARE], tmp_path))


@linux
@pytest.mark.slow
def test_the_corpus_is_harmless(tmp_path):
    found = loaded(list(CASES), tmp_path)
    assert len(found) >= 150
    are_harmless(found)
    accepted = [each["name"] for each in found if each["outcome"] == "accepted"]
    assert not [
        name for name in accepted if name.split()[0] in ("root", "inside", "width", "depth", "expanded", "Runs")
    ]


@linux
def test_the_worker_sees_what_it_looks_for(tmp_path, monkeypatch):
    """Planted: a file that is read whole, one that is written, an error of another kind."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import corpus\n"
        "def load(path):\n"
        "    if path.name == 'memory': bytearray(300 * 2**20)\n"
        "    if path.name == 'file': open('written', 'w').close()\n"
        "    if path.name == 'error': raise KeyError('x')\n"
        "corpus._load = load; corpus.main(Path('.'), ['memory', 'file', 'error'])"
    )
    command = [sys.executable, "-c", code, str(Path(corpus.__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    memory, file, error = (json.loads(line) for line in done.stdout.splitlines())
    assert memory["megabytes"] > 200 and file["touched"] == ["open written"] and error["outcome"].startswith("fault")


def test_classes_are_built_where_they_belong(tmp_path):
    import torch

    from scorefield import spec
    from scorefield.denoisers import EDMPrediction, Preconditioned
    from scorefield.nn import MLP

    described = spec.describe(Preconditioned(MLP(2, 4, 1), EDMPrediction()))
    described["arguments"]["network"] = {"class": "scorefield.processes.VP", "arguments": {}}
    with pytest.raises(ValueError, match=r"^Preconditioned\(network=…\) takes Module, not scorefield.processes.VP"):
        spec.build(described, kind=torch.nn.Module)
    with pytest.raises(ValueError, match=r"^MLP\(depth=…\) takes whole numbers up to 4,194,304"):
        spec.build({"class": "scorefield.nn.MLP", "arguments": {"features": 1, "depth": 2**40}})
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ValueError, match="64 deep"):
        spec.build(deep)
