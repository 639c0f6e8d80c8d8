"""What the command line says of the columns of a table, and what can be said of them."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from scorefield import load
from scorefield.cli import main
from scorefield.cli.options import Form
from scorefield.data import read
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


def test_names_with_commas_are_those_of_columns(tmp_path):
    r = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"Alter, Jahre": range(N), "zone": r.integers(0, 4, N), "a,b": r.random(N), "a": r.random(N)}
    )
    both = ("Alter, Jahre", "zone,a")
    for option in ("categorical", "numeric", "log", "keep"):
        data, _ = Form(**{option: both}).with_labels(frame)
        assert getattr(data, option) == ("Alter, Jahre", "zone", "a")
    data, _ = Form(targets=("a,b", "zone,a")).with_labels(frame)
    assert data.targets == (("a,b",), ("zone", "a"))
    frame.to_csv(tmp_path / "x.csv", index=False)
    run = tmp_path / "run"
    assert (
        main(["fit", str(tmp_path / "x.csv"), "-o", str(run), *TINY, "--keep", "Alter, Jahre", "--targets", "a,b"]) == 0
    )
    assert load(run).schema.columns == tuple(frame.columns)


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


def test_many_columns_and_relations_are_counted(tmp_path, capsys):
    """Twenty columns and six relations are listed; `info` has all. A constant text is not a relation."""
    r = np.random.default_rng(0)
    frame = pandas.DataFrame(r.integers(0, 99, (N, 16)), columns=[f"c{i}" for i in range(16)])
    copies = {f"twice{i}": 2 * frame[f"c{i}"] for i in range(8)}
    frame = frame.assign(**copies, sum=frame["c8"] + frame["c9"], currency="EUR")
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert main(["fit", str(tmp_path / "x.csv"), "-o", str(tmp_path / "run"), *TINY]) == 0
    said = capsys.readouterr().err
    assert "\n  … and 6 more: scorefield info\n" in said and "  twice3 " in said and "  twice4 " not in said
    assert "\nrelation: twice0 = 2 c0 (holds in every row, and is kept)\n" in said and said.count("relation: ") == 6
    assert "\n… and 3 more relations: scorefield info\n" in said
    assert main(["info", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "sum = c8 + c9" in shown and "currency = 0" not in shown and "currency always EUR" in " ".join(shown.split())


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


def test_words_for_missing_values_are_named(table, capsys):
    """Which word it is, in a fit and in gaps to be filled; the run remembers how its data are read."""
    folder = table.parent
    cells = [f"{x:.2f}".replace(".", ",") for x in np.random.default_rng(0).normal(size=N)]
    table.write_text("a;z\n" + "".join(f"{'keine' if i == 5 else cell};{i % 7},5\n" for i, cell in enumerate(cells)))
    command = ["fit", str(table), "-o", str(folder / "run"), *TINY]
    assert main([*command, "--numeric", "a"]) != 0
    assert "got 'keine' in row 5: correct it, leave that row out, or make it missing" in capsys.readouterr().err
    assert main([*command, "--missing-words", "keine"]) == 0
    assert "a  number: -2.33 to 1.96, steps of 0.01, missing in 2 % of rows" in capsys.readouterr().err
    source = json.loads((folder / "run" / "run.json").read_text())["asked"]["source"]
    assert read(**source)["a"].isna().sum() == 1
    gaps = ["impute", str(folder / "run"), str(table), "-o", str(folder / "y.csv")]
    assert main([*gaps, "--missing-words", "none"]) != 0
    assert "column 'a' holds numbers, got 'keine' in row 5" in capsys.readouterr().err
    assert main(gaps) == 0 and "filled 1 missing value in 1 of 60 rows" in capsys.readouterr().err


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


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A run on a table with text, a score and whole numbers, one column of which is left out."""
    folder = tmp_path_factory.mktemp("shop")
    r = np.random.default_rng(0)
    frame = pandas.DataFrame({"region": r.choice(["North", "South"], N), "score": r.uniform(1, 9, N).round(1)})
    frame = frame.assign(visits=r.poisson(4, N), name=[f"n{i}" for i in range(N)])
    frame.to_csv(folder / "shop.csv", index=False)
    assert main(["fit", str(folder / "shop.csv"), "-o", str(folder / "run"), *TINY]) == 0
    return folder


