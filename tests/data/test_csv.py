"""Tables as text: rows and columns are those of the text, and no column is lost or shifted in silence."""

import contextlib
import json

import numpy as np
import pytest
import torch

from scorefield import spec
from scorefield.data import Schema, TextForm, check, in_place_of, read, write
from scorefield.data.formats import Csv
from scorefield.settings import Data

pandas = pytest.importorskip("pandas")

TABLE = pandas.DataFrame({"a": np.arange(7) / 4, "b": np.arange(7), "c": np.arange(7) % 2 == 0})


def csv(tmp_path, text, **options):
    (tmp_path / "x.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return read(tmp_path / "x.csv", **options)


@pytest.fixture(params=["in memory", "by parts"])
def read_csv(request, tmp_path, monkeypatch):
    """Reads a text both ways; a table of three rows comes in two parts."""
    if request.param == "in memory":
        return lambda text, **options: csv(tmp_path, text, **options).to_numpy(float)
    monkeypatch.setattr("scorefield.data.formats.tables.BLOCK", 8 * 2 * 3)
    options = {"cache": tmp_path / "cache", "limit": 1}
    return lambda text, **more: np.array(csv(tmp_path, text, **options, **more).values)


@pytest.fixture(params=["in memory", "by parts"])
def read_frame(request, tmp_path, monkeypatch):
    """Names and values of a text, read both ways."""
    if request.param == "in memory":
        read_now = lambda text: csv(tmp_path, text)  # noqa: E731
        return lambda text: (x := read_now(text)) is not None and (x.columns.tolist(), x.to_numpy(float))
    monkeypatch.setattr("scorefield.data.formats.tables.BLOCK", 8 * 2 * 3)
    return lambda text: (
        (x := csv(tmp_path, text, cache=tmp_path / "cache", limit=1)) is not None
        and (list(x.columns), np.array(x.values))
    )


ROWS = [[1, 5], [2, 6], [3, 7]]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,5\n2,6\n3,7\n",
        "a,b\n1,5,\n2,6,\n3,7,\n",
        "a,b\n1,5,,\n2,6,,\n3,7,,\n",
        "a,b,\n1,5,\n2,6,\n3,7,\n",
        "1,5\n2,6\n3,7\n",
        "1,5,\n2,6,\n3,7,\n",
        ",a,b\n0,1,5\n1,2,6\n2,3,7\n",
        '"","a","b"\n"1",1,5\n"2",2,6\n"3",3,7\n',
        ",a,b\n9,1,5\n4,2,6\n7,3,7\n",
        "\n\na;b\r\n1;5\r\n2;6\r\n3;7\r\n",
        "\n a,b\n\n1,5,\n2,6,\n3,7,\n",
        "\ufeffa,b\n1,5\n2,6\n3,7\n",
        "\ufeffa,b\n1,5,\n2,6,\n3,7,\n",
        '"2000","2001"\n1,5\n2,6\n3,7\n',
        '"a\nx",b\n1,5,\n2,6,\n3,7,\n',
        "a,b\r1,5\r2,6\r3,7\r",
    ],
)
def test_rows_and_columns_are_those_of_the_text(read_csv, text):
    np.testing.assert_array_equal(read_csv(text), ROWS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,5\n2,6\n3,7,9\n", "is not a table .*Expected 2 fields"),
        ("a,b\n", "holds no rows"),
        ("a,b,a\n1,2,3\n", "has several columns named 'a': rename them"),
        ("a,b\n1,2\x00\n3,4,5\n", "x.csv holds control characters: it is damaged, or not a table"),
        (b"a,b\n1,\x81\n", "is not text in UTF-8 nor in cp1252: save it as UTF-8"),
        ('a,b\n1,"2\n3,4\n', "x.csv"),
    ],
)
def test_what_is_not_a_table(read_csv, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_csv(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("a,b\n7,5,0.1\n7,6,0.2\n3,7,0.3\n", ["a", "b", "column_3"], [[7, 5, 0.1], [7, 6, 0.2], [3, 7, 0.3]]),
        ("a\n4,5\n2,6\n3,7\n", ["a", "column_2"], [[4, 5], [2, 6], [3, 7]]),
        ("a,b\n7,5,\n7,6,9\n3,7,\n", ["a", "b", "column_3"], [[7, 5, np.nan], [7, 6, 9], [3, 7, np.nan]]),
        (",a\n0.5,1\n0.7,2\n0.9,3\n", ["row_names", "a"], [[0.5, 1], [0.7, 2], [0.9, 3]]),
        (",a\n1,1\n1,2\n2,3\n", ["row_names", "a"], [[1, 1], [1, 2], [2, 3]]),
        ("a,,b\n1,1,0\n1,2,0\n2,3,0\n", ["a", "column_2", "b"], [[1, 1, 0], [1, 2, 0], [2, 3, 0]]),
    ],
)
def test_columns_without_a_name_get_one_with_a_warning(read_frame, text, names, values):
    with pytest.warns(
        UserWarning, match=r"the first line of .*x.csv has \d names for \d columns: those without one are"
    ):
        columns, numbers = read_frame(text)
    assert columns == names
    np.testing.assert_array_equal(numbers, values)


