"""What is given, as numbers: standardized, one-hot, and flagged where it is missing."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield import spec
from scorefield.context import Context, ContextColumn, drop_context, linear_regression, shuffle_sets
from scorefield.rng import Samples


def test_labels_are_classes():
    context = Context.of(np.array([3, 1, 3, 7, 1, 1]), (2,))
    assert context.columns == (ContextColumn("label", (1, 3, 7)),) and context.size == 4 and context.names == ("label",)
    assert context([7, 1]).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert context(3).tolist() == [[0, 1, 0, 0]] == context({"label": 3}).tolist()


def test_words_truth_values_and_gaps():
    words = Context.of(np.array(["b", None, "a", "b"], dtype=object), (2,))
    assert words.columns[0].categories == ("a", "b")
    assert words(["b", None]).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert words.empty().tolist() == [[0, 0, 1]]
    assert Context.of(np.array([True, False, True]), (2,)).columns[0].categories == (0, 1)


def test_numbers_are_standardized():
    """Whole numbers that hardly repeat are numbers, not classes."""
    x = np.array([[1.0, 10.0], [3.0, 30.0], [np.nan, np.nan], [2.0, 20.0]])
    context = Context.of(x, (5,))
    found = context(x)
    assert found.shape == (4, 3) and found.dtype == torch.float32
    kept = found[[0, 1, 3], :2].double()
    torch.testing.assert_close(kept.mean(0), torch.zeros(2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(kept.std(0, correction=0), torch.ones(2).double(), atol=1e-6, rtol=0)
    assert found[2].tolist() == [0, 0, 1]
    assert torch.equal(context([3.0, 30.0]), found[1:2])
    assert Context.of(np.arange(50), (5,)).columns == (ContextColumn("context"),)


def test_a_table_has_both():
    frame = pd.DataFrame({"size": [1.0, 2.0, 4.0], "kind": ["u", "v", "u"]})
    context = Context.of(frame, (3,))
    assert context.names == ("size", "kind") and context.size == 4
    assert torch.equal(context({"kind": "v", "size": 2.0}), context(frame)[1:2])
    assert torch.equal(context(frame[["kind", "size"]]), context(frame))


@pytest.mark.parametrize("shape", [(6, 4, 4), (6, 2, 4, 4), (6, 4, 4, 2)])
def test_fields_become_channels(shape):
    x = np.random.default_rng(0).normal(3.0, 2.0, size=shape)
    context = Context.of(x, (1, 4, 4))
    channels = 1 if len(shape) == 3 else 2
    found = context(x)
    assert found.shape == (6, channels + 1, 4, 4) and context.size == channels + 1
    assert float(found[:, :-1].mean().abs()) < 1e-6 and float(found[:, -1].abs().max()) == 0
    assert torch.equal(context(x[2]), found[2:3])
    assert float(context.empty()[0, -1].min()) == 1


def test_what_is_left_out_is_nothing():
    rows = Context.of(np.array([0, 1, 0, 1]), (2,))
    found = drop_context(rows([0, 1]), torch.tensor([False, True]))
    assert torch.equal(found, torch.cat([rows(0), rows.empty()]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones(5), r"^column 'context' of the context is constant: leave it out$"),
        (np.array(["a", "a"]), r"^a context with only one class, \['a'\], has no information: leave it out$"),
        (np.ones((4, 3, 3)), r"^a context of shape .* does not fit: it needs fields on the grid \(4, 4\)$"),
        (np.ones((4, 4, 4)), r"^channel 0 of the context is constant: leave it out$"),
        (np.full((4, 4, 4), np.inf), r"^fields of a context must be finite: fill the gaps"),
        ({"a": [1, 2], "b": [1]}, r"^a context needs columns of one length, with rows; got lengths \[1, 2\]$"),
    ],
)
def test_contexts_that_say_nothing_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Context.of(given, (1, 4, 4))


def test_what_does_not_fit_is_refused():
    frame = pd.DataFrame({"size": [1.0, 2.0, np.nan], "kind": ["left", "right", "left"]})
    context = Context.of(frame, (3,))
    with pytest.raises(ValueError, match=r"^row 2 of the context is missing in part: give all of it, or nothing$"):
        context(frame)
    with pytest.raises(ValueError, match=r"^kind has no class 'lefd': did you mean left\?$"):
        context({"size": 1.0, "kind": "lefd"})
    with pytest.raises(ValueError, match=r"^the context is size, kind, and kind is not given$"):
        context({"size": 1.0})
    classes = Context.of(np.arange(20) % 5, (3,))
    with pytest.raises(ValueError, match=r"^label has no class '3': pass it as int, 3$"):
        classes("3")
    with pytest.raises(ValueError, match=r"^label has no class 14: known are 0, 1, 2, 3, 4$"):
        classes(14)
    with pytest.raises(ValueError, match=r"^label has no class 9: known are 0, 1$"):
        Context.of(np.array([0, 1, 0]), (3,))(9)
    numbers = Context.of(np.random.default_rng(0).normal(size=(9, 2)), (3,))
    with pytest.raises(
        ValueError, match=r"^a context of shape \(1, 3\) does not fit: the context of this model is c0, c1$"
    ):
        numbers([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"it needs numbers \(N, P\), as the data are vectors$"):
        Context.of(np.zeros((4, 2, 2, 2)), (3,))


def test_the_best_linear_prediction():
    """A ridge of 1 takes 1/(n + 1) off, and what is missing in part or of one kind alone does no harm."""
    rng = torch.Generator().manual_seed(0)
    c = torch.linalg.qr(torch.randn(50, 3, generator=rng))[0] * 50**0.5
    A = torch.randn(3, 2, generator=rng)
    torch.testing.assert_close(linear_regression(c, c @ A), A * 50 / 51, rtol=1e-5, atol=1e-5)
    alike = torch.cat((c, c[:, :1], torch.zeros(50, 1)), 1)
    torch.testing.assert_close(alike @ linear_regression(alike, c @ A), c @ A, rtol=0.05, atol=0.05)


def test_sets_have_no_order():
    rows = np.random.default_rng(0).normal(2, 3, size=(40, 4, 2))
    context = Context.of(rows, (3,))
    assert (context.sets, context.size, context.names) == (4, 9, ("c0", "c1"))
    given = context(rows)
    flat = rows.reshape(-1, 2)
    expected = ((flat - flat.mean(0)) / flat.std(0)).reshape(40, 8)
    np.testing.assert_allclose(given[:, :-1], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(context(rows[3]), given[3:4])
    mixed = shuffle_sets(given, 4, Samples(0, 0, 40))
    assert mixed.shape == given.shape and not torch.equal(mixed, given)
    torch.testing.assert_close(  # the same rows: sums of any function of them stay
        torch.exp(mixed[:, :-1].unflatten(1, (4, 2)) @ torch.tensor([1.0, 0.3])).sum(1),
        torch.exp(given[:, :-1].unflatten(1, (4, 2)) @ torch.tensor([1.0, 0.3])).sum(1),
    )
    rows[5] = np.nan
    assert torch.equal(context(rows)[5:6], context.empty())


def test_sets_that_do_not_fit_are_refused():
    rows = np.random.default_rng(0).normal(size=(40, 4, 2))
    context = Context.of(rows, (3,))
    need = r"^the context of this model is sets of 4 rows of 2, `\(M, 4, 2\)`; got shape \(4, 3\)$"
    with pytest.raises(ValueError, match=need):
        context(np.zeros((4, 3)))
    with pytest.raises(
        ValueError, match=r"^the context of this model is sets of 4 rows, without names: pass an array$"
    ):
        context({"c0": 1.0, "c1": 2.0})
    rows[5, 0] = np.nan
    with pytest.raises(ValueError, match=r"^set 5 of the context is missing in part: give all of its rows, or none$"):
        context(rows)


DAYS = np.datetime64("2020-01-01") + np.arange(300)
DATES = {
    "numpy": DAYS,
    "pandas": pd.Series(DAYS.astype("datetime64[ns]")),
    "UTC": pd.Series(DAYS.astype("datetime64[ns]")).dt.tz_localize("UTC"),
    "elsewhere": pd.Series(DAYS.astype("datetime64[ns]")).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
    "objects": DAYS.tolist(),
    "times": DAYS.astype("datetime64[s]").tolist(),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_numbers_of_days(kind):
    expected = Context.of({"day": np.arange(300.0)}, (2,))
    context = Context.of({"day": DATES[kind]}, (2,))
    tensors = []
    context = spec.build(spec.describe(context, tensors), tensors=tensors)  # as a file holds it
    torch.testing.assert_close(context({"day": DATES[kind]}), expected({"day": np.arange(300.0)}), atol=1e-6, rtol=0)
    asked = ["2020-03-01", datetime.date(2020, 3, 1), np.datetime64("2020-03-01"), pd.Timestamp("2020-03-01", tz="UTC")]
    for one in asked:
        torch.testing.assert_close(context({"day": one}), expected({"day": 60.0}), atol=1e-6, rtol=0)
    assert context({"day": [None, "2020-03-01"]})[:, -1].tolist() == [1, 0]
    assert Context.of(DATES[kind], (2,)).names == ("context",)
    for wrong in (5.0, "spring", True):
        with pytest.raises(ValueError, match=rf"^day of the context is a date, such as '2024-03-01', got '{wrong}'$"):
            context({"day": wrong})
    with pytest.raises(ValueError, match=r"^day of the context is a number, such as 1.5, got '2020-03-01"):
        expected({"day": asked[-1]})


def test_durations_are_numbers_of_days():
    expected = Context.of({"age": np.arange(300.0)}, (2,))
    for ages in (DAYS - DAYS[0], pd.Series(DAYS - DAYS[0]), (DAYS - DAYS[0]).tolist()):
        context = Context.of({"age": ages}, (2,))
        torch.testing.assert_close(context({"age": ages}), expected({"age": np.arange(300.0)}))
        for one in (60.0, datetime.timedelta(60), pd.Timedelta(days=60), np.timedelta64(60 * 24, "h")):
            assert torch.equal(context({"age": one}), expected({"age": 60.0}))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_infinite_numbers_are_named_where_they_are(infinite):
    values = np.arange(300.0)
    values[[3, 17, 20]] = np.nan, infinite, infinite
    for given, name in ((values, "context"), ({"a": values}, "a")):
        with pytest.raises(
            ValueError, match=f"^column '{name}' of the context is {infinite} in row 17: give a finite number"
        ):
            Context.of(given, (2,))
    sets = np.random.default_rng(0).normal(size=(9, 4, 2))
    sets[3, 1, 1] = infinite
    with pytest.raises(ValueError, match=f"^column 'c1' of the context is {infinite} in row 1 of set 3: give a finite"):
        Context.of(sets, (2,))


@pytest.mark.parametrize("one", [np.datetime64("NaT"), np.timedelta64("NaT"), pd.NaT, None, np.nan])
def test_what_is_missing_of_any_type_is_no_context(one):
    for values in (np.arange(300.0), DAYS, DAYS - DAYS[0]):
        context = Context.of({"a": values}, (2,))
        assert torch.equal(context({"a": one}), context.empty())
    assert torch.equal(context({"a": [one, one]}), context.empty().expand(2, -1))


TEXTS = {
    "%Y-%m-%d": "2020-03-01",
    "%d.%m.%Y": "01.03.2020",
    "%d %b %Y": "01 Mar 2020",
    "%Y-%m-%dT%H:%M:%SZ": "2020-03-01T00:00:00Z",
}


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("kind", [list, np.array, lambda texts: pd.Series(texts, dtype="string")])
def test_dates_in_text_are_numbers_of_days_as_those_of_tables(form, kind):
    texts = pd.Series(DAYS.astype("datetime64[s]")).dt.strftime(form).tolist()
    context = Context.of({"day": kind(texts)}, (2,))
    tensors = []
    context = spec.build(spec.describe(context, tensors), tensors=tensors)  # as a file holds it
    expected = Context.of({"day": DAYS}, (2,))
    torch.testing.assert_close(context({"day": kind(texts)}), expected({"day": DAYS}))
    for one in (TEXTS[form], "2020-03-01", datetime.date(2020, 3, 1), pd.Timestamp("2020-03-01")):
        torch.testing.assert_close(context({"day": one}), expected({"day": "2020-03-01"}))
    assert context({"day": [None, TEXTS[form]]})[:, -1].tolist() == [1, 0]
    assert (
        Context.of(kind(texts), (2,)).names == ("context",) and Context.of([*texts, None], (2,)).columns[0].form == form
    )
    with pytest.raises(ValueError, match=r"^day of the context is a date, such as '2024-03-01', got 'spring'$"):
        context({"day": "spring"})


def test_text_that_could_be_no_date_is_classes():
    for texts in (["01/02/2024", "02/01/2024"] * 9, ["2024-01-01", "spring"] * 9, ["1", "2", "2024"] * 9):
        assert len(Context.of(texts, (2,)).columns[0].categories) == len(set(texts))


def test_fields_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match=r"^fields of a context must be numbers, got times"):
        Context.of(np.zeros((9, 4, 4), "M8[D]"), (1, 4, 4))
