"""The command line: what it says, what it writes, and that it is quick to help."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scorefield.cli import main, terminal
from scorefield.cli.measures import _print_families
from scorefield.cli.verbs import app
from scorefield.metrics import Pool
from scorefield.metrics.moments import moment_test
from scorefield.runs import Run
from scorefield.settings import Data, Network, Training

TINY = ["--evaluations", 3, "--widths", 8, "--depth", 1, "--device", "cpu"]
SMALL = ["--batch", 16, *TINY]


def cli(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, and runs of them: a table with columns of several types, and images."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    table = {"size": rng.normal(size=80), "count": rng.poisson(5, 80), "flag": rng.random(80) < 0.4}
    pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
    np.save(folder / "images.npy", (255 * rng.random((24, 4, 4, 3))).astype(np.uint8))
    np.save(folder / "plain.npy", rng.normal(size=(80, 2)).astype(np.float32))
    assert cli("fit", folder / "table.csv", "-o", folder / "table", "--steps", 12, *SMALL) == 0
    assert cli("fit", folder / "plain.npy", "-o", folder / "plain", "--steps", 12, *SMALL) == 0
    few = ["--steps", 4, "--batch", 4, "--precision", "float32", *TINY]
    assert cli("fit", folder / "images.npy", "-o", folder / "images", *few) == 0
    return folder


def test_help_teaches_and_imports_nothing_heavy():
    code = """
import sys
from scorefield.cli import main
for words in (["--help"], ["--version"], ["fit", "--help"], ["sample", "--help"], ["fti"]):
    main(words)
