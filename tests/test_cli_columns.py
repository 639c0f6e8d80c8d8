"""What the command line says of the columns of a table, and what can be said of them."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield import load
from scorefield.cli import main
from scorefield.cli.options import Form
from scorefield.settings import Data

pandas = pytest.importorskip("pandas")

N = 60
TINY = ["--steps", "4", "--batch", "16", "--widths", "8", "--device", "cpu"]


@pytest.fixture
def table(tmp_path):
    r = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"share": r.random(N).round(2), "code": r.integers(0, 4, N), "name": [f"n{i}" for i in range(N)]}
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    return tmp_path / "x.csv"


def test_what_is_said_becomes_settings_of_data():
    said = Form(
        categorical=("zone,band", "c"), bounds=("share=0:1", "=1+1=:2", "load=-3e2:"), kinds=("note=leave out",)
    )
    assert said.data() == Data(
        categorical=("zone", "band", "c"),
        bounds={"share": (0, 1), "=1+1": (None, 2), "load": (-300, None)},
        columns={"note": "leave out"},
    )
    assert Form().data() == Data()


def test_fit_says_what_each_column_was_taken_for(table, capsys):
    run = table.parent / "run"
    assert main(["fit", str(table), "-o", str(run), *TINY, "--bounds", "share=0:1"]) == 0
    said = capsys.readouterr().err
    assert "(float64)" in said and "\n  share  number: " in said and ", bounds 0 to 1\n" in said
    assert "\n  code   number: whole, 0 to 3\n" in said or "\n  code   number: one of 0, 1, 2, 3\n" in said
    assert (
        "\n  name   left out: identifier or free text: another value in each of 60 rows; --keep 'name' keeps it" in said
    )
    schema = load(run).schema
    assert schema.columns == ("share", "code") and schema.table[0].bounds == (0, 1)


def test_a_file_may_hold_a_table_of_bounds(table, capsys):
    config = table.parent / "run.toml"
    config.write_text('[fit]\nkeep = ["code"]\n[fit.bounds]\nshare = [0, 1.5]\n[fit.kinds]\nname = "leave out"\n')
    run = table.parent / "run"
    assert main(["fit", str(table), "-o", str(run), *TINY, "--config", str(config)]) == 0
    assert "left out, as asked for" in capsys.readouterr().err
    assert load(run).schema.table[0].bounds == (0, 1.5)
    config.write_text('kinds = {name = "leave out"}\n')
    assert main(["fit", str(table), "-o", str(table.parent / "other"), *TINY, "--config", str(config)]) == 0


def test_notes_on_the_text_are_said(table, capsys):
    table.write_text("a,b\n" + "".join(f"{x},{y},{z}\n" for x, y, z in np.random.default_rng(0).normal(size=(N, 3))))
    assert main(["fit", str(table), "-o", str(table.parent / "run"), *TINY]) == 0
    said = capsys.readouterr().err
    assert said.startswith("note: the first line of ") and "those without one are called column_3\n" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bounds", "share"], "--bounds takes name=value, such as share=0:1, got 'share'"),
        (["--bounds", "share=0"], "--bounds takes name=low:high, such as share=0:1 or load=0:, got 'share=0'"),
        (["--bounds", "share=1:0"], "the bounds of column 'share' are 1 and 0: the first must be the smaller"),
        (["--kinds", "share=colour"], "column 'share' can be number, category, date, leave out; got 'colour'"),
        (["--log", "shares"], "log names 'shares', which is not a column of the table: did you mean 'share'?"),
        (["--missing", "never"], "never"),
    ],
)
def test_what_cannot_be_meant(table, capsys, words, message):
    assert main(["fit", str(table), "-o", str(table.parent / "run"), *TINY, *words]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