@pytest.mark.parametrize(
    ("suffix", "expected"), [("csv", "new.csv"), ("parquet", "new.parquet"), ("npy", "new.npy"), ("nc", "new.nc")]
)
def test_the_next_line_names_a_format_that_holds_the_samples(tmp_path, capsys, suffix, expected):
    r = np.random.default_rng(0)
    frame, path = pandas.DataFrame({"kind": r.choice(["a", "b"], N), "x": r.normal(size=N)}), tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, r.normal(size=(N, 2)))
    elif suffix == "nc":
        pytest.importorskip("xarray").DataArray(r.normal(size=(N, 2)), dims=("row", "place")).to_netcdf(path)
    else:
        getattr(frame, f"to_{suffix}")(path, index=False)
    assert main(["fit", str(path), "-o", str(tmp_path / "run"), *TINY]) == 0
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("next: ")]
    assert f"-n 1000 -o {expected}, or: " in line
    assert main(["sample", str(tmp_path / "run"), "-n", "3", "-o", str(tmp_path / expected), "--steps", "2"]) == 0


@pytest.mark.parametrize(
    ("given", "start"),
    [
        ("score=900", "note: score=900 lies outside of the data ("),
        ("visits=2.5", "error: column 'visits' takes whole numbers from 0 to "),
        ("score=NA", "error: column 'score' never misses in the data, got None: give a value"),
        ("regio=North", "error: there is no column 'regio': did you mean 'region'?"),
        ("name=n1", "error: column 'name' was left out when the model was fitted: identifier or free text"),
    ],
)
def test_values_that_are_given_are_checked(shop, tmp_path, capsys, given, start):
    words = ["sample", str(shop / "run"), "-n", "2", "-o", str(tmp_path / "new.csv"), "--steps", "2", "--given", given]
    assert (main(words) == 0) == start.startswith("note")
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith(("note", "error"))]
    assert line.startswith(start)


def test_impute_counts_what_it_fills(shop, tmp_path, capsys):
    frame = pandas.read_csv(shop / "shop.csv").head(6).astype({"score": float, "visits": float})
    frame.loc[:1, ["score", "region"]], frame.loc[3, "visits"] = None, -2
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    words = ["impute", str(shop / "run"), str(tmp_path / "gaps.csv"), "--steps", "2", "-o"]
    assert main([*words, str(tmp_path / "filled.csv")]) == 0
    said = capsys.readouterr().err
    assert "filled 4 missing values in 2 of 6 rows\n" in said
    assert "note: values that their column cannot take: 'visits' in 1 row (it takes whole numbers from" in said
    words[2] = str(shop / "shop.csv")
    assert main([*words, str(tmp_path / "whole.csv")]) == 0
    assert f"no value misses in {N} rows: nothing was filled\n" in capsys.readouterr().err


def test_words_for_missing_values_are_those_of_the_run(tmp_path, capsys):
    """Of data that come to it later, unless others are given, and of files that have such words."""
    r, table = np.random.default_rng(0), tmp_path / "flow.csv"
    frame = pandas.DataFrame({"flow": r.normal(5, 1, 200).round(2), "rain": r.normal(size=200).round(2)})
    frame.loc[::10, "flow"] = -9999
    frame.to_csv(table, index=False)
    assert main(["fit", str(table), "-o", str(tmp_path / "run"), "--missing-words=-9999", *TINY]) == 0
    words = ["impute", str(tmp_path / "run"), str(table), "--steps", "2", "-o"]
    capsys.readouterr()
    assert main([*words, str(tmp_path / "filled.csv")]) == 0
    assert "filled 20 missing values in 20 of 200 rows\n" in capsys.readouterr().err
    assert pandas.read_csv(tmp_path / "filled.csv").flow.min() > -100
    assert main([*words, str(tmp_path / "others.csv"), "--missing-words", "none"]) == 0
    assert (pandas.read_csv(tmp_path / "others.csv").flow == -9999).sum() == 20
    rows = str(tmp_path / "rows.npy")
    np.save(rows, frame.to_numpy()[1:5])
    assert main(["logprob", str(tmp_path / "run"), rows, "-o", str(tmp_path / "densities.csv")]) == 0


