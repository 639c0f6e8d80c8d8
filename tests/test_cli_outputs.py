"""No output destroys an input, and a signal ends a command in order: for every command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scorefield import replacing
from scorefield.cli import main
from scorefield.cli.verbs import app
from scorefield.interop import import_checkpoint
from scorefield.runs import Run

TINY = ["--steps", "2", "--batch", "16", "--evaluations", "1", "--widths", "8", "--depth", "1", "--device", "cpu"]


def cli(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    frame.to_csv(folder / "data.csv", index=False)
    frame.mask(rng.random((60, 3)) < 0.2).to_csv(folder / "gaps.csv", index=False)
    shutil.copy(folder / "gaps.csv", folder / "gaps_2.csv")
    np.save(folder / "y.npy", np.array([0.5, np.nan, np.nan]))
    np.save(folder / "noise.npy", np.eye(1))
    np.save(folder / "matrix.npy", np.eye(3)[:1])
    (folder / "pictures").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / "pictures" / f"{i}.png")
    (folder / "set.toml").write_text("seed = 1\n")
    assert cli("fit", folder / "data.csv", "-o", folder / "run", *TINY) == 0
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A fresh copy, from which commands are run; the run's data lie in it, too."""
    shutil.copytree(made, tmp_path / "here")
    record = tmp_path / "here" / "run" / "run.json"
    record.write_text(record.read_text().replace(str(made), str(tmp_path / "here")))
    for name in ("report.html", "diagnosis.png"):
        (record.parent / name).write_text("what another command has found")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


ASKED = {
    "sample": "sample run -n 3 --config set.toml -o {}",
    "impute": "impute run gaps.csv -o {}",
    "logprob": "logprob run gaps.csv -o {}",
    "posterior": "posterior run y.npy --operator linear('matrix.npy') --noise noise.npy -n 3 -o {}",
    "noise-levels": "noise-levels pictures -o {}",
    "fit": "fit pictures --context gaps.csv -o {}",
    "distill": "distill run -o {}",
    "import": "import ncsnv2 pictures/1.png -o {}",
}
READ = {
    "sample": ["data.csv", "set.toml", "run/log.csv", "run/model.safetensors", "run/report.html"],
    "impute": ["gaps.csv", "data.csv", "run/log.csv"],
    "logprob": ["gaps.csv", "data.csv", "run/log.csv"],
    "posterior": ["y.npy", "matrix.npy", "noise.npy", "data.csv"],
    "noise-levels": ["pictures", "pictures/1.png", "pictures/new.png", "run/diagnosis.png"],
    "fit": ["pictures", "pictures/run", "gaps.csv"],
    "distill": ["data.csv", "run/log.csv"],
    "import": ["pictures/1.png"],
}
MADE = {"pictures/new.png", "pictures/run"}  # within what is read; the others are there
READ_OR_MADE = [
    (verb, path, how)
    for verb, paths in READ.items()
    for path in paths
    for how in ("as it is", "link", "another path")
    if how != "link" or path not in MADE
]


def test_all_commands_with_an_output_are_tried():
    words = [name for name in app if not name.startswith("-")]
    assert {w for w in words if "--output" in {a.name for a in app[w].assemble_argument_collection()}} == set(ASKED)


@pytest.mark.parametrize("verb, path, how", READ_OR_MADE)
def test_no_output_destroys_what_is_read(place, capsys, verb, path, how):
    target = path if how == "as it is" else f"{place}/./run/../{path}"
    if how == "link":
        target = f"link{Path(path).suffix}"
        (place / target).symlink_to(place / path)
    before = contents(place)
    status = main([word.format(target) for word in ASKED[verb].split()])
    printed = capsys.readouterr().err
    assert status == 1 and contents(place) == before
    assert printed.count("\n") == 1 and ("would be overwritten: name another" in printed or "would change" in printed)


@pytest.mark.parametrize("word", ["gaps_2.csv", "other_2.csv"])
def test_numbered_outputs_are_inputs_neither(place, capsys, word):
    before = contents(place)
    words = ["impute", "run", "gaps_2.csv", "-o", f"{word.partition('_')[0]}.csv", "--draws", 2]
    assert cli(*words) == (1 if word == "gaps_2.csv" else 0)
    assert (contents(place) == before) == (word == "gaps_2.csv")