print("LOADED", *sorted({"torch", "numpy", "pandas", "scipy", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"
    for taught in ("scorefield fit data.npy -o run", "scorefield sample run -n 1000", "scorefield report run"):
        assert taught in done.stdout
    assert 'Did you mean "fit"' in done.stderr


@pytest.mark.parametrize("verb", ["fit", "sample", "evaluate", "report", "compare", "noise-levels", "info"])
def test_every_command_has_examples(capsys, verb):
    assert cli(verb, "--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown and f"scorefield {verb} " in shown


@pytest.mark.parametrize("verb", [name for name in app if not name.startswith("-")])
def test_examples_can_be_copied_from_a_terminal_of_80_columns(capsys, verb):
    """A line that the terminal breaks is two commands once it is pasted, and the second one is none."""
    assert main([verb, "--help"]) == 0
    examples = capsys.readouterr().out.partition("Examples:")[2].partition("\n\n")[2].partition("\n\n")[0]
    commands = [shlex.split(line) for line in examples.replace("\\\n", " ").splitlines() if line.strip()]
    called = [words[words.index("-m") + 1 :] if words[0] == "torchrun" else words for words in commands]
    assert called and all(words[:2] == ["scorefield", verb] for words in called)


@pytest.mark.parametrize("verb", ["fit", "evaluate", "posterior"])
def test_help_breaks_lines_where_the_terminal_does(capsys, verb):
    assert main([verb, "--help"]) == 0
    text, _, panels = capsys.readouterr().out.partition("╭")
    width = 1 + len(panels.splitlines()[0])
    lines = text.partition("\n\n")[2].splitlines()  # less the usage
    for line, after in pairwise(lines):
        if line.strip() and after.strip():  # a line ends where the next word does not fit
            assert len(line.rstrip()) + 1 + len(after.split()[0]) > width - 2


def test_every_setting_has_a_flag_with_a_word_on_it(capsys):
    cli("fit", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    for settings in (Data, Network, Training):
        for name in settings.__dataclass_fields__:
            assert f"--{name.replace('_', '-')} " in shown, name


def test_version(capsys):
    import scorefield

    assert cli("--version") == 0
    assert capsys.readouterr().out.strip() == scorefield.__version__


def test_flags_reach_the_settings(place, tmp_path):
    flags = "--steps 2 --batch 8 --learning-rate 1e-3 --widths 8 12 --periodic --structure grid --channels last --no-dequantize"
    flags += " --held-out 0.25 --averages 0.1 --patience 3 --precision float32 --evaluations 1"
    flags += " --mirror 0 1 --channels-last --no-compile"
    words = [*flags.split(), "--seed", 7, "--device", "cpu"]
    assert cli("fit", place / "images.npy", "-o", tmp_path / "run", *words) == 0
    asked = Run(tmp_path / "run").read("run.json")["asked"]
    assert asked["seed"] == 7
    form = {
        "structure": "grid",
        "channels": "last",
        "held_out": 0.25,
        "dequantize": False,
        "bounds": None,
        "mirror": [0, 1],
    }
    assert form.items() <= asked["data"].items()
    assert asked["network"]["widths"] == [8, 12] and asked["network"]["periodic"] is True
    training = {"steps": 2, "batch": 8, "learning_rate": 1e-3, "averages": [0.1], "patience": 3, "minutes": None}
    training |= {"compile": False, "channels_last": True}
    assert training.items() <= asked["training"].items()
    assert asked["source"]["path"] == str(place / "images.npy")


def test_how_the_file_is_read(place, tmp_path):
    np.savez(tmp_path / "two.npz", a=np.zeros(9), b=np.random.default_rng(0).normal(size=(30, 2)))
    words = ["--key", "b", "--steps", 1, *SMALL]
    assert cli("fit", tmp_path / "two.npz", "-o", tmp_path / "keyed", *words) == 0
    assert Run(tmp_path / "keyed").read("run.json")["shape"] == [30, 2]
    words = ["--columns", "size", "flag", "--steps", 1, *SMALL]
    assert cli("fit", place / "table.csv", "-o", tmp_path / "chosen", *words) == 0
    assert Run(tmp_path / "chosen").read("run.json")["asked"]["source"]["columns"] == ["size", "flag"]
    assert cli("sample", tmp_path / "chosen", "-n", 2, "-o", tmp_path / "new.csv", "--steps", 2) == 0
    assert list(pd.read_csv(tmp_path / "new.csv").columns) == ["size", "flag"]


def test_fit_says_what_was_found_what_was_made_and_what_is_next(place, tmp_path, capsys):
    run = tmp_path / "my run"
    assert cli("fit", place / "images.npy", "-o", run, "--steps", 2, "--batch", 4, *TINY) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(run / "model.safetensors")]
    for found in ("data: 24 of shape 4 x 4 x 3 (uint8); ", "network: UNet, ", "budget: 2 steps", "noise levels: "):
        assert found in printed.err
    assert "2 steps in" in printed.err
    assert f"next: scorefield sample '{run}' -n 1000 -o new.npy, or: scorefield report '{run}'" in printed.err


def test_a_finished_run_is_not_trained_again(place, capsys):
    assert cli("fit", place / "table.csv", "-o", place / "table", "--steps", 12, *SMALL) == 0
    printed = capsys.readouterr()
    assert "was already complete: nothing left to do" in printed.err
    assert printed.out.strip() == str(place / "table" / "model.safetensors")


def test_options_from_a_file_which_the_line_overrides(place, tmp_path):
    text = (
        "steps = 99\nheld-out = 0.2\nseed = 4\n[fit]\nbatch = 8\nwidths = [8, 8]\ndevice = 'cpu'\ntensorboard = false\n"
    )
    (tmp_path / "run.toml").write_text(text + "evaluations = 1\n[sample]\ncount = 3\nsteps = 2\n")
    words = ["--config", tmp_path / "run.toml"]
    assert cli("fit", place / "images.npy", "-o", tmp_path / "a", *words, "--batch", 4, "--epochs", 0.1) == 0
    asked = Run(tmp_path / "a").read("run.json")["asked"]
    assert asked["seed"] == 4 and asked["data"]["held_out"] == 0.2 and asked["network"]["widths"] == [8, 8]
    training = asked["training"]
    assert (training["batch"], training["epochs"], training["steps"]) == (4, 0.1, None)
    (tmp_path / "table.toml").write_text("[sample]\ncount = 3\nsteps = 2\n")
    assert cli("sample", tmp_path / "a", "-o", tmp_path / "a.npy", "--config", tmp_path / "table.toml") == 0
    assert len(np.load(tmp_path / "a.npy")) == 3


def test_samples_have_the_form_of_a_table(place, tmp_path, capsys):
    for name in ("new.csv", "new.parquet"):
        assert cli("sample", place / "table", "-n", 50, "-o", tmp_path / name, "--steps", 4, "--batch", 16) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / name)
    table, same = pd.read_csv(tmp_path / "new.csv"), pd.read_parquet(tmp_path / "new.parquet")
    assert table.dtypes.astype(str).to_dict() == {"size": "float64", "count": "int64", "flag": "bool"}
    pd.testing.assert_frame_equal(table, same)
    assert len(table) == 50
    assert cli("sample", place / "table", "-n", 50, "-o", tmp_path / "new.npy", "--steps", 4) == 0
    assert "names of the columns are lost" in capsys.readouterr().err
    np.testing.assert_allclose(np.load(tmp_path / "new.npy"), table.to_numpy(float), rtol=1e-4)


def test_samples_of_arrays_whatever_the_batch(place, tmp_path):
    words = ["sample", place / "plain", "-n", 40, "--steps", 4, "--seed", 2, "-o"]
    assert cli(*words, tmp_path / "a.npy") == 0
    assert cli(*words, tmp_path / "b.npz", "--batch", 7) == 0
    assert cli(*words, tmp_path / "c.csv") == 0
    assert cli(*words, tmp_path / "d.parquet", "--batch", 13) == 0
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npz")["samples"]
    assert a.shape == (40, 2) and a.dtype == b.dtype == np.float32
    np.testing.assert_allclose(a, b, atol=1e-5)
    table = pd.read_csv(tmp_path / "c.csv")
    assert list(table.columns) == ["x0", "x1"]
    np.testing.assert_allclose(a, table.to_numpy(), atol=1e-5)
    np.testing.assert_allclose(a, pd.read_parquet(tmp_path / "d.parquet").to_numpy(), atol=1e-5)
    np.testing.assert_array_equal(a, Run(place / "plain").model.sample(40, 2, steps=4))
    assert cli("sample", place / "plain" / "model.safetensors", *words[2:], tmp_path / "e.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), a)


def test_samples_of_a_field_keep_axes_coordinates_and_units(tmp_path, capsys):
    xarray = pytest.importorskip("xarray")
    from scorefield.data import read

    coords = {"lat": ("lat", np.arange(6.0), {"units": "degrees_north"}), "station": ("lat", list("abcdef"))}
    values = np.random.default_rng(0).normal(size=(20, 6, 6)).astype(np.float32)
    x = xarray.DataArray(values, dims=("day", "lat", "lon"), coords=coords, name="t2m", attrs={"units": "K"})
    x.to_netcdf(tmp_path / "x.nc")
    assert cli("fit", tmp_path / "x.nc", "-o", tmp_path / "run", "--steps", 2, "--batch", 4, *TINY) == 0
    words = ["sample", tmp_path / "run", "-n", 5, "--steps", 2, "--batch", 2, "-o"]
    for name in ("new.nc", "new.zarr", "new.h5"):
        assert cli(*words, tmp_path / name) == 0
        assert "lost" not in capsys.readouterr().err
        xarray.testing.assert_allclose(read(tmp_path / name), Run(tmp_path / "run").model.sample(5, steps=2), atol=1e-4)
        xarray.testing.assert_identical(read(tmp_path / name).coords.to_dataset(), x.coords.to_dataset())
        assert read(tmp_path / name).attrs == x.attrs and read(tmp_path / name).name == x.name
    assert cli(*words, tmp_path / "new.npy") == 0
    warned = "the names of the axes, their coordinates and the units are lost in .npy: .h5, .nc, .zarr keep them"
    assert warned in capsys.readouterr().err


def test_images_go_to_a_folder(place, tmp_path):
    words = ["sample", place / "images", "-n", 11, "--steps", 2, "--batch", 4]
    assert cli(*words, "-o", tmp_path / "a.npy") == 0
    assert cli(*words, "-o", f"{tmp_path}/pictures/") == 0
    array = np.load(tmp_path / "a.npy")
    assert array.shape == (11, 4, 4, 3) and array.dtype == np.uint8
    files = sorted((tmp_path / "pictures").iterdir())
    assert [f.name for f in files][:2] == ["00.png", "01.png"] and len(files) == 11
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(f)) for f in files]), array)


