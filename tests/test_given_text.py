"""Values as people type them: columns say what text means."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from scorefield.cli import main
from scorefield.cli.options import Conditions
from scorefield.context import Context
from scorefield.data import Schema, read
from scorefield.data.columns.number_marks import MARKS
from scorefield.data.partial import check_possible, known_values
from scorefield.given_text import from_text
from scorefield.runs import fit
from scorefield.settings import Data, Training

pandas = pytest.importorskip("pandas")

TABLE = pandas.DataFrame(
    {
        "sku": ["00123", "123", "00007"] * 40,
        "code": ["1", "01", "7E1"] * 40,
        "grade": [1, 2, 3] * 40,
        "dose": [0.5, 1.0, 2.5] * 40,
        "JaNein": ["ja", "nein", "ja"] * 40,
        "late": [True, False, True] * 40,
        "country": ["NA", "DE", "FR"] * 40,
        "x": np.random.default_rng(0).normal(size=120),
        "day": pandas.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d"),
    }
)
SCHEMA = Schema.of(TABLE, data=Data(categorical=("grade", "dose")))


def model(schema=SCHEMA, context=None):
    return SimpleNamespace(schema=schema, context=context)


def given(name, text, schema=SCHEMA):
    """What a column makes of what was typed, as it comes back."""
    values = from_text(model(schema), {name: text})
    check_possible(schema, values)
    x, known = known_values(schema, values)
    place = [str(n) for n in schema.columns or range(schema.inner_shape[0])].index(name)
    assert known.sum() == 1
    return schema.table[place].decode(x[:, place].numpy()).iloc[0] if schema.table else float(x[0, place])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *((name, level, level) for name in ("sku", "code", "country") for level in TABLE[name][:3]),
        *(("grade", text, 2) for text in ("2", "2.0")),
        *(("dose", text, 1.0) for text in ("1", "1.0", "1e0")),
        *(("JaNein", text, "ja") for text in ("ja", "True", "true")),
        *(("late", text, False) for text in ("False", "false", "FALSE")),
        *(("x", text, 1.5) for text in ("1.5", "1,5", "15e-1")),
        ("day", "2024-02-03", "2024-02-03"),
    ],
)
def test_columns_say_what_text_means(name, text, value):
    """The levels of a category are its own words, whatever numbers they could be read as."""
    found = given(name, text)
    assert found == value and isinstance(found, str) == isinstance(value, str)


@pytest.mark.parametrize(
    ("name", "text"), [("sku", "7"), ("code", "70"), ("grade", "02x"), ("x", "1_000"), ("JaNein", "yes"), ("dose", "3")]
)
def test_what_no_level_is_written_as_is_refused_as_it_was_typed(name, text):
    with pytest.raises(ValueError, match=f"got '{text}'"):
        given(name, text)


@pytest.mark.parametrize("word", MARKS)
def test_words_for_missing_values_are_those_that_are_read_so(word):
    """In columns of every kind, also from Python; but a level that is written so is itself."""
    table = TABLE.astype({"late": object}).mask(np.random.default_rng(1).random(TABLE.shape) < 0.2)
    table["time"] = [f"{i % 24:02}:30" if i % 5 else None for i in range(120)]
    table["share"] = [f"{i % 40} %" if i % 3 else None for i in range(120)]
    schema = Schema.of(table, data=Data(categorical=("grade", "dose")))
    assert len(schema.table) == 11 and all(column.missing for column in schema.table)
    for column in schema.table:
        itself = word == column.name == "NA" or (column.name == "country" and word == "NA")
        assert (given(column.name, word, schema) == word) if itself else pandas.isna(given(column.name, word, schema))
        if not itself:
            assert np.isnan(column.encode(pandas.Series([word]))).all()


def test_names_may_hold_signs_of_equality():
    schema = Schema.of(pandas.DataFrame({"x=y": [1.0, 2, 4], "x": [0.5, 0, 1], "x=y=z": ["a", "b=c", "a"]}))
    words = {"x=y=3": {"x=y": "3"}, "x=3": {"x": "3"}, "x=y=z=b=c": {"x=y=z": "b=c"}, "other=2": {"other": 2}}
    for word, found in words.items():
        assert Conditions(given=(word,))._context(model(schema)) == found
    both = Conditions(given=("x=1", "x=y=3"))._context(model(schema))
    assert both == {"x": "1", "x=y": "3"}
    with pytest.raises(ValueError, match="--given has x=y twice"):
        Conditions(given=("x=y=1", "x=y=3"))._context(model(schema))


PRICES = np.round(np.random.default_rng(1).gamma(2, 900, 120), 2)
WRITTEN = pandas.DataFrame(
    {
        "pct": [f"{i % 50}%" for i in range(120)],
        "usd": [f"${x:,.2f}" for x in PRICES],
        "eur": [f"{x:,.2f} €".translate(str.maketrans(",.", ".,")) for x in PRICES],
        "own": [f"{x:,.1f}".translate(str.maketrans(",.", " ,")) for x in PRICES],
        "loss": [f"(${x:,.0f})" if i % 2 else f"${x:,.0f}" for i, x in enumerate(PRICES)],
        "x": PRICES,
    }
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *(("pct", text, "12%") for text in ("12%", "12", "12.0", "12 %")),
        *(("usd", text, "$1,250.00") for text in ("$1,250.00", "1250", "1,250", "1250.0", "1.25e3", "$1250")),
        *(("eur", text, "12,00 €") for text in ("12", "12,0", "12.0", "12,00 €")),
        *(("eur", text, "1.234,00 €") for text in ("1.234", "1.234 €", "1234", "1234,0", "1234.0")),
        *(("own", text, "1 234,5") for text in ("1 234,5", "1234,5", "1234.5", "1.234,5")),
        *(("loss", text, "($5)") for text in ("-5", "($5)", "-5.0")),
    ],
)
def test_numbers_need_not_be_typed_with_the_signs_of_their_column(name, text, value):
    """What a column writes itself comes first: 1.234 are a thousand euros where points group digits."""
    assert given(name, text, Schema.of(WRITTEN)) == value


@pytest.mark.parametrize(
    ("name", "text"), [("pct", "$5"), ("usd", "12%"), ("eur", "1_000"), ("usd", "$1_000"), ("pct", "a")]
)
def test_numbers_with_other_signs_are_refused(name, text):
    with pytest.raises(ValueError, match=f"column '{name}' holds numbers such as .*, got {re.escape(repr(text))}"):
        given(name, text, Schema.of(WRITTEN))


def test_columns_without_names_hold_numbers():
    schema = Schema.of(np.random.default_rng(0).normal(size=(50, 2)))
    assert given("1", "1e-1", schema) == 0.1
    with pytest.raises(ValueError, match=r"^column 1 holds numbers, got '1_0'$"):
        given("1", "1_0", schema)


def test_classes_of_a_context_are_found_by_their_names():
    context = Context.of({"code": ["01", "1", "NA"], "label": [1, 2, 1], "size": [1.0, 2.5, 3.5]}, (2,))
    found = from_text(model(Schema.of(np.zeros((9, 2))), context), {"code": "01", "label": "2", "size": "NA"})
    assert found == {"code": "01", "label": 2, "size": None}
    assert from_text(model(SCHEMA, context), {"code": "NA", "sku": "NA"}) == {"code": "NA", "sku": None}
    assert Conditions(given=("1", "1", "2.5"))._context(model(SCHEMA, context)) == ["1", 1, 2.5]


def test_the_command_line_gives_text(tmp_path):
    """Codes with zeros in front, from the file to the samples."""
    TABLE[["sku", "JaNein", "x"]].to_csv(tmp_path / "x.csv", index=False)
    fit(read(tmp_path / "x.csv"), tmp_path / "run", training=Training(steps=10))
    for asked, column, value in (("sku=00123", "sku", "00123"), ("JaNein=True", "JaNein", "ja")):
        words = [str(tmp_path / "run"), "--given", asked]
        assert main(["sample", *words, "-n", "3", "-o", str(tmp_path / "new.csv"), "--steps", "2", "--overwrite"]) == 0
        assert set(read(tmp_path / "new.csv")[column].astype(str)) == {value}