def test_a_file_that_is_there_is_replaced_only_if_asked(place, capsys):
    """Not the data of another run, say; every command that writes a file says so in one line, and what helps."""
    words = {
        "sample": ("sample run -n 3 -o there.csv --steps 2", "there.csv"),
        "impute": ("impute run gaps.csv -o there.csv --draws 2 --steps 2", "there_2.csv"),
        "logprob": ("logprob run data.csv -n 2 -o there.csv", "there.csv"),
        "posterior": ("posterior run y.npy --operator mask --noise 0.1 -n 2 -o there.npy --steps 2", "there.npy"),
        "noise-levels": ("noise-levels data.csv -o there.png", "there.png"),
    }
    runs = {"fit", "distill", "import"}  # folders, which are refused or resumed
    assert words.keys() == ASKED.keys() - runs
    for verb, (line, there) in words.items():
        (place / there).write_text("what someone has written")
        before = contents(place)
        assert main(line.split()) == 1 and contents(place) == before, verb
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{there} exists and is left as it is: name a new file, or give --overwrite to replace it" in said
    for line, there in (words["impute"], words["noise-levels"]):
        assert main([*line.split(), "--overwrite"]) == 0
        assert (place / there).read_bytes() != b"what someone has written"


def test_pipes_are_refused_in_a_line(place, capsys):
    for line in ("sample run -n 2 -o /dev/stdout", "sample run -n 2 -o -", "fit - -o new"):
        assert main(line.split()) in (1, 2)
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "to files, not to pipes" in said and "name" in said


def test_other_outputs_are_written(place, capsys):
    assert cli("sample", "run", "-n", 3, "-o", "run/new.csv", "--steps", 2) == 0
    assert cli("sample", "run", "-n", 3, "-o", "run/new.csv", "--steps", 2, "--overwrite") == 0
    assert cli("sample", "run/model.safetensors", "-n", 3, "-o", "run/log.csv") == 1
    (place / "run" / "run.json").write_text("{")  # damaged: still no place for samples
    assert cli("sample", "run/model.safetensors", "-n", 3, "-o", "new.csv", "--steps", 2) == 0
    assert cli("noise-levels", "data.csv", "-o", "levels.png") == 0
    os.link(place / "data.csv", place / "hard.csv")
    assert cli("logprob", "run/model.safetensors", "data.csv", "-o", "hard.csv") == 1


def test_python_takes_no_checkpoint_as_its_run(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="is the checkpoint and would be overwritten: name another"):
        import_checkpoint(tmp_path / "a", f"{tmp_path}/./a")


def test_a_run_knows_its_files(place):
    for words in (["evaluate", "run"], ["report", "run"], ["compare", "run", "--samplers", "heun", "--steps", 2]):
        assert cli(*words, "-n", 50) == 0
    assert set(contents(place / "run")) - {".lock"} <= {p.name for p in Run(place / "run").files}


STOPPED = [
    ("sample run -n 3 -o new.csv --steps 2 --overwrite", "new.csv"),
    ("evaluate run -n 50", "run/evaluation.json"),
    ("report run -n 50", "run/report.html"),
    ("noise-levels data.csv -o new.png --overwrite", "new.png"),
    ("impute run gaps.csv -o new.csv --overwrite", "new.csv"),
    ("posterior run y.npy --operator mask --noise 0.1 -n 9 -o new.npy --steps 2 --overwrite", "new.npy"),
]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("words, output", STOPPED)
def test_a_signal_ends_every_command_in_order(place, capsys, monkeypatch, words, output, name, status):
    (place / output).write_text("old")
    handler = signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(replacing, "_sync", lambda path: signal.raise_signal(getattr(signal, name)))
    before = contents(place)
    assert main(words.split()) == status
    assert contents(place) == before
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"stopped by {name}: what was there is unchanged")
    assert signal.getsignal(getattr(signal, name)) == handler


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_under_nohup_a_closed_terminal_ends_nothing(place, capsys, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(replacing, "_sync", lambda path: signal.raise_signal(signal.SIGHUP))
    try:
        assert cli("sample", "run", "-n", 3, "-o", "new.csv", "--steps", 2) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(os.name == "nt", reason="there are no terminals of this kind")
def test_a_closed_terminal_saves_a_fit(place):
    """SIGHUP at a terminal that is gone, so that nothing can be said, either."""
    import pty

    master, slave = pty.openpty()
    code = "import os, signal, sys, scorefield.cli as c, scorefield.runs as runs\n"
    code += "fit, words = runs.fit, sys.argv[1:-1]\n"
    code += "def watch(p):\n    if p.step == 9: os.close(int(sys.argv.pop())); signal.raise_signal(signal.SIGHUP)\n"
    code += "runs.fit = lambda *a, **k: fit(*a, **k, watch=watch)\n"
    code += "sys.exit(c.main(words))"
    words = ["fit", "data.csv", "-o", "long", "--steps", "1000000", *TINY[2:], str(master)]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=slave, stdout=slave, pass_fds=[master])
    os.close(master), os.close(slave)
    assert process.wait(100) == 129
    assert (place / "long" / "training.safetensors").is_file() and not list((place / "long").glob(".*.part*"))
