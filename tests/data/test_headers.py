"""Tables as people lay them out in spreadsheets: titles, names in several rows, sums and notes, several sheets."""

import csv
import warnings

import numpy as np
import pytest

from scorefield.data import read
from scorefield.data.formats.headers import Header

pandas = pytest.importorskip("pandas")

BODY = [
    ["north", 1.5, 20, 3.5, 40],
    ["south", 2.5, 30, 1.5, 10],
    ["north", 4.25, 60, 2.25, 80],
    ["east", 3.75, 50, 7.5, 70],
]
HEADERS = {
    "names apart": [["", "Q1", "", "Q2", ""], ["area", "units", "value", "units", "value"]],
    "names across two rows": [["area", "Q1", "", "Q2", ""], ["", "units", "value", "units", "value"]],
    "repeated": [["area", "Q1", "Q1", "Q2", "Q2"], ["", "units", "value", "units", "value"]],
}
NAMES = ["area", "Q1 units", "Q1 value", "Q2 units", "Q2 value"]


@pytest.fixture(params=[".csv", ".xlsx"])
def stored(request, tmp_path):
    """Reads rows from a file, and gives the table and what was said."""

    def read_back(rows, **options):
        path = tmp_path / f"x{request.param}"
        if request.param == ".csv":
            with open(path, "w", newline="") as file:
                csv.writer(file).writerows(rows)
        else:
            book(path, {"sheet": rows})
        return noted(path, **options)

    return read_back


def book(path, sheets):
    made = pytest.importorskip("openpyxl").Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append([None if cell == "" else cell for cell in row])
    made.save(path)


def noted(path, **options):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        x = read(path, **options)
    return x, " | ".join(str(each.message) for each in said)


@pytest.mark.parametrize("title", [0, 1])
@pytest.mark.parametrize("header", HEADERS)
def test_names_in_two_rows_are_joined(stored, header, title):
    x, said = stored([["The year in numbers", "", "", "", ""]] * title + HEADERS[header] + BODY)
    assert x.columns.tolist() == NAMES
    assert x.to_numpy(object).tolist() == BODY and [d.kind for d in x.dtypes][1:] == ["f", "i", "f", "i"]
    assert "are in 2 rows, which were joined" in said and ("text above it" in said) == bool(title)


def test_names_in_three_rows_and_numbers_as_names():
    rows = [["", 2020, "", "", ""], ["area", "H1", "", "H2", ""], ["", "units", "value", "units", "value"], *BODY]
    expected = ("area", "2020 H1 units", "2020 H1 value", "2020 H2 units", "2020 H2 value")
    assert Header.of(rows) == Header(0, 3, expected)


def test_large_files_have_names_in_two_rows_too(tmp_path):
    rows = [["Q1", "", "Q2"], ["units", "value", "units"], *([i, i / 8, 7 - i] for i in range(7))]
    (tmp_path / "x.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    x, _ = noted(tmp_path / "x.csv", cache=tmp_path / "cache", limit=1)
    assert list(x.columns) == ["Q1 units", "Q1 value", "Q2 units"]
    np.testing.assert_array_equal(x.values, np.array(rows[2:], float))


def test_a_comment_between_two_rows_of_names(tmp_path):
    (tmp_path / "x.csv").write_text("Q1,,Q2\n# of this year\nunits,value,units\n1,2,3\n# checked\n4,5,7\n")
    x, _ = noted(tmp_path / "x.csv")
    assert x.columns.tolist() == ["Q1 units", "Q1 value", "Q2 units"] and x.to_numpy().tolist() == [
        [1, 2, 3],
        [4, 5, 7],
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [["area", "a", "b", "c", "d"], ["west", "", 3, "", ""], *BODY],
        [["area", "a", "", "c", ""], ["west", "absent", 3, "", 1], *BODY],
        [["area", "a", "b", "c", "d"], ["west", "absent", 3, 2.5, 1], *BODY],
    ],
)
def test_first_rows_of_data_are_not_names(stored, rows):
    x, said = stored(rows)
    assert len(x) == 5 and x.columns[0] == "area" and "joined" not in said


def test_rows_of_units_are_refused_unless_they_are_words_for_missing_values(stored):
    rows = [["area", "a", "b", "c", "d"], ["", "cm", "cm", "kg", "cm"], *BODY]
    with pytest.raises(
        ValueError, match=r"'cm' in 'a', as a second row of names or units does: join it with the names"
    ):
        stored(rows)
    rows[1] = ["west", *["absent"] * 4]
    x, _ = stored(rows, missing_words=["absent"])
    assert len(x) == 5 and x.iloc[0, 1:].isna().all()


def test_sums_and_notes_below_are_said_and_kept(stored):
    sums = ["all", *np.array([row[1:] for row in BODY]).sum(0)]
    head = [["area", "a", "b", "c", "d"]]
    x, said = stored([*head, *BODY, sums, ["Source: the ministry", "", "", "", ""]])
    assert len(x) == 6 and "the last row of" in said and "text in one column alone, 'Source: the ministry'" in said
    assert "the last row above it of" in said and "holds the sums of the rows above" in said
    assert "is called 'Total:'" in stored([*head, *BODY, ["Total:", 11, 1, 1, 1]])[1]
    for last in (["all", *sums[1:-1], 3], ["north", *sums[1:]], ["west", "", "", "", 3]):
        assert stored([*head, *BODY, last])[1] == ""
    assert stored([*head, *BODY, ["west", "", "", "", ""]] * 2)[1].count("one column alone") == 0


def test_which_sheet_is_read(tmp_path):
    table, note = [["area", "a", "b", "c", "d"], *BODY], [["Quarterly report"], ["see the sheet of data"]]
    path = tmp_path / "x.xlsx"
    book(path, {"note": note, "data": table, "empty": []})
    x, said = noted(path)
    assert len(x) == 4 and "'data' was read, and not 'note'; choose with --key SHEET" in said and "empty" not in said
    assert noted(path, key="data")[1] == ""
    book(path, {"data": table, "more": table})
    assert "'data' was read, and not 'more'" in noted(path)[1]
    book(path, {"data": table, "empty": []})
    assert noted(path)[1] == ""
    book(path, {"note": note, "data": table, "more": table})
    with pytest.raises(
        ValueError, match=r"the first sheet of .*, 'note', is not a table, and 'data', 'more' are: choose"
    ):
        read(path)