def test_samplers_by_name(place, tmp_path):
    def drawn(*words):
        file = tmp_path / "new.npy"
        steps = () if any("steps=" in word for word in words) else ("--steps", 6)  # which must not disagree
        assert cli("sample", place / "plain", "-n", 5, "-o", file, "--overwrite", *steps, *words) == 0
        return np.load(file)

    model = Run(place / "plain").model
    np.testing.assert_array_equal(drawn(), drawn("--sampler", "unipc"))
    from scorefield.samplers import DDIM, DormandPrince, Heun
    from scorefield.schedules import Karras

    np.testing.assert_array_equal(drawn("--sampler", "heun"), model.sample(5, sampler=Heun(), steps=6))
    np.testing.assert_array_equal(drawn("--sampler", "DDIM(eta=1)"), model.sample(5, sampler=DDIM(eta=1.0), steps=6))
    way = {"sampler": Heun(), "steps": 3, "grid": Karras(5.0)}
    np.testing.assert_array_equal(drawn("--sampler", "heun(steps=3, grid=karras(rho=5))"), model.sample(5, **way))
    own = model.sample(5, sampler=DormandPrince(), steps=6)
    np.testing.assert_array_equal(drawn("--sampler", "dormandprince"), own)


def test_noise_levels_tells_reasons_and_writes_nothing(place, capsys):
    before = sorted(p.name for p in place.iterdir())
    assert cli("noise-levels", place / "images.npy") == 0
    printed = capsys.readouterr()
    for what in ("smallest level", "largest level", "network", "a quarter of the step", "distance between two"):
        assert what in printed.out
    assert sorted(p.name for p in place.iterdir()) == before


