"""Tables as text: rows and columns are those of the text, and no column is lost or shifted in silence."""

import numpy as np
import pytest

from scorefield.data import Schema, check, read, write
from scorefield.data.formats import Csv

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
        ("a,b\n1,5,0.1\n2,6,0.2\n3,7,0.3\n", "names 2 columns, but its rows have 3: name every column in the first"),
        ("a\n1,5\n2,6\n3,7\n", "names 1 columns, but its rows have 2"),
        ("a,b\n1,5,\n2,6,\n3,7,9\n", "names 2 columns, but its rows have 3"),
        ("a,b\n1,5\n2,6\n3,7,9\n", "is not a table .*Expected 2 fields"),
        (",a\n0.5,1\n0.7,2\n0.9,3\n", "the first column of .* has no name, and is not a number for each row: name it"),
        (",a\n1,1\n1,2\n2,3\n", "the first column of .* has no name"),
        (",a\nx,1\ny,2\nz,3\n", "the first column of .* has no name"),
        ("a,b,\n1,5,\n2,6,\n3,7,9\n", "column 3 of .* has no name: name it in the first line"),
        ("a,b\n", "holds no rows"),
        ("a,b\n1,\xe9\n".encode("latin-1"), "is not text in UTF-8 .*: save it as UTF-8"),
        ("a,b\n1,2\x00\n3,4,5\n", "x.csv is"),
    ],
)
def test_no_column_is_lost_in_silence(read_csv, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_csv(text)
    assert "\n" not in str(error.value)


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
