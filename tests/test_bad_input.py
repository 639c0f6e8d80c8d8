"""What goes wrong gets one line that names the place and the mend, an exit status, and leaves the disk as it was."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scorefield.cli import main
from scorefield.cli.other_words import pointed_to
from scorefield.cli.verbs import app
from scorefield.runs import Run

TINY = ["--steps", 6, "--batch", 8, "--evaluations", 2, "--widths", 8, "--depth", 1, "--device", "cpu"]


def cli(*words):
    return main([str(word) for word in words])


def numbers(count=40, columns=2):
    return np.random.default_rng(0).normal(size=(count, columns))


def everything(folder):
    """What lies under a folder, less locks."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if p.name != ".lock"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    np.save(folder / "good.npy", numbers())
    assert cli("fit", folder / "good.npy", "-o", folder / "run", *TINY) == 0
    return folder


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Runs a command that must fail with one line, and change nothing below `tmp_path`."""
    monkeypatch.delenv("SCOREFIELD_DEBUG", raising=False)

    def run(words, told, status=1, folder=tmp_path):
        before = everything(folder)
        capsys.readouterr()
        assert cli(*words) == status
        shown = capsys.readouterr()
        lines = [line for line in shown.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and shown.err.splitlines()[-1] == lines[0], shown.err
        assert shown.out == "" and "Traceback" not in shown.err
        assert re.search(told, lines[0]), lines[0]
        assert everything(folder) == before
        return lines[0]

    return run


def spoiled(value):
    x = numbers()
    x[3, 1] = x[17, 0] = value
    return x


@pytest.mark.parametrize(
    "x, told",
    [
        (spoiled(np.nan), r"2 of 40 rows hold NaN in columns 0, 1 \(rows 3, 17\): give a table, .*; or drop them"),
        (spoiled(np.inf), r"2 of 40 rows hold NaN or infinite values .*rows 3, 17\): drop them"),
        (np.ones((40, 2)), "all data are the same"),
        (numbers(1), "cannot be learned from 1 row: give 2"),
        (numbers(0), "there are no data"),
        (np.array(["a", "b", "c"]), "got text"),
        (numbers() + 1j, "got complex numbers"),
        (np.zeros((4, 2), "datetime64[s]"), "got times"),
        (np.float64(3.0), "first axis that counts the samples"),
    ],
    ids=["nan", "infinite", "equal", "one row", "no rows", "text", "complex", "times", "a number"],
)
def test_arrays_that_cannot_be_learned_from(tmp_path, refused, x, told):
    np.save(tmp_path / "data.npy", x)
    refused(["fit", tmp_path / "data.npy", "-o", tmp_path / "run", *TINY], told)
    refused(["noise-levels", tmp_path / "data.npy"], told)


@pytest.mark.parametrize(
    "text, told",
    [
        ("", r"data\.csv is empty \(0 bytes\)"),
        ("a,b\n", "not numbers|no rows"),
        ("a,b\n1,2\n", "1 row"),
        ("a,b\n1,inf\n3,4\n5,6\n", r"column 'b' holds infinite values \(row 0\)"),
        ("a,b\n1,x\n1,x\n1,x\n", r"all data are the same"),
        ("a,b\n1,2\n3,4,5,6\n5,6\n", r"data\.csv is not a table"),
    ],
    ids=["empty", "names only", "one row", "infinite", "constant", "ragged"],
)
def test_tables_that_cannot_be_learned_from(tmp_path, refused, text, told):
    (tmp_path / "data.csv").write_text(text)
    refused(["fit", tmp_path / "data.csv", "-o", tmp_path / "run", *TINY], told)


def test_files_that_cannot_be_read(tmp_path, refused):
    np.save(tmp_path / "data.npy", numbers())
    whole = (tmp_path / "data.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-50])
    (tmp_path / "junk.npz").write_bytes(b"junk" * 40)
    (tmp_path / "notes.docx").write_bytes(b"a")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "none").mkdir()
    np.savez(tmp_path / "two.npz", a=numbers(), b=numbers())
    for name, told in {
        "dota.npy": r"there is no .*dota\.npy: did you mean 'data\.npy'",
        "cut.npy": r"cut\.npy is truncated",
        "junk.npz": r"junk\.npz is truncated or damaged",
        "notes.docx": r"notes\.docx is of an unknown kind",
        "empty.npy": r"empty\.npy is empty",
        "none": "holds no images",
        "two.npz": r"several arrays of the same size, .*choose one \(--key …\)",
    }.items():
        refused(["fit", tmp_path / name, "-o", tmp_path / "run", *TINY], told)
    refused(["fit", tmp_path / "two.npz", "-o", tmp_path / "run", "--key", "c"], r"has no array 'c'")


def test_images_of_different_sizes(tmp_path, refused):
    for i, side in enumerate((8, 8, 6)):
        Image.fromarray(np.full((side, side), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
    told = r"0\.png is 8 x 8, .*2\.png is 6 x 6: bring them to one, --resize 6"
    refused(["fit", tmp_path, "-o", tmp_path.parent / f"{tmp_path.name}-run", *TINY], told)
    (tmp_path / "1.png").write_bytes(b"no image")
    refused(["noise-levels", tmp_path], r"1\.png is damaged")


def test_bad_data_leave_a_finished_run_alone(tmp_path, finished, refused):
    np.save(tmp_path / "data.npy", spoiled(np.nan))
    np.save(tmp_path / "other.npy", numbers(50))
    refused(["fit", tmp_path / "data.npy", "-o", finished / "run", *TINY], "hold NaN", folder=finished)
    refused(["fit", tmp_path / "other.npy", "-o", finished / "run", *TINY], "another run .other data", folder=finished)
    told = r"another run \(training\.steps: 6 there, 7 asked\): ask for the same"
    words = ["fit", finished / "good.npy", "-o", finished / "run", "--steps", 7, *TINY[2:]]
    refused(words, told, folder=finished)


def test_folders_that_cannot_be_used(tmp_path, finished, refused):
    with Run(finished / "run").lock():
        words = ["fit", finished / "good.npy", "-o", finished / "run", *TINY]
        refused(words, "in use by another process: wait until it ends, or name another folder", folder=finished)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("a")
    words = ["fit", finished / "good.npy", *TINY, "-o"]
    refused([*words, tmp_path / "thesis"], r"holds other things \(chapter\.tex.*for a new one a new folder")
    refused([*words, tmp_path / "thesis" / "chapter.tex"], "is a file: a run needs a folder")
    refused([*words, tmp_path / "thesis" / "chapter.tex" / "run"], "cannot be written")
    for verb in ("evaluate", "report", "compare"):
        refused([verb, tmp_path / "thsis"], "there is no folder .*did you mean 'thesis'")
    refused(["info", tmp_path / "thesis"], "holds other things .* and no run: name the folder of a run")


def test_checkpoints_that_are_none(tmp_path, finished, refused):
    import pickle

    whole = (finished / "run" / "model.safetensors").read_bytes()
    save_file({"a": torch.zeros(3)}, tmp_path / "foreign")
    (tmp_path / "run").mkdir()
    for name in ("run.json", "fit.json"):
        (tmp_path / "run" / name).write_bytes((finished / "run" / name).read_bytes())
    for content, told in {
        whole[: len(whole) // 2]: "is truncated or damaged",
        whole[:5]: "is truncated or damaged",
        b"": "is truncated or damaged",
        pickle.dumps({"a": 1}): "is a pickle, which is never read",
        (tmp_path / "foreign").read_bytes(): "was not written by scorefield",
        (finished / "run" / "training.safetensors").read_bytes(): "holds no model: is it the training state",
    }.items():
        (tmp_path / "run" / "model.safetensors").write_bytes(content)
        words = ["-n", 5, "-o", tmp_path / "new.npy"]
        assert "model.safetensors" in refused(["sample", tmp_path / "run", *words], told)
        refused(["sample", tmp_path / "run" / "model.safetensors", *words], told)
        refused(["evaluate", tmp_path / "run"], told)
        refused(["fit", finished / "good.npy", "-o", tmp_path / "run", *TINY], told)


def test_a_run_that_cannot_go_on_says_what_to_do(tmp_path, finished, refused, monkeypatch):
    monkeypatch.setattr("scorefield.runs.fitting.finish", lambda plan, trainer: 1 / 0)
    words = ["fit", finished / "good.npy", "-o", tmp_path / "run", *TINY]
    assert cli(*words) == 70
    monkeypatch.undo()
    state = tmp_path / "run" / "training.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    refused(words, r"cannot go on from .*training\.safetensors .*remove it to train from the beginning")
    refused(["sample", tmp_path / "run", "-n", 2, "-o", tmp_path / "a.npy"], "was interrupted: run the same fit again")


def full_disk(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_while_fitting(tmp_path, finished, refused, monkeypatch):
    words = ["fit", finished / "good.npy", "-o", tmp_path / "run", *TINY]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        refused(words, r"run\.json could not be written \(No space left.*free some space")
    real, calls = os.fsync, []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: full_disk() if len(calls) > 3 else calls.append(real(handle)))
        assert cli(*words) == 1
    before = everything(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: full_disk() if len(calls) > 5 else calls.append(real(handle)))
        assert cli(*words) == 1
    assert everything(tmp_path).keys() == before.keys()
    assert cli(*words) == 0
    one, other = (Run(p / "run").file("model.safetensors").read_bytes() for p in (tmp_path, finished))
    assert one == other


@pytest.mark.parametrize("name", ["new.npy", "new.npz", "new.csv", "new.parquet", "new.h5", "new.nc"])
def test_a_full_disk_while_sampling(tmp_path, finished, refused, monkeypatch, name):
    words = ["sample", finished / "run", "-n", 20, "--steps", 2, "-o", tmp_path / name, "--overwrite"]
    for old in (None, b"what was there"):
        if old is not None:
            (tmp_path / name).write_bytes(old)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full_disk)
            told = refused(
                words, r"could not be written \(No space left on device\); what was there is unchanged: free"
            )
        assert name in told
    assert cli(*words) == 0


def test_samples_that_cannot_be_written(tmp_path, finished, refused):
    words = ["sample", finished / "run", "-n", 5]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("a")
    for name, told in {
        "new.docx": r"written as \.npy, \.npz, \.csv, \.parquet, (\.xlsx, )?\.h5, \.nc, \.zarr; got .*new\.docx",
        "pictures": "is for uint8 images, these data are float64",
        "none/new.npy": "there is no folder .*none to write new.npy into: make it first",
    }.items():
        refused([*words, "-o", tmp_path / name], told)
    new = ["-o", tmp_path / "new.npy"]
    refused(["sample", finished / "run", "-n", 0, *new], "at least one sample is drawn")
    refused([*words, *new, "--batch", 0], "batches of at least one; got --count 5, --batch 0")
    for sampler, told in {
        "hein": "unknown sampler 'hein': did you mean Heun",
        "d": "unknown sampler 'd': did you mean .*DDIM.* Known: ",
        "heun(eta=1)": "Heun takes steps, schedule, process, got 'eta'",
        "ddim(eta=2)": "needs 0 <= eta <= 1, got eta=2",
        "ddim(eta=1": r"cannot read the sampler 'ddim\(eta=1' .*never closed",
        "heun(steps=0)": "at least 1 step",
        "heun(schedule=explicitlevels((500, 10)))": "runs through levels .* 500 to 10: choose its levels wider",
    }.items():
        refused([*words, *new, "--sampler", sampler], told)
        refused(["compare", finished / "run", "--samplers", "ddim", sampler], told, folder=finished)
    refused([*words, *new, "--device", "abacus"], "abacus")


def test_images_where_a_folder_is_not_empty(tmp_path, refused, monkeypatch):
    np.save(tmp_path / "images.npy", (255 * np.random.default_rng(0).random((12, 4, 4))).astype(np.uint8))
    assert cli("fit", tmp_path / "images.npy", "-o", tmp_path / "run", *TINY, "--precision", "float32") == 0
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("a")
    words = ["sample", tmp_path / "run", "-n", 5, "--steps", 2, "-o"]
    refused([*words, tmp_path / "full"], "exists and is not empty: name a new folder")
    refused([*words, tmp_path / "new.csv"], "csv holds tables, and these data are grids")
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full_disk)
        refused([*words, tmp_path / "new"], "could not be written .No space left")


def test_words_of_other_programs_point_to_commands_that_there_are():
    """And none of them is one, or is hidden by the nearest name."""
    for word in ("condition", "train", "generate", "predict", "density", "score", "plot", "validate", "describe"):
        pointer = pointed_to(word)
        named = re.findall(r"scorefield (\S+)", pointer)
        assert named and all(name in app for name in named)
    assert not any(pointed_to(name) for name in app) and pointed_to("fti") is None


@pytest.mark.parametrize(
    "words, told",
    [
        (["fti", "data.npy"], 'Unknown command "fti". Did you mean "fit"'),
        (["train", "data.npy"], "there is no command train: scorefield fit data.csv -o RUN trains a model"),
        (["condition", "run"], "there is no command condition: .*sample RUN .* --given age=40 .*impute RUN"),
        (["log_prob", "run"], "there is no command log_prob: scorefield logprob RUN"),
        (["fit", "--otput", "run"], "parameter --output requires .* Did you mean --output instead of --otput"),
        (["fit", "-o", "run", "--epoch", "1"], r"Unknown option: --epoch. Did you mean --epochs"),
        (["fit", "-o", "run", "--batch", "many"], 'Invalid value for --batch: unable to convert "many" into int'),
        (["fit", "-o", "run", "--structure", "tree"], "Invalid value .*tree.*vector.*grid"),
        (["fit", "-o", "run", "--batch", "-3"], "training needs batch > 0, got --batch -3"),
        (["fit", "-o", "run", "--steps", "3", "--minutes", "1"], "choose one budget: minutes, steps or epochs"),
        (["fit", "-o", "run", "--held-out", "1.5"], "held_out is a part of the data"),
        (["fit"], "requires an argument"),
        (["sample", "run", "-o", "a.npy"], "--count.* requires an argument"),
    ],
)
def test_words_that_are_not_understood(tmp_path, refused, finished, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    words = [words[0], finished / "good.npy", *words[1:]] if words[0] == "fit" and len(words) > 1 else words
    refused(words, told, status=2)


@pytest.mark.parametrize(
    "text, told",
    [
        ("epoch = 1", r"c\.toml: fit has no option epoch: did you mean epochs\?"),
        ("[fit]\nheld_uot = 0.1", r"c\.toml: fit has no option held_uot: did you mean held_out\?"),
        ("[fti]\nrate = 1", r"c\.toml: there is no command fti: did you mean fit\?"),
        ("[fit.training]\nrate = 1", r"c\.toml: fit has no option training: "),
        ("batch = 'many'", r"batch\] from .*c\.toml: unable to convert"),
        ("batch = 0", "training needs batch > 0"),
        ("batch = ", r"c\.toml is not TOML \(Invalid value .*\): correct it"),
        ("config = 'd.toml'", "fit has no option config"),
    ],
)
def test_options_of_a_file_that_are_not_understood(tmp_path, refused, finished, text, told):
    (tmp_path / "c.toml").write_text(text)
    words = ["fit", finished / "good.npy", "-o", tmp_path / "run", "--config"]
    refused([*words, tmp_path / "c.toml"], told, status=2)
    refused([*words, tmp_path / "d.toml"], r"there is no configuration .*d\.toml: did you mean", status=2)


def test_the_traceback_is_there_for_those_who_ask(tmp_path, monkeypatch):
    monkeypatch.setenv("SCOREFIELD_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        cli("fit", tmp_path / "none.npy", "-o", tmp_path / "run")


def test_the_process_says_it_in_one_line(tmp_path):
    np.save(tmp_path / "data.npy", spoiled(np.nan))
    code = "import sys; from scorefield.cli import main; sys.exit(main())"
    words = ["fit", str(tmp_path / "data.npy"), "-o", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: 2 of 40 rows hold NaN") and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_missing_library_is_named_with_how_to_install_it(tmp_path, refused, monkeypatch):
    (tmp_path / "data.csv").write_text("a\n1\n2\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    refused(["noise-levels", tmp_path / "data.csv"], r'reading csv needs pandas: pip install "scorefield\[data\]"')
