"""Numbers as people write them in files: marks, groups, signs, words for missing values; and lines that begin with #."""

import contextlib
import warnings

import numpy as np
import pytest

from scorefield.data import Schema, read, write
from scorefield.data.columns import Affixed
from scorefield.settings import Data

pandas = pytest.importorskip("pandas")

X = np.random.default_rng(0).normal(size=300)
COUNTS, VALUES = ["748", "1.052", "1.349", "646", "980", "1.200"], [748, 1052, 1349, 646, 980, 1200]


def german(number, digits=2):
    return f"{number:,.{digits}f}".translate(str.maketrans(",.", ".,"))


@pytest.fixture
def table(tmp_path):
    """Reads a table of these names and rows; other warnings than `said` are errors."""

    def made(names, rows, separator=",", said=None, **options):
        path = tmp_path / f"x{'.tsv' if separator == chr(9) else '.csv'}"
        path.write_text("\n".join(separator.join(row) for row in ([names] if names else []) + rows) + "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            with pytest.warns(UserWarning, match=said) if said else contextlib.nullcontext():
                return read(path, **options)

    return made


def test_rows_that_begin_with_a_mark_of_comments_are_rows(table):
    rows = [["#ff00aa" if i % 40 == 3 else "red", f"box #{i % 3}", f"{X[i]:.2f}"] for i in range(200)]
    found = table(["color", "size", "price"], rows)
    assert found["color"].tolist() == [row[0] for row in rows] and found["size"].tolist() == [row[1] for row in rows]
    np.testing.assert_array_equal(found["price"], X[:200].round(2))


@pytest.mark.parametrize("word", ["#N/A", "#DIV/0!", "#NV", "#REF!", "#VALUE!", "#WERT!", "#1 pick"])
def test_errors_of_excel_in_the_first_column(table, word):
    found = table(["a", "b"], [[word if i % 3 == 0 else str(i / 8), str(i)] for i in range(300)])
    assert len(found) == 300 and found["b"].tolist() == list(range(300))
    schema = Schema.of(found, data=Data(keep=("b",)))
    if word == "#1 pick":
        assert schema.left_out[0][1].startswith(
            "200 numbers with words among them, '#1 pick' in row 0: make these missing"
        )
    else:
        column = schema.table[0]
        expected = [np.nan if i % 3 == 0 else i / 8 for i in range(300)]
        assert column.kind == "number" and column.missing
        np.testing.assert_array_equal(column.encode(found["a"]), expected)


@pytest.mark.parametrize("names", [["ticket", "price"], None])
def test_a_first_column_in_which_every_cell_begins_with_a_mark(table, names):
    found = table(names, [[f"#{i}", str(i / 4)] for i in range(300)])
    assert found.iloc[:, 0].tolist() == [f"#{i}" for i in range(300)] and found.iloc[-1, 1] == 299 / 4


def test_comments_are_left_out_counted_and_said(table):
    rows = [row for i in range(600) for row in ([str(i), f"{i}.5", "a # b"], *([["# until noon"]] * (i in (20, 500))))]
    found = table(
        ["a", "b", "c"], [*rows, ['# a lonely " and a comma', " too"]], said=r"^3 lines of .*: '# until noon'$"
    )
    assert len(found) == 600 and found["b"].tolist() == [i + 0.5 for i in range(600)] and set(found["c"]) == {"a # b"}
    above = [["# made", " at noon"], ["# by us"], ["a", "b"], *[[str(i), "#1"] for i in range(20)]]
    assert table(None, above, said="^2 lines of .*: '# made, at noon'$").shape == (20, 2)


def test_first_lines_that_begin_with_a_mark(table):
    """Names, where each column has one; a row, where numbers stand below numbers; a comment otherwise."""
    words = [[f"n{i % 7}", f"c{i % 5}"] for i in range(90)]
    assert table(["#name", "color"], words).columns.tolist() == ["name", "color"]
    assert table(None, [["#ff", "1.5"], *[[a, "2.5"] for a, _ in words]]).shape == (91, 2)
    assert table(["#id", "x"], [[a, "2.5"] for a, _ in words]).columns.tolist() == ["id", "x"]
    colours = [[f"#ff00{i:02}"] for i in range(90)]
    assert table(["colour"], colours)["colour"].tolist() == [row[0] for row in colours]
    header = [[f"##contig={i}"] for i in range(300)]
    rows = [[f"chr{i % 9}", str(7 * i), "rs"] for i in range(90)]
    found = table(None, [*header, ["#CHROM", "POS", "ID"], *rows], "\t", said="^300 lines of .*: '##contig=0'$")
    assert found.columns.tolist() == ["CHROM", "POS", "ID"] and found["POS"].tolist() == [7 * i for i in range(90)]
    quoted = [[f'"a\n#b,{i}"', str(i)] for i in range(20)]
    assert table(["text", "x"], [*quoted, ["#c", "7"]])["text"].tolist() == [*(f"a\n#b,{i}" for i in range(20)), "#c"]


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize(
    ("separator", "counts", "other"),
    [
        (";", COUNTS, lambda i: f"1,{i:02}"),
        (";", COUNTS, lambda i: f"1,{i:02} €"),
        ("\t", [c.replace(".", ",") for c in COUNTS], lambda i: f"0.{i:02}"),
        (";", [c.replace(".", ",") for c in COUNTS], lambda i: f"$1,364.{i:02}"),
        (";", [*COUNTS[:-1], "1.200.000"], lambda i: f"x{i % 3}"),
        (",", [f'"{c}"'.replace(".", ",") for c in COUNTS], lambda i: f"0.{i:02}"),
    ],
)
def test_digits_are_grouped_where_other_columns_show_it(table, tmp_path, separator, counts, other, parts):
    rows = [[count, other(i)] for i, count in enumerate(counts * 16)]
    options = {"cache": tmp_path, "limit": 1, "columns": ["n"]} if parts else {}
    found = table(["n", "p"], rows, separator, **options)
    values = [*VALUES[:-1], 1200000] if "1.200.000" in counts else VALUES
    numbers = found.values[:, 0] if parts else found["n"]
    assert list(numbers) == values * 16 and (parts or found["n"].dtype == "int64")


def test_one_mark_for_the_whole_file_and_dates_are_not_numbers(table):
    rows = [[f"{i % 28 + 1:02}.02.2024", COUNTS[i % 6] if i > 1500 else str(i), f"{i},5"] for i in range(1800)]
    found = table(["day", "n", "x"], rows, ";")  # grouped digits come late
    assert found["day"].tolist() == [row[0] for row in rows] and found["n"].tolist()[-6:] == VALUES
    rows = [[german(1000 + i, 0) + " €", str(i), f"{i},5"] for i in range(40)]
    column, *_ = Schema.of(found := table(["price", "n", "x"], rows, ";"), data=Data(keep=("n",))).table
    assert column.encode(found["price"]).tolist() == [1000 + i for i in range(40)]
    rows = [[count, f"{i / 4}", f"{i},5"] for i, count in enumerate(COUNTS * 9)]
    assert table(["n", "x", "y"], rows, ";", said="could be grouped")["n"][1] == 1.052  # both marks are decimal ones


@pytest.mark.parametrize(
    ("separator", "mark", "read_with"),
    [(";", ".", "a decimal point"), (";", ",", "a decimal comma"), (",", ".", "a decimal point")],
)
def test_what_nothing_decides_is_read_plainly_and_said(table, separator, mark, read_with):
    rows = [[count.replace(".", mark), f"x{i % 3}"] for i, count in enumerate(COUNTS * 9)]
    said = f"^the digits in 'n' of .*could be grouped by thousands.*'1{mark}052' was read with {read_with}"
    found = table(["n", "p"], rows, separator, said=said)
    assert found["n"].tolist()[:3] == [748, 1.052, 1.349]


def test_grouped_digits_in_quotes_are_said_to_be_grouped(table):
    """In a file with commas between its fields a comma in quotes groups digits, and the note says what was read."""
    rows = [[f'"{24 + i},{121 + i}"', str(i % 7)] for i in range(60)]
    found = table(["n", "x"], rows, ",", said="'24,121' was read with grouped digits")
    assert found["n"].tolist()[:2] == [24121, 25122]


FORMS = {
    "decimal comma": german,
    "currency": lambda x: f"${x * 9:.2f}",
    "per cent": lambda x: f"{9 * x:.1f} %",
    "plain": lambda x: f"{9 * x:.2f}",
}


@pytest.mark.parametrize(
    "form",
    ["decimal comma", "currency", *(pytest.param(form, marks=pytest.mark.slow) for form in ("per cent", "plain"))],
)
def test_words_among_numbers_are_named(table, form):
    rows = [["keine" if i % 9 == 2 else FORMS[form](40 * X[i] if i else -1.33), str(i % 7)] for i in range(120)]
    found = table(["a", "z"], rows, ";")
    said = Schema.of(found).left_out[0][1]
    assert said.startswith(
        "106 numbers with words among them, 'keine' in row 2: make these missing, read(…, missing_words="
    )
    assert "--missing-words keine, or keep=['a'] keeps it" in said
    with pytest.raises(ValueError, match=r"column 'a' holds numbers, got 'keine' in row 2: correct it.*missing_words"):
        Schema.of(found, data=Data(numeric=("a",)))
    good = table(["a", "z"], [row for row in rows if row[0] != "keine"], ";")
    with pytest.raises(ValueError, match=r"column 'a' holds numbers.*, got 'keine' in row 2: correct it"):
        Schema.of(good).table[0].read(found["a"])
    for marked in (table(["a", "z"], rows, ";", missing_words=("keine",)), found.replace("keine", "k.A.")):
        column = Schema.of(marked).table[0]
        assert column.kind == "number" and np.isnan(numbers := column.encode(marked["a"])).sum() == 14
        assert numbers[0] == pytest.approx(
            {"currency": -9 * 1.33, "decimal comma": -1.33}.get(form, -9 * 1.33), abs=0.05
        )


def test_words_for_missing_values_among_numbers_and_dates_alone(table):
    words = ["k.A.", "k. A.", "#NV", "n.a.", "n/a", "#DIV/0!", "#N/A", "#REF!", "#VALUE!", "#WERT!", "missing"]
    rows = [[german(X[i]), f"{i % 28 + 1:02}.03.2024", f"c{i % 3}"] for i in range(60)]
    schema = Schema.of(found := table(["x", "day", "kind"], [*([word] * 3 for word in words), *rows], ";"))
    assert [column.kind for column in schema.table] == ["number", "date", "category"]
    for column in schema.table[:2]:
        assert np.isnan(column.encode(found[column.name])).nonzero()[0].tolist() == list(range(len(words)))
    assert set(schema.table[2].levels) == {"c0", "c1", "c2", *words} - {
        "n/a",
        "#N/A",
    }  # which are read as missing anywhere


@pytest.mark.parametrize(
    ("written", "separator"),
    [
        (lambda x: german(9000 * x).replace(".", "\u00a0"), ";"),
        (lambda x: german(9000 * x).replace(".", "\u202f"), ";"),
        (lambda x: f"{9000 * x:,.2f}".replace(",", "'"), ","),
        (lambda x: f"{9000 * x:,.2f}".replace(",", "’"), ","),
        (lambda x: f"({-200 * x:.2f})" if x < 0 else f"{200 * x:.2f}", ","),
        (lambda x: f"({german(-9000 * x)} €)" if x < 0 else f"{german(9000 * x)} €", ";"),
        (lambda x: f"{20 * x:.1f}".replace("-", "−"), ","),
        (lambda x: german(20 * x).replace("-", "−"), ";"),
        (lambda x: f"-${-20 * x:.2f}" if x < 0 else f"${20 * x:.2f}", ","),
        (lambda x: f'"{german(20 * x)}"', ","),
    ],
    ids=[
        "no-break",
        "narrow",
        "Swiss",
        "apostrophe",
        "accounting",
        "euro",
        "minus",
        "minus, comma",
        "dollar",
        "quoted",
    ],
)
def test_numbers_are_read_and_written_back_in_their_form(table, tmp_path, written, separator):
    texts = [written(x) for x in X]
    schema = Schema.of(found := table(["x", "z"], [[t, str(i % 7)] for i, t in enumerate(texts)], separator))
    column = schema.table[0]
    scale = 9000 if "€" in texts[0] or abs(column.range[1]) > 9000 else 200 if "(" in "".join(texts) else 20
    digits = 1 if column.form.digits == 1 else 2
    assert isinstance(column, Affixed)
    np.testing.assert_allclose(column.encode(found["x"]), (scale * X).round(digits), atol=10**-digits / 1.9)
    back = schema.pack(schema.unpack(found))
    assert back["x"].tolist() == [text.strip('"') for text in texts]
    write(tmp_path / "y.csv", [back], len(back), schema)
    assert read(tmp_path / "y.csv")["x"].tolist() == back["x"].tolist()


def test_formats_of_few_texts_stay_categories():
    answers = pandas.DataFrame({"a": ["1,2", "1,3", "2,3"] * 30, "z": np.arange(90) % 7})
    assert [column.kind for column in Schema.of(answers).table] == ["category", "number"]


def test_tables_without_names_and_zeros_that_come_late(table):
    found = table(None, [[count, f"{i},5"] for i, count in enumerate(COUNTS * 9)], ";")
    assert found[0].tolist() == VALUES * 9 and found[1].tolist() == [i + 0.5 for i in range(54)]
    codes = [f"{99000 - 80 * i:05}" for i in range(1200)]
    assert table(["zip", "n"], [[code, str(i)] for i, code in enumerate(codes)])["zip"].tolist() == codes