def test_later_rows_fill_a_column_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("scorefield.data.formats.tables.BLOCK", 8 * 3 * 2)
    with pytest.raises(ValueError, match=r"column 3 of .*x\.csv has no name: name it in the first line"):
        csv(tmp_path, "a,b\n7,5,\n7,6,\n3,7,9\n", cache=tmp_path / "cache", limit=1)


def test_names_of_rows_as_r_writes_them(tmp_path):
    x = csv(tmp_path, "".join(["mpg,cyl\n", *(f"car {i},{i}.5,4\n" for i in range(40))]))
    assert x.columns.tolist() == ["row_names", "mpg", "cyl"] and x.loc[3].tolist() == ["car 3", 3.5, 4]
    schema = Schema.of(x)
    assert schema.columns == ("mpg", "cyl") and schema.left_out[0][0] == "row_names"
    x = csv(tmp_path, '"mpg","cyl"\n"1",4,0\n"2",8,1\n"3",5,0\n')
    assert x["mpg"].tolist() == [4, 8, 5]


CASES = {
    "blanks": "Chins Situps  Jumps\n6 82 1.02\n3  31 0.59\n  3 75 -0.75\n",
    "tabs": "Chins\tSitups\tJumps\n6\t82\t1.02\n3\t31\t0.59\n3\t75\t-0.75\n",
    "bars": "Chins|Situps|Jumps\n6|82|1.02\n3|31|0.59\n3|75|-0.75\n",
    "decimal commas": "Chins;Situps;Jumps\n6;82;1,02\n3;31;0,59\n3;75;-0,75\n",
    "comments": "# measured\n% in 1980\nChins,Situps,Jumps\n6,82,1.02\n3,31,0.59\n# later\n3,75,-0.75\n",
    "numpy.savetxt": "# Chins Situps Jumps\n6 82 1.02\n3 31 0.59\n3 75 -0.75\n",
    "quotes": '"Chins","Situps","Jumps"\n"6","82","1.02"\n"3","31","0.59"\n"3","75","-0.75"\n',
    "blanks after commas": "Chins, Situps, Jumps\n6, 82, 1.02\n3, 31, 0.59\n3, 75, -0.75\n",
}


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".dat"])
@pytest.mark.parametrize("name", CASES)
def test_separators_and_decimal_commas(tmp_path, name, suffix):
    (tmp_path / f"x{suffix}").write_text(CASES[name])
    with pytest.warns(UserWarning, match="3 lines of") if name == "comments" else contextlib.nullcontext():
        x = read(tmp_path / f"x{suffix}")
    assert x.columns.tolist() == ["Chins", "Situps", "Jumps"]
    np.testing.assert_array_equal(x.to_numpy(float), [[6, 82, 1.02], [3, 31, 0.59], [3, 75, -0.75]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding, recwarn):
    x = csv(tmp_path, "Größe;Gewicht\n6,27;8,24\n3,91;1.003,11\n".encode(encoding))
    assert x.to_dict("list") == {"Größe": [6.27, 3.91], "Gewicht": [8.24, 1003.11]}
    notes = [str(w.message) for w in recwarn]
    assert [n.endswith("x.csv is not text in UTF-8: it was read as cp1252") for n in notes] == [True] * (
        encoding == "latin-1"
    )


@pytest.mark.parametrize("mark", ["", "?", " ?", "NA", "N/A", "nan", "-", "."])
def test_marks_of_missing_values(tmp_path, mark):
    x = csv(tmp_path, "a,b,c\n" + f"1,{mark},x\n2,0.5,y\n" * 20)
    made = Schema.of(x).table
    assert [c.kind for c in made] == ["number", "constant", "category"]
    assert made[1].missing and np.isnan(made[1].encode(x["b"])).sum() == 20


def test_text_and_its_types(tmp_path):
    text = "zip,count,share,day,ok,name\n" + "01234,5,0.50,2024-01-05,True,x\n99000,,0.25,,False,?\n" * 10
    x = csv(tmp_path, text)
    assert x["zip"].tolist()[:2] == ["01234", "99000"] and str(x["count"].dtype) == "Int64"
    assert x["name"].isna().sum() == 10 and x["ok"].dtype == bool
    assert [c.kind for c in Schema.of(x).table] == ["category", "constant", "number", "constant", "boolean", "constant"]


def test_rows_without_names_of_any_kind(tmp_path):
    x = csv(tmp_path, "39, State-gov, 77516\n50, Self-emp, 83311\n38, ?, 215646\n")
    assert x.columns.tolist() == [0, 1, 2] and x.shape == (3, 3) and x[1].tolist()[:2] == ["State-gov", "Self-emp"]


def test_text_is_not_split_at_its_blanks(tmp_path):
    x = csv(tmp_path, "name of town\nSt Ives\nNew York\nOld Sarum\n")
    assert x.columns.tolist() == ["name of town"] and x.shape == (3, 1)


def test_mixed_tables_that_are_too_large_say_so(tmp_path):
    with pytest.raises(
        TypeError, match=r"not numbers cannot be read by parts: 'b' .*; raise limit=… to read them into"
    ):
        csv(tmp_path, "a,b\n1,x\n2,y\n", cache=tmp_path / "cache", limit=1)


def generated(seed, n=60):
    """A table of all kinds of columns, drawn at random."""
    r = np.random.default_rng(seed)
    day = pandas.Timestamp("2024-01-01") + pandas.to_timedelta(r.integers(0, 999, n), "D")
    makers = {
        "float": lambda: r.normal(size=n),
        "cents": lambda: r.normal(size=n).round(2),
        "gaps": lambda: np.where(r.random(n) < 0.2, np.nan, r.normal(size=n).round(1)),
        "count": lambda: r.poisson(3, n) - 1,
        "count with gaps": lambda: pandas.array(np.where(r.random(n) < 0.2, None, r.integers(0, 99, n)), dtype="Int64"),
        "halves, with a comma": lambda: r.integers(0, 40, n) / 2,
        "word": lambda: r.choice(["a", "b, c", 'd "e"', "f;g", "ü"], n),
        "word with gaps": lambda: np.where(r.random(n) < 0.2, None, r.choice(["yes", "no"], n).astype(object)),
        "true": lambda: r.random(n) < 0.5,
        "true with gaps": lambda: np.where(r.random(n) < 0.2, None, r.random(n) < 0.5),
        "day": lambda: day.strftime("%d.%m.%Y"),
        "time": lambda: (day + pandas.to_timedelta(r.integers(0, 1440, n), "min")).strftime("%Y-%m-%d %H:%M"),
        "same": lambda: np.full(n, "x"),
        "same number": lambda: np.full(n, 0.5),
        "zip": lambda: r.choice(["01234", "00007", "99999"], n),
        "key": lambda: [f"k{i}" for i in range(n)],
    }
    names = r.permutation(list(makers))[: r.integers(2, len(makers))]
    return pandas.DataFrame({name: makers[name]() for name in names})


SUFFIXES = (".csv", ".tsv", ".txt")


@pytest.mark.parametrize(
    ("seed", "suffix"),
    [  # every table with one suffix in the suite, with the others slow
        pytest.param(seed, suffix, marks=[] if SUFFIXES.index(suffix) == seed % 3 else [pytest.mark.slow])
        for seed in range(12)
        for suffix in SUFFIXES
    ],
)
def test_what_is_written_is_read_as_the_same(tmp_path, seed, suffix):
    generated(seed).to_csv(tmp_path / "x.csv", index=False)
    x = read(tmp_path / "x.csv")
    schema = Schema.of(x)
    samples = schema.pack(schema.unpack(x, torch.float64))
    pandas.testing.assert_frame_equal(samples, x[list(schema.columns)])
    write(tmp_path / f"y{suffix}", [samples], len(samples), schema)
    again = read(tmp_path / f"y{suffix}")
    pandas.testing.assert_frame_equal(again, samples)
    assert Schema.of(again).table == schema.table


def test_columns_that_are_asked_for_need_no_others(read_csv):
    np.testing.assert_array_equal(read_csv(",a,b\nx,1,5\ny,2,6\nz,3,7\n", columns=["a", "b"]), ROWS)


def test_tables_in_all_their_suffixes(tmp_path):
    for suffix in Csv.suffixes:
        write(tmp_path / f"x{suffix}", (TABLE.iloc[i : i + 3] for i in range(0, 7, 3)), 7, Schema.of(TABLE))
        assert read(tmp_path / f"x{suffix}").columns.tolist() == ["a", "b", "c"]
    assert (tmp_path / "x.tsv").read_text().startswith("a\tb\tc\n")
    assert (tmp_path / "x.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    two_levels = TABLE.set_axis(pandas.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]), axis=1)
    with pytest.raises(ValueError, match=r"x\.csv holds one line of names, .* several levels: write .*parquet"):
        check(tmp_path / "x.csv", Schema.of(two_levels))


def test_years_as_names(tmp_path):
    """A wide table: the first line looks like its rows, words and numbers, but counts."""
    path = tmp_path / "wide.csv"
    rows = "\n".join(f"place {i},code {i},{i / 8},{i / 4 + 1},{i / 2 + 2}" for i in range(12))
    path.write_text(f"Country,Code,1960,1961,1962\n{rows}\n")
    found = read(path)
    assert list(found.columns) == ["Country", "Code", "1960", "1961", "1962"] and len(found) == 12
    path.write_text(f"place,code,1.5,3.5,7\n{rows}\n")
    assert list(read(path).columns) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("lines", [("Series: rates",), ("Series: rates", "", "Age: 16 and over", "")])
def test_text_before_the_table(tmp_path, lines):
    path = tmp_path / "series.csv"
    rows = "\n".join(f"{1959 + i // 4},Q{i % 4},{i / 8}" for i in range(12))
    path.write_text("\n".join((*lines, f"Year,Period,Value,\n{rows}\n")))
    with pytest.warns(UserWarning, match="not part of the table"):
        found = read(path)
    assert list(found.columns) == ["Year", "Period", "Value"] and found.shape == (12, 3)
    assert list(found["Value"]) == [i / 8 for i in range(12)]


GERMAN = "Preis;Anteil;Note;Umsatz;Art;Nr\n" + "".join(
    f"{i + 1},17 €;{i},3 %;4,{i};1.{i}00,5;s\u00fc\u00df;{i * 1000}\n" for i in range(9)
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.filterwarnings("ignore:.* was read as cp1252")
def test_what_is_written_has_the_form_of_what_was_read(tmp_path, encoding):
    """Separator, decimal mark and encoding, also in several batches: one convention in a row, which reads back."""
    x = csv(tmp_path, GERMAN.encode(encoding))
    schema = Schema.of(x)
    samples = schema.pack(schema.unpack(x)).assign(Art=x["Art"])
    write(tmp_path / "new.csv", [samples[:4], samples[4:]], 9, schema)
    raw = (tmp_path / "new.csv").read_bytes()
    lines = raw.decode(encoding).splitlines()
    assert lines[0].split(";") == list(samples.columns) and raw.startswith("P".encode(encoding))
    assert lines[1].startswith("1,17 €;0,3 %;4,0;1000,5;") and len(lines) == 10
    pandas.testing.assert_frame_equal(read(tmp_path / "new.csv"), x[list(samples.columns)])
    write(tmp_path / "new.tsv", [samples], 9, schema)  # the name says what separates
    assert "4,0\t1000,5\t" in (tmp_path / "new.tsv").read_bytes().decode(encoding)
    gaps = torch.ones(9, 6) * torch.tensor([0, 0, 1, 0, 0, 0])  # a table with gaps is written as its own file was
    filled = in_place_of(x, pandas.DataFrame(x.assign(Note=2.5).to_dict("list")), gaps.bool())
    write(tmp_path / "filled.csv", [filled], 9, Schema.of(TABLE))
    assert read(tmp_path / "filled.csv").equals(filled) and ";2,5;" in (tmp_path / "filled.csv").read_text(encoding)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\tb\n1.5\t2\n2.5\t3\n", "1.5\t2"),
        ("a|b\n1.5|2\n2.5|3\n", "1.5|2"),
        ("a b\n1.5 2\nNA 3\n2.5 3\n", "1.5 2"),
        ('a,b\n1.5,"1,234"\n2.5,"2,345,678"\n', "1.5,1234"),
        ("a;b\n1,5;2\n;3\n1,5e-7;3\n", "1,5;2"),
    ],
)
def test_separators_come_back(tmp_path, text, line):
    x = csv(tmp_path, text)
    write(tmp_path / "new.csv", [x], len(x), Schema.of(x))
    assert (tmp_path / "new.csv").read_text().splitlines()[1] == line
    pandas.testing.assert_frame_equal(read(tmp_path / "new.csv"), x)


SPELLED = ["x;shout;gaps;few;word;letter;Python", "1,5;TRUE;true;TRUE;Yes;T;True", "2,5;FALSE;;TRUE;No;F;False"]
SPELLED += ["3,5;FALSE;false;TRUE;Yes;T;True"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("limit", [1 << 30, 1])
def test_words_for_bools_and_line_ends_come_back(tmp_path, line_end, encoding, limit):
    """To the byte, from the table and from its schema; also of tables that are read by parts, where all are bools."""
    lines = SPELLED if limit > 1 else [",".join(np.array(line.split(";"))[[1, 1, 3, 6]]) for line in SPELLED]
    lines[0] = lines[0] if limit > 1 else "shout,again,few,Python"
    text = "".join(line + line_end for line in lines).encode(encoding)
    (tmp_path / "a.csv").write_bytes(text)
    x = read(tmp_path / "a.csv", cache=tmp_path / "cache", limit=limit)
    schema = Schema.of(x, data=Data(keep=tuple(x.columns)))
    again = spec.build(json.loads(json.dumps(spec.describe(schema))))
    made = again.pack(again.unpack(x))
    assert {column.kind for column in schema.table if column.name in ("shout", "gaps", "Python")} == {"boolean"}
    for table in [made, *([x] if limit > 1 else [])]:
        write(tmp_path / "new.csv", [table], 3, again)
        assert (tmp_path / "new.csv").read_bytes() == text
    write(tmp_path / "new.tsv", [made], 3, again)
    assert f"FALSE\t{'' if limit > 1 else 'FALSE'}" in (tmp_path / "new.tsv").read_text(encoding)


def test_words_for_bools_below_the_first_rows(tmp_path):
    """One word says how the other is written, and a column may begin with gaps."""
    (tmp_path / "a.csv").write_text("a,b\n" + "TRUE,\n" * 1200 + "FALSE,true\n")
    assert TextForm.of(read(tmp_path / "a.csv")).bools == (("a", "FALSE", "TRUE"), ("b", "false", "true"))


def test_the_form_of_a_table_read_by_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("scorefield.data.formats.tables.BLOCK", 8 * 2 * 3)
    x = csv(tmp_path, "a;b\n1,5;2\n2,5;3\n", cache=tmp_path / "cache", limit=1)
    schema = Schema.of(x)
    write(tmp_path / "new.csv", [schema.pack(schema.unpack(x))], 2, schema)
    assert (tmp_path / "new.csv").read_text() == "a;b\n1,5;2\n2,5;3\n"


def test_tables_whose_form_is_not_known_are_written_as_before(tmp_path):
    """Also letters that an encoding lacks, and attributes that are not ours."""
    write(tmp_path / "plain.csv", [TABLE], 7, Schema.of(TABLE))
    assert (tmp_path / "plain.csv").read_text().startswith("a,b,c\n0.0,0,True\n")
    assert TextForm.of(TABLE) is None
    for attributes in (
        {"separator": "x"},
        {"other": 1},
        [],
        {"encoding": "rot13"},
        {"bools": [["a"]]},
        {"bools": 1},
        {"decimals": [["a", 0]]},
        {"marks": [["a", ";"]]},
        {"scientific": [["a", "0.00"]]},
    ):
        strange = TABLE.copy()
        strange.attrs["scorefield.text_form"] = attributes
        assert TextForm.of(strange) is None
    greek = pandas.DataFrame({"\u03b1": ["\u03b2", "x"], "y": [1, 2]})
    greek.attrs.update(TextForm(encoding="cp1252").attributes)
    write(tmp_path / "greek.csv", [greek], 2, Schema.of(TABLE))
    assert read(tmp_path / "greek.csv").equals(greek)
    schema = Schema.of(csv(tmp_path, "a;b\n1,5;2\n2,5;3\n"))
    assert spec.build(json.loads(json.dumps(spec.describe(schema)))) == schema and schema.text_form == TextForm(
        ";", ",", decimals=(("a", 1),)
    )


@pytest.mark.parametrize(
    "column",
    [
        ["<0.5", "1.1", "2.4"],
        ["v1.0", "v1.1", "v2.0"],
        ["$1.50", "$2.25", "$3.50"],
        ["1.1", "2.3", "4.5"],
        ["1.0", "2.0", "4.0"],
    ],
    ids=["below", "version", "price", "number", "whole"],
)
@pytest.mark.parametrize("mark", [",", "."])
@pytest.mark.parametrize("fixed", [True, False])
def test_columns_keep_their_decimal_marks(tmp_path, column, mark, fixed):
    """Whatever the marks in other columns are, of text and of numbers."""
    other = ",."[mark == ","]
    rows = [
        f"{'1661.54' if fixed or i % 2 else '0.5'};{i}.25;{column[i % 3]};{i}.053".replace(".", mark) for i in range(12)
    ]
    rows = [
        ";".join(part if k != 2 else part.replace(mark, other) for k, part in enumerate(row.split(";"))) for row in rows
    ]
    text = "\n".join(["a;b;c;d", *rows]) + "\n"
    (tmp_path / "x.csv").write_text(text)
    table = read(tmp_path / "x.csv")
    assert table["b"].tolist() == [i + 0.25 for i in range(12)] and table["a"][1] == 1661.54
    schema = Schema.of(table, data=Data(keep=("d",)))
    for made in (table, schema.pack(schema.unpack(table))):
        write(tmp_path / "same.csv", [made], 12, schema)
        assert (tmp_path / "same.csv").read_text() == text


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize(
    "form", ["{:.2e}", "{:.3E}", "{:.0e}", "{:.1e}", "{:g}"], ids=["two", "capital", "none", "one", "as many as needed"]
)
def test_scientific_notation_is_kept(tmp_path, mark, form):
    """In what is read and in samples, which have no more digits; a number that needs more keeps them."""
    values = np.exp(-12 - np.random.default_rng(0).exponential(3, 1200))
    texts = [form.format(float(f"{value:.3e}")).replace(".", mark) for value in values]
    text = (
        "\n".join(["a;b", *(f"{each};{i / 8}".replace(".", mark) for i, each in enumerate(texts)), ";0" + mark + "5"])
        + "\n"
    )
    (tmp_path / "x.csv").write_text(text)
    table = read(tmp_path / "x.csv")
    schema = Schema.of(table)
    schema = spec.build(json.loads(json.dumps(spec.describe(schema))))
    for made in (table, schema.pack(schema.unpack(table, torch.float64))):
        write(tmp_path / "same.csv", [made], 1201, schema)
        assert (tmp_path / "same.csv").read_text() == text
    samples = schema.pack(schema.unpack(table, torch.float64) * torch.tensor([1.2345678, 1.0]))
    write(tmp_path / "new.csv", [samples], 1201, schema)
    cells = [line.partition(";")[0] for line in (tmp_path / "new.csv").read_text().splitlines()[1:-1]]
    assert max(map(len, cells)) <= max(map(len, texts)) and all("e" in cell.lower() for cell in cells)
    table.loc[0, "a"] = 1.23456789e-7
    write(tmp_path / "more.csv", [table], 1201, schema)
    assert read(tmp_path / "more.csv")["a"].equals(table["a"])


@pytest.mark.parametrize("mark", [".", ","])
def test_decimals_are_written_as_they_were_read(tmp_path, mark):
    """Where all numbers of a column have as many; a number that needs more keeps them, other columns have what they need."""
    rows = [("396.00", "1.5", "0.10"), ("0.50", "2.25", "-12.30"), ("", "3.0", "7.00")]
    text = "\n".join(["a;b;c", *(";".join(row).replace(".", mark) for row in rows)]) + "\n"
    (tmp_path / "x.csv").write_text(text)
    table = read(tmp_path / "x.csv")
    assert table["a"].dropna().tolist() == [396.0, 0.5]
    schema = Schema.of(table)
    write(tmp_path / "same.csv", [table], 3, schema)
    assert (tmp_path / "same.csv").read_text() == text
    table.loc[1, "a"], table.loc[2, "c"] = 0.125, float("inf")
    write(tmp_path / "other.csv", [table], 3, schema)
    lines = [line.replace(".", mark) for line in ("0.125;2.25;-12.30", ";3.0;inf")]
    assert (tmp_path / "other.csv").read_text().splitlines()[2:] == lines


@pytest.mark.parametrize("mark", [".", ","])
def test_columns_of_equal_names_are_written_alike(tmp_path, mark):
    schema = Schema.of(csv(tmp_path, "a;b;c\n1.50;TRUE;x\n2.25;FALSE;y\n".replace(".", mark)))
    table = pandas.DataFrame([[1.5, True, 0.5], [2.0, False, 4.125]], columns=["a", "b", "a"])
    table = pandas.concat([table, pandas.DataFrame({"b": [False, True], "z": pandas.Categorical([0.5, 1.5])})], axis=1)
    before = table.copy()
    write(tmp_path / "y.csv", [table], 2, schema)
    lines = ["a;b;a;b;z", "1.50;TRUE;0.50;FALSE;0.5", "2.00;FALSE;4.125;TRUE;1.5"]
    assert (tmp_path / "y.csv").read_text().splitlines() == [line.replace(".", mark) for line in lines]
    pandas.testing.assert_frame_equal(table, before)