def test_info_of_a_run_that_ended_and_of_one_cut_off(place, tmp_path, capsys):
    assert cli("info", place / "table") == 0
    printed = capsys.readouterr().out
    for what in ("table.csv", "held_out", "batch", "smallest level", "how it went", "the budget is used"):
        assert what in printed.lower()
    (tmp_path / "run").mkdir()
    for name in ("run.json", "log.jsonl"):
        (tmp_path / "run" / name).write_bytes((place / "table" / name).read_bytes())
    assert cli("info", tmp_path / "run") == 0
    assert "interrupted after step 12: run the same fit again" in capsys.readouterr().out


def test_evaluate_and_report(place, tmp_path, capsys):
    assert cli("evaluate", place / "table", "-n", 60) == 0
    printed = capsys.readouterr().out
    for what in (
        "60 samples",
        "energy distance",
        "real data",
        "of held-out data",
        "near copies",
        "Loss by noise level",
    ):
        assert what in printed
    assert printed.splitlines()[-1] == str(place / "table" / "evaluation.json")
    assert Run(place / "table").read("evaluation.json")["count"] == 60
    moved = tmp_path / "moved.csv"
    moved.write_bytes((place / "table.csv").read_bytes())
    assert cli("report", place / "table", moved, "-n", 60) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(place / "table" / "report.html")
    assert all(sentence in printed.err for sentence in Run(place / "table").read("evaluation.json")["verdict"])
    assert (place / "table" / "report.html").stat().st_size > 10_000