def test_impute_leaves_all_other_cells_as_they_are_written(tmp_path, capsys):
    """Dates, blanks, notations, decimals, columns that are left out; and the gaps of columns that are not to be filled."""
    r = np.random.default_rng(0)

    def lines(gaps):
        yield "day;dose;word;score;amount, net;note"
        for i in range(N):
            cells = [f"{r.integers(1, 29)}/{r.integers(1, 13)}/{1930 + i % 50}", f"{10 ** -r.uniform(1, 5):.2e}"]
            cells += [(" lead", "trail ", "mid")[i % 3], ("1.5", "2", "2.50")[i % 3], f"{i * 1.25:.2f}", f' n "{i}"']
            cells = [cell.replace(".", ",") for cell in cells]
            for place in r.choice(5, gaps, replace=False):
                cells[place] = ("", "NA")[i % 2]
            yield ";".join(f'"{cell.replace(chr(34), 2 * chr(34))}"' if '"' in cell else cell for cell in cells)

    (tmp_path / "x.csv").write_text("\n".join(lines(0)) + "\n")
    (tmp_path / "gaps.csv").write_text("\n".join(lines(2)) + "\n")
    assert main(["fit", str(tmp_path / "x.csv"), "-o", str(tmp_path / "run"), *TINY]) == 0
    before = list(csv.reader((tmp_path / "gaps.csv").open(newline=""), delimiter=";"))
    for name, asked in (
        ("all.csv", []),
        ("some.csv", ["--fill", "dose", "amount, net"]),
        ("no.csv", ["--fill", "note"]),
    ):
        words = [
            "impute",
            str(tmp_path / "run"),
            str(tmp_path / "gaps.csv"),
            "--steps",
            "2",
            "-o",
            str(tmp_path / name),
        ]
        assert (main([*words, *asked]) == 0) == (name != "no.csv")
        if name == "no.csv":
            assert "column 'note' was left out when the model was fitted" in capsys.readouterr().err
            continue
        after = list(csv.reader((tmp_path / name).open(newline=""), delimiter=";"))
        assert len(after) == len(before)
        for old, new in zip(before, after):
            for k, (was, found) in enumerate(zip(old, new)):
                filled = was in ("", "NA") and (k in (1, 4) or not asked)
                assert found not in ("", "NA") if filled else found == was
                assert not filled or k != 1 or re.fullmatch(r"\d,\d\de-\d\d", found)


def test_help_says_how_a_table_is_conditioned(capsys):
    assert main(["sample", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert (
        "--given region=North age=40" in said
        and "all other columns are drawn" in said
        and "not a range or a set: for these draw more rows, and keep those within" in said
    )
    assert main(["logprob", "--help"]) == 0
    assert "1e-3 for tables with categories" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_how_columns_are_kept_can_be_typed_where_none_remains(tmp_path, capsys):
    pandas.DataFrame({"a": np.arange(1, 51), "it's": [f"n{i}" for i in range(50)]}).to_csv(
        tmp_path / "x.csv", index=False
    )
    assert main(["fit", str(tmp_path / "x.csv"), "-o", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "every column of the table is left out" in said
    assert "--keep 'a' keeps it" in said and '--keep "it\'s" keeps it' in said and "keep=" not in said