def test_the_units_of_moments_are_said(capsys):
    """A mean below 0 of pixels that are never below 0 is one in standard units."""
    rng = np.random.default_rng(0)
    pool = Pool.of(rng.normal(size=(60, 2)), rng.normal(size=(60, 2)))
    _print_families(SimpleNamespace(families=[moment_test(pool)]))
    said = capsys.readouterr()
    assert "those first that differ the most: means over rows, in standard units" in said.out
    assert said.err == "standard units: 0 is the mean of the data, and 1 their standard deviation\n"


def test_compare_tables(place, tmp_path, capsys):
    words = ["--samplers", "heun(steps=3)", "ddim(eta=1)", "--steps", 4, "-n", 40, "--seed", 2, "--device", "cpu"]
    moved = tmp_path / "moved.csv"
    moved.write_bytes((place / "table.csv").read_bytes())
    assert cli("compare", place / "table", moved, *words) == 0
    printed = capsys.readouterr()
    assert "Heun(steps=3): 40 samples in " in printed.err
    for what in ("40 samples of each", "evaluations", "energy distance", "diversity", "with 40 samples"):
        assert what in printed.out
    lines = {
        line.split(")")[0].strip(): line.split(")")[-1].split() for line in printed.out.splitlines() if ")" in line
    }
    assert lines["Heun(steps=3"][0] == "7" and lines["DDIM(eta=1, steps=4"][0] == "5"
    assert printed.out.splitlines()[-1] == str(place / "table" / "compare.html")
    page = (place / "table" / "compare.html").read_text()
    assert "DDIM(eta=1, steps=4)" in page and ">size<" not in page and len(page) > 10_000
    rows = Run(place / "table").read("compare.json")["rows"]
    assert [row["sampler"] for row in rows] == ["Heun(steps=3)", "DDIM(eta=1, steps=4)"]
    assert [row["evaluations"] for row in rows] == [7, 5]


def test_compare_images_in_the_usual_ways(place, capsys):
    assert cli("compare", place / "images", "-n", 6, "--steps", 4) == 0
    printed = capsys.readouterr().out
    kept = Run(place / "images").read("compare.json")
    assert len(kept["rows"]) + len(kept["failed"]) >= 7 and kept["count"] == 6
    assert kept["rows"][0]["sampler"] == "DPM(eta=1, steps=4)" and kept["rows"][0]["evaluations"] == 5
    for row in kept["rows"]:
        assert row["sampler"].partition(",")[0] in printed  # a long name goes on in the next line
    assert (place / "images" / "compare.html").read_text().count("<img") == len(kept["rows"]) + 1


def test_tables_break_long_words_and_no_numbers(capsys):
    words, name = ("a", *("b" * 12 for _ in range(9))), "name(" + 30 * "key=value, "
    terminal.table("title", words, [(name, *(0.123456 for _ in range(9))), ("short", *range(1000, 10000, 1000))])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "title" and max(map(len, lines)) <= 160
    assert sum(line.count("0.1235") for line in lines) == 9 and any("9,000" in line for line in lines)
    assert "".join("".join(line[:44].split()) for line in lines).count("key=value") >= 20


@pytest.mark.parametrize("word, status", [pytest.param("SIGINT", 130, marks=pytest.mark.slow), ("SIGTERM", 143)])
def test_an_interrupted_fit_says_how_to_go_on(place, tmp_path, word, status):
    import signal

    run = tmp_path / "run"
    words = map(str, ["fit", place / "plain.npy", "-o", run, "--steps", 1_000_000, *SMALL])
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored behind a shell's &
    )
    code += "from scorefield.cli import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 100
        while not (run / "log.jsonl").is_file() or not (run / "log.jsonl").read_text():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        process.send_signal(getattr(signal, word))
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    assert printed.splitlines()[-1] == "interrupted: the same command resumes it"
    assert (run / "training.safetensors").is_file() and "Traceback" not in printed
