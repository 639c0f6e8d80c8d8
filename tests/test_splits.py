"""Which rows are held out: copies of a row, groups and later rows; and what an evaluation makes of them."""

from __future__ import annotations

import json
import math
import warnings
from functools import cache

import numpy as np
import pandas
import pytest
import torch

from scorefield.data import ArrayRows, Overlap, Schema, dependence_of, group_codes, overlap_of, repeats_of, time_order
from scorefield.data.repeats import row_hashes
from scorefield.denoisers import Denoiser, Empirical, Gaussian, Mixture
from scorefield.evaluation import Evaluation, HoldOut, RunData, evaluate, evaluate_run
from scorefield.fitting import Options, Split, prepare, split
from scorefield.fitting.mixture import fit_mixture
from scorefield.fitting.splitting import chosen_split
from scorefield.metrics import means_of, one_per_group
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.runs import Run, fit, read_split
from scorefield.samplers import Heun, Sampling
from scorefield.settings import Data
from scorefield.units import Standardize

D = torch.float64
F = 5
WITHIN = 0.3  # standard deviation within a subject


def normal(count: int, features: int = F, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, features))


def repeated(seed: int = 0) -> np.ndarray:
    """100 rows, each ten times, in random order."""
    return np.random.default_rng(seed).permutation(np.repeat(normal(100, seed=seed), 10, axis=0))


@pytest.mark.parametrize(("count", "held"), [(3, 1), (4, 2), (12, 2), (19, 2), (40, 4)])
def test_two_rows_at_least_are_held_out(count, held):
    """As samples are compared with two or more; two are left to train on."""
    assert len(chosen_split(None, ArrayRows(normal(count)), Data(), 0).held_out) == held


# -- equal rows --------------------------------------------------------------------------------------------------------


def test_hashes_of_equal_rows_are_equal():
    other = np.frombuffer(np.uint64(0xFFF8_0000_0000_0001).tobytes())[0]  # another pattern of bits of NaN
    x = np.array([[0.0, np.nan, 1.0], [-0.0, other, 1.0], [0.0, 1.0, np.nan], [1.0, np.nan, 0.0]])
    a, b, c, d = row_hashes(ArrayRows(x))
    assert a == b and len({a, c, d}) == 3
    grid = np.arange(64.0).reshape(1, 1, 8, 8).repeat(3, 0)
    grid[2, 0, 7, 6] += 1e-12 * 64
    first, second, third = row_hashes(ArrayRows(grid))
    assert first == second != third


def test_hashes_of_many_rows_of_small_numbers_differ():
    """All rows of four whole numbers from 0 to 23: their bits are nearly all zero."""
    x = np.stack(np.meshgrid(*[np.arange(24.0)] * 4), -1).reshape(-1, 4)
    assert len(np.unique(row_hashes(ArrayRows(x)))) == 24**4
    assert len(np.unique(row_hashes(ArrayRows(x), 2))) == 24**2


def images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(40, 1, 20, 20)).astype(np.uint8)


@pytest.mark.parametrize(
    ("x", "copies"),
    [
        (repeated(), True),
        (np.random.default_rng(0).choice(normal(300), 300), True),  # drawn with replacement
        (np.concatenate([normal(300), normal(300)[:40]]), True),  # two files that overlap
        (np.repeat(normal(60, 1), 3, axis=0), True),
        (np.round(np.repeat(normal(60, 2), 3, axis=0), 2), True),
        (np.concatenate([images(), images()[:5]]), True),
        (np.random.default_rng(0).integers(0, 4, size=(500, 3)), False),  # few values
        (np.round(normal(1000, 1), 2), False),  # rounded
        (np.round(normal(1000, 2), 1), False),
        (np.concatenate([normal(900), np.zeros((100, F))]), False),  # a row of zeros that is usual
        (np.random.default_rng(0).poisson(3.0, size=(2000, 2)), False),
    ],
)
def test_copies_are_distinguished_from_rows_that_are_equal_by_chance(x, copies):
    rows = ArrayRows(x)
    found = repeats_of(rows)
    distinct = len(np.unique(x.reshape(len(x), -1), axis=0))
    assert (found.count, found.distinct) == (len(x), distinct) and distinct < len(x)
    assert (found.codes is not None) is copies and found.reason
    if copies:
        assert len(np.unique(found.codes)) == distinct
    parts = chosen_split(x, rows, Data(), 0)
    assert ("by distinct rows" if copies else "by rows") in parts.said
    assert 0.05 < len(parts.held_out) / len(rows) < 0.2
    if copies:
        held, train = (set(found.codes[places].tolist()) for places in reversed(parts.places))
        assert not held & train


def switched(seed: int, count: int = 2000) -> np.ndarray:
    """A machine that is on or off: if it is off, all but the temperature follows, and rows are equal by chance."""
    rng = np.random.default_rng(seed)
    on = rng.random(count) < 0.4
    power = np.where(on, rng.normal(1500, 40, count), 0.0)
    temperature = np.where(on, rng.normal(60, 2, count), rng.normal(21, 1, count))
    return np.stack([on, power.round(1), temperature.round(1)], 1)


def orders(seed: int, count: int = 2000) -> np.ndarray:
    """Each number follows from the other four."""
    rng = np.random.default_rng(seed)
    quantity, price = rng.geometric(0.5, count), rng.lognormal(3, 0.8, count).round(2)
    shipping, discount = rng.choice([0.0, 4.9, 9.9], count), rng.choice([0.0, 1.0, 5.0], count)
    return np.stack([quantity, price, shipping, discount, (quantity * price + shipping - discount).round(2)], 1)


def products(seed: int, count: int = 2000) -> np.ndarray:
    """Products in no order, with a price each, and a quantity."""
    rng = np.random.default_rng(seed)
    product = rng.choice(60, count, p=np.arange(60, 0, -1) / 1830)
    return np.stack(
        [product, np.random.default_rng(1).lognormal(3, 1, 60).round(2)[product], rng.geometric(0.6, count)], 1
    )


def levels(seed: int, count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, k, count) for k in (40, 25, 9, 3)], 1).astype(float)


@pytest.mark.parametrize("table", [switched, orders, products, levels])
def test_independent_rows_are_not_taken_for_copies(table):
    """However many are equal, and whatever columns follow from others; and none is kept from training with its like."""
    for seed in range(2):
        rows = ArrayRows(table(seed))
        found = repeats_of(rows)
        assert found.distinct < found.count and found.codes is None and "by chance" in found.reason
        parts, plain = chosen_split(None, rows, Data(), seed), split(rows, 0.1, seed)
        assert parts.groups is None and (parts.places[1] == plain.places[1]).all()


@pytest.mark.parametrize("part", [0.01, 0.05, 0.5])
def test_rows_that_were_entered_twice_are_found(part):
    """Among rounded numbers and categories, of which independent rows are equal in most columns, but not in all."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.lognormal(4, 1, 2000).round(2), rng.integers(0, 8, 2000), rng.integers(0, 365, 2000)])
        x = rng.permutation(np.concatenate([x, x[: int(2000 * part)]]))
        found = repeats_of(ArrayRows(x))
        assert (
            2000 <= len(np.unique(found.codes)) <= 2000 + 10 * part
            and f"{int(2000 * part):,} pairs of rows are equal" in found.reason
        )


@pytest.mark.parametrize("copies", [3, 6, 20, 60])
def test_copies_do_not_count_as_equal_by_chance(copies):
    """Of rows of which chance makes less than a millionth of a pair equal."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        amount, share = rng.normal(1500, 400, 600).round(2), (100 * rng.beta(2, 3, 600)).round(1)
        x = np.column_stack([amount, share, rng.integers(0, 4, 600), rng.integers(0, 400, 600)])
        x = np.column_stack([x, rng.normal(170, 10, 600).round()])
        found = repeats_of(ArrayRows(np.concatenate([x, x[:copies]])))
        assert found.codes is not None and len(np.unique(found.codes)) == 600
        assert found.reason == f"{copies} pairs of rows are equal, and chance makes fewer than 1"


def test_copies_are_found_next_to_rows_that_are_equal_by_chance():
    """Of a machine that is on no rows are equal by chance; when it is off, most are, and are not kept together."""
    x = switched(0, 3000)
    x = np.concatenate([x, x[:300]])
    found = repeats_of(ArrayRows(x))
    on = x[:, 0] == 1
    assert len(np.unique(found.codes[on])) <= len(np.unique(x[on], axis=0)) + 5
    warm = ~on & (abs(x[:, 2] - 21) < 1)  # at which tens of independent rows are equal
    assert len(np.unique(found.codes[warm])) > 0.95 * warm.sum()


def test_dependence_is_not_seen_in_the_order_of_first_rows():
    """Those of rows with many copies come early, and those of others everywhere."""
    rng = np.random.default_rng(0)
    often = rng.permutation(np.concatenate([np.repeat(np.arange(60), 30), 60 + np.repeat(np.arange(900), 2)]))
    x = np.column_stack([often < 60, normal(960, 1)[often]]).astype(float)
    parts = chosen_split(None, ArrayRows(x), Data(), 0)
    assert "by distinct rows" in parts.said and not parts.warning


def test_spikes_do_not_hide_copies():
    x = np.concatenate([np.repeat(normal(100), 2, axis=0), np.zeros((100, F))])
    found = repeats_of(ArrayRows(x))
    assert len(np.unique(found.codes)) == 200  # 100 pairs, and 100 rows of zeros, each on its own


def test_data_without_copies_are_divided_as_before():
    for count in (5, 20, 500, 3000):
        rows = ArrayRows(normal(count, 2))
        now, before = chosen_split(None, rows, Data(), 3), split(rows, 0.1, 3)
        assert all((a == b).all() for a, b in zip(now.places, before.places))
        assert now.groups is None and not now.said


def test_a_split_by_distinct_rows_that_is_far_off_is_not_made():
    x = np.repeat(normal(3), 40, axis=0)
    parts = chosen_split(x, ArrayRows(x), Data(), 0)
    assert len(parts.held_out) == 12 and parts.groups is None
    assert parts.said.startswith("120 rows, 3 distinct: by rows, because distinct ones would hold out 33 %, not 10 %")


def test_a_mixture_leaves_whole_groups_out():
    """By rows, each copy that is left out has others among the rest: the more components, the better."""
    x = torch.from_numpy(np.repeat(normal(30, 2), 20, axis=0))
    groups = np.repeat(np.arange(30), 20)
    assert fit_mixture(x, width=0.05).components > 4 > fit_mixture(x, width=0.05, groups=groups).components


# -- groups and time ---------------------------------------------------------------------------------------------------


def visits() -> pandas.DataFrame:
    who = np.repeat(np.arange(20), 10)
    x = normal(20, 2)[who] + WITHIN * normal(200, 2, 1)
    when = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(np.random.default_rng(0).permutation(200), "D")
    return pandas.DataFrame({"patient": [f"p{i}" for i in who], "a": x[:, 0], "b": x[:, 1], "day": when})


def test_groups_are_held_out_as_a_whole_and_their_column_is_not_modelled():
    table = visits()
    prepared = prepare(table, Options(Data(groups="patient")))
    train, held_out = (set(table.patient.iloc[places]) for places in prepared.split.places)
    assert len(held_out) == 2 and not train & held_out and len(prepared.split.held_out) == 20
    assert prepared.schema.columns == ("a", "b", "day")
    assert prepared.schema.left_out == (("patient", "says which rows belong together; keep=['patient'] keeps it"),)
    assert prepared.split.said == "2 of 20 groups, with 20 of 200 rows" and not prepared.split.warning
    kept = prepare(table, Options(Data(groups="patient", keep=("patient",))))
    assert kept.schema.columns == ("patient", "a", "b", "day")
    given = prepare(table[["a", "b"]], Options(), groups=table.patient)
    held_out = table.patient.iloc[given.split.places[1]]
    assert given.split.named and held_out.value_counts().tolist() == [10, 10]


def test_the_last_rows_are_held_out():
    table = visits()
    prepared = prepare(table, Options(Data(split="time=day")))
    train, held_out = (table.day.iloc[places] for places in prepared.split.places)
    assert len(held_out) == 20 and train.max() < held_out.min()
    assert "day" not in prepared.schema.columns and prepared.split.said == "the last 20 of 200 rows by 'day'"
    plain = prepare(table[["a", "b"]].to_numpy(), Options(Data(split="time", held_out=0.25)))
    assert sorted(plain.split.places[1].tolist()) == list(range(150, 200))
    text = table.assign(day=table.day.dt.strftime("%Y-%m-%d"))
    assert (time_order("day", text, 200) == time_order("day", table, 200)).all()


def test_labels_of_any_kind():
    assert group_codes(torch.tensor([7, 7, 3]), None, 3).tolist() == [1, 1, 0]
    assert group_codes(np.array(["b", "a", "b"]), None, 3).tolist() == [1, 0, 1]
    assert group_codes(pandas.Series([True, False]), None, 2).tolist() == [1, 0]


def test_groups_of_unequal_size_come_close_to_the_part():
    for seed in range(20):
        groups = np.repeat(np.arange(40), np.random.default_rng(seed).integers(1, 60, 40))
        parts = split(ArrayRows(normal(len(groups), 2)), 0.1, seed, groups)
        assert 0.06 < len(parts.held_out) / len(groups) < 0.15
        assert not set(groups[parts.places[0]]) & set(groups[parts.places[1]])


@pytest.mark.parametrize(
    ("x", "options", "groups", "message"),
    [
        (normal(9), Data(), np.zeros(9), "all rows belong to one group, so that none can be held out: name other groups"),
        (normal(9), Data(), np.zeros(8), "groups need one label for each of 9 rows, got the shape (8,)"),
        (normal(3), Data(), [1, None, 2], "1 of 3 rows have no group (first: 1): give each one"),
        (visits(), Data(groups="pateint"), None, "groups names 'pateint', which is not a column of the table"),
        (normal(9), Data(groups="who"), None, "groups names columns of a table, got numpy data"),
        (normal(9), Data(split="time=day"), None, "split names columns of a table, got numpy data"),
        (visits(), Data(split="time=patient"), None, "column 'patient' does not order rows in time (category of 20 levels)"),
        (visits(), Data(split="time=week"), None, "split names 'week', which is not a column of the table"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_said(x, options, groups, message):
    with pytest.raises((ValueError, TypeError)) as error:
        prepare(x, Options(options), groups=groups)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_settings_that_contradict_each_other():
    with pytest.raises(ValueError, match='split must be "distinct", "rows", "time" or "time=COLUMN", got \'random\''):
        Data(split="random")
    with pytest.raises(ValueError, match="rows are held out by groups or by time"):
        Data(split="time", groups="who")
    with pytest.raises(ValueError, match="groups are given twice"):
        fit(visits(), groups="patient", data=Data(groups="patient"), steps=1)
    with pytest.raises(ValueError, match="rows are held out by groups or by time"):
        fit(visits(), groups=np.arange(200), data=Data(split="time"), steps=1)


# -- dependence of rows ------------------------------------------------------------------------------------------------


def test_independent_rows_are_rarely_said_to_be_dependent():
    """At a level of 0.1 %, 400 tables give 0.4 false alarms: more than 4 have a probability of 6e-5."""
    kinds = [
        lambda rng: rng.normal(size=(200, 5)),
        lambda rng: rng.standard_t(2, size=(100, 3)),
        lambda rng: rng.integers(0, 3, size=(150, 4)),
        lambda rng: rng.lognormal(size=(30, 10)),
    ]
    found = [dependence_of(ArrayRows(kinds[s % 4](np.random.default_rng(s))), s) for s in range(400)]
    assert sum(each.dependent for each in found) <= 4
    assert 0.02 < np.mean([each.p_value <= 0.04 for each in found]) < 0.08  # exact below 0.05: 16 of 400 expected


@pytest.mark.parametrize(
    ("shape", "axis", "said"),
    [((3, 8, 8), (2, 3, 5), "channel 2 at (3, 5)"), ((8, 8), (3, 5), "the value at (3, 5)"), ((5,), (4,), "column 4")],
)
def test_what_is_alike_is_named_as_the_data_are(shape, axis, said):
    """A place of a channel, of fields without channels, a column of vectors."""
    x = normal(300, math.prod(shape)).reshape(300, *shape)
    x[(slice(None), *axis)] = np.arange(300)
    schema = Schema.of(x)
    assert schema.name_of(int(np.ravel_multi_index(axis, shape))) == said
    x[:] = np.arange(300).reshape(300, *(1,) * len(shape)) + 0.1 * normal(300, math.prod(shape)).reshape(x.shape)
    first = "column " if len(shape) == 1 else "channel " if len(shape) == 3 else "the value at ("
    assert prepare(x).split.warning.startswith(f"neighbouring rows are alike ({first}")


def test_channels_that_are_equal_are_called_channels():
    x = np.repeat(normal(100, 64).reshape(100, 1, 8, 8), 3, 1)
    (said,) = (choice.value for choice in prepare(x).choices if choice.name == "relation")
    assert said == "channel 0 = channel 1 = channel 2"


def test_a_series_is_found_and_the_split_stays_as_it_is():
    series = np.zeros((300, 2))
    for i in range(1, 300):
        series[i] = 0.5 * series[i - 1] + normal(300, 2)[i]
    parts = chosen_split(series, ArrayRows(series), Data(), 0)
    assert parts.warning.startswith("neighbouring rows are alike (column") and "--split time" in parts.warning
    assert (parts.places[1] == split(ArrayRows(series), 0.1, 0).places[1]).all()
    assert not chosen_split(series, ArrayRows(series), Data(split="time"), 0).warning
    with pytest.warns(UserWarning, match="neighbouring rows are alike"):
        fit(series, steps=1)


# -- overlapping windows -----------------------------------------------------------------------------------------------


def windows(length: int = 32, stride: int = 8, count: int = 1600, seed: int = 0) -> np.ndarray:
    """Windows of a series in which each number follows the one before, with a correlation of 0.5."""
    series = np.random.default_rng(seed).normal(size=count)
    for i in range(1, count):
        series[i] += 0.5 * series[i - 1]
    return np.lib.stride_tricks.sliding_window_view(series, length)[::stride].copy()


@pytest.mark.parametrize(("length", "stride"), [(32, 1), (32, 8), (32, 28), (8, 3), (128, 64)])
def test_overlapping_windows_are_found(length, stride):
    x = windows(length, stride)
    frames = np.random.default_rng(0).normal(size=(400, 3, 5))
    frames = np.lib.stride_tricks.sliding_window_view(frames, length, axis=0)[::stride]  # (N, 3, 5, length)
    for each in (
        x,
        x[::-1].copy(),
        x[:, None],
        np.round(3 * x),
        np.where(x > 0.3, x, 0.0),
        frames,
        frames.swapaxes(2, 3),
    ):
        found = overlap_of(ArrayRows(np.ascontiguousarray(each)))
        assert found == Overlap(stride, length) if len(each) > 10 else found is None
    assert overlap_of(ArrayRows(x[:: -(-length // stride)])) is None


def test_other_rows_are_not_taken_for_windows():
    kinds = [
        lambda rng: rng.integers(0, 3, size=(300, 8)),
        lambda rng: rng.integers(0, 100, size=(50, 20)).cumsum(0),
        lambda rng: np.repeat(rng.normal(size=(30, 6)), 5, 0),
        lambda rng: rng.poisson(0.1, size=(100, 1, 64)),
        lambda rng: np.ones((50, 9)),
        lambda rng: np.sort(rng.integers(0, 50, size=(300, 6)), 0),
        lambda rng: np.tile(np.sin(np.arange(64) * np.pi / 8), (40, 1)) + rng.integers(0, 2, size=(40, 1)),
        lambda rng: np.where(rng.random((60, 1, 12, 12)) < 0.9, 0.0, rng.integers(0, 256, (60, 1, 12, 12))),
        lambda rng: np.where(rng.random((60, 12)) < 0.5, np.nan, rng.normal(size=(60, 1))),
    ]
    for seed in range(20):
        for kind in kinds:
            assert overlap_of(ArrayRows(kind(np.random.default_rng(seed)).astype(float))) is None


@pytest.mark.parametrize("stride", [1, 8, 24])
def test_held_out_windows_share_no_value_with_training_windows(stride):
    x = windows(stride=stride)
    parts = chosen_split(x, ArrayRows(x), Data(), 0)
    train, held_out = (rows.take(range(len(rows)), D).numpy() for rows in (parts.train, parts.held_out))
    assert not np.isin(held_out, train).any()
    assert len(held_out) == round(len(x) / 10) and parts.places[1].min() == len(x) - len(held_out)
    between = 31 // stride
    assert len(train) + len(held_out) == len(x) - between
    words = f"the last {len(held_out):,} of {len(x):,} rows; {between:,} before them, which overlap them, are left out"
    assert (
        parts.said
        == f"{words}, since rows are overlapping windows: each shares {32 - stride} of 32 positions with the one before"
    )
    assert parts.warning.startswith("rows are overlapping windows") and "--split time" in parts.warning
    asked = chosen_split(x, ArrayRows(x), Data(split="time"), 0)
    assert not asked.warning and asked.said == words
    assert all(np.array_equal(a, b) for a, b in zip(asked.places, parts.places))
    when = pandas.DataFrame(x).assign(t=np.arange(len(x))).sample(frac=1, random_state=0)
    by_column = chosen_split(when, ArrayRows(when.drop(columns="t").to_numpy()), Data(split="time=t"), 0)
    assert len(by_column.train) == len(train)


def test_windows_that_cannot_be_divided_are_said_to_leak():
    few = windows(stride=1, count=70)  # of 39 windows, 31 overlap those that are held out
    for x, data in ((few, Data()), (windows(), Data(split="rows"))):
        parts = chosen_split(x, ArrayRows(x), data, 0)
        assert (parts.places[1] == split(ArrayRows(x), 0.1, 0).places[1]).all() and parts.order is None
        assert "training sees values of held-out rows" in parts.warning and "x[::" in parts.warning
        assert "\n" not in parts.warning
    assert not chosen_split(few, ArrayRows(few), Data(held_out=0), 0).warning


def test_a_run_of_overlapping_windows(tmp_path):
    x = windows()
    with pytest.warns(
        UserWarning, match="rows are overlapping windows: each shares 24 of 32 positions with the one before"
    ):
        fit(x, tmp_path, steps=5)
    kept, parts = read_split(Run(tmp_path), ArrayRows(x)), chosen_split(x, ArrayRows(x), Data(), 0)
    assert all(np.array_equal(a, b) for a, b in zip(kept.places, parts.places)) and kept.said == parts.said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluate_run(tmp_path, x, 64)
    assert found.split == parts.said and found.drift is not None


# -- independent rows --------------------------------------------------------------------------------------------------


def test_one_row_of_each_group_has_the_distribution_of_all_rows():
    """Groups of 1 row at 0 and of 4 rows at 1: four fifths of all rows are 1, and so are those of the choice."""
    groups = np.concatenate([np.arange(200), 200 + np.repeat(np.arange(200), 4)])
    value = (groups >= 200).astype(float)
    chosen = [one_per_group(groups, seed) for seed in range(50)]
    assert all(np.unique(groups[each], return_counts=True)[1].max() <= 2 for each in chosen)
    share = np.concatenate([value[each] for each in chosen])
    assert abs(share.mean() - 0.8) < 4 * np.sqrt(0.16 / len(share))
    assert len(one_per_group(np.repeat(np.arange(7), 3))) == 7


@pytest.mark.parametrize("twice", [0, 1, 50, 100, 300, 1000])
def test_few_rows_are_lost_to_few_copies(twice):
    """The variance of a mean is at most a tenth above that of independent rows: the mean square of the rows of a group, by
    their mean number."""
    groups = np.concatenate([np.arange(1000), np.arange(twice)])
    numbers = [np.bincount(groups[one_per_group(groups, seed)], minlength=1000) for seed in range(40)]
    squares, kept = np.mean([(each**2).sum() for each in numbers]), np.mean([each.sum() for each in numbers])
    assert squares / kept < 1.11
    assert kept >= (len(groups) if twice <= 50 else 650)


def test_means_of_groups():
    x = torch.from_numpy(normal(30, 2))
    groups = np.random.default_rng(0).integers(0, 4, 30)
    assert torch.allclose(means_of(x, groups), torch.stack([x[groups == g].mean(0) for g in range(4)]))


# -- evaluation --------------------------------------------------------------------------------------------------------


def model_of(denoiser: Denoiser, variance: float = 1.0) -> Model:
    units = Standardize((F,), torch.zeros(F, dtype=D), torch.ones(F, dtype=D))
    moments = Gaussian(torch.zeros(F, dtype=D), variance * torch.eye(F, dtype=D))
    return Model(Schema.of(np.zeros((2, F))), units, denoiser, moments, Sampling(Heun(), 24, process=EDM(0.002, 80.0)))


def measured(denoiser: Denoiser, parts: Split, variance: float = 1.0, seed: int = 0) -> Evaluation:
    return evaluate(model_of(denoiser, variance), parts.train, parts.held_out, 400, seed, how=HoldOut.of(parts))


EXACT = Gaussian(torch.zeros(F, dtype=D), torch.eye(F, dtype=D))


def memorizing(parts: Split) -> Denoiser:
    return Empirical(parts.train.take(range(len(parts.train)), D).unique(dim=0))


@pytest.mark.slow
def test_copies_on_both_sides_hide_a_model_that_memorizes_and_it_is_said():
    parts = chosen_split(None, ArrayRows(repeated()), Data(split="rows"), 0)
    found = measured(memorizing(parts), parts)
    assert not found.copies_suspected
    said = (
        'of which 100 are copies of training rows, so that overfitting cannot be seen: fit again with split="distinct"'
    )
    assert any(said in s for s in found.verdict)


@pytest.mark.parametrize("how", ["rows", "distinct"])
def test_rows_that_are_equal_by_chance_give_no_advice_to_fit_again(how):
    x = np.random.default_rng(0).integers(0, 4, size=(400, F)).astype(float).round()
    x[:, 2:] = 0
    parts = chosen_split(None, ArrayRows(x), Data(split=how), 0)
    found = measured(EXACT, parts)
    assert not any("fit again" in s or "are copies of training rows" in s for s in found.verdict)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_copies_on_one_side_show_a_model_that_memorizes(seed):
    parts = chosen_split(None, ArrayRows(repeated(seed)), Data(), seed)
    assert parts.said.startswith("1,000 rows, 100 distinct: by distinct rows, because every row occurs 10 times")
    found = measured(memorizing(parts), parts, seed=seed)
    assert found.copies_suspected and found.gap.suspicious
    good = measured(EXACT, parts, seed=seed)
    assert not good.copies_suspected and not good.gap.suspicious and not good.rejected
    assert good.fresh == 10 and any(s.startswith("Held out: 1,000 rows, 100 distinct") for s in good.verdict)


@cache
def subjects(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """50 subjects with 20 rows each, in random order."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(50), 20))
    return rng.normal(size=(50, F))[who] + WITHIN * rng.normal(size=(1000, F)), who


def of_subjects(x: np.ndarray, who: np.ndarray) -> Denoiser:
    """The model that knows the subjects: it is right about each of them, and wrong about new ones."""
    means = np.stack([x[who == g].mean(0) for g in np.unique(who)])
    covariance = WITHIN**2 * torch.eye(F, dtype=D)
    count = len(means)
    return Mixture(torch.from_numpy(means), covariance.repeat(count, 1, 1), torch.full((count,), 1 / count, dtype=D))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_groups_show_what_rows_hide(seed):
    variance = 1 + WITHIN**2
    exact = Gaussian(torch.zeros(F, dtype=D), variance * torch.eye(F, dtype=D))
    x, who = subjects(seed)
    found = {}
    for groups in (None, who):
        parts = chosen_split(x, ArrayRows(x), Data(split="rows"), seed, groups)
        known = of_subjects(x[parts.places[0]], who[parts.places[0]])
        found[groups is not None] = [measured(each, parts, variance, seed) for each in (known, exact)]
    overfitted, right = found[False]
    assert not overfitted.copies_suspected and not overfitted.gap.suspicious  # held-out rows are of known subjects
    assert right.rejected  # 1,000 rows say as much as 50
    overfitted, right = found[True]
    assert overfitted.copies_suspected and overfitted.gap.suspicious
    assert not right.copies_suspected and not right.gap.suspicious and not right.rejected
    assert right.fresh == 5 and right.rows == 50


@pytest.mark.slow
def test_drift_is_distinguished_from_a_model_that_does_not_fit():
    x = normal(600)
    later = x + 1.5 * (np.arange(600) >= 540)[:, None]
    steady, moved = (chosen_split(z, ArrayRows(z), Data(split="time"), 0) for z in (x, later))
    good, bad = EXACT, Gaussian(torch.full((F,), 0.8, dtype=D), torch.eye(F, dtype=D))
    plain, drift, both = measured(good, steady).drift, measured(good, moved).drift, measured(bad, moved).drift
    assert not plain.drifts and plain.fits and "no drift was found" in plain.sentence
    assert drift.drifts and drift.fits and "drift, not a model that does not fit" in drift.sentence
    assert both.drifts and not both.fits and "does not fit these either" in both.sentence
    assert abs(drift.samples - drift.apart.value) < 0.1 * drift.apart.value


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_keeps_its_groups(tmp_path):
    x, who = subjects(0)
    x, who = x[:400], who[:400]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(x, tmp_path / "run", groups=who, steps=20)
        data = RunData.of(tmp_path / "run", x)
        assert not set(data.how.groups[0]) & set(data.how.groups[1]) and data.how.named
        assert len(data.independent().held_out) <= data.how.count
        found = evaluate_run(data, count=100)
        assert f"Held out: {found.split}." in found.verdict and f"{data.how.count} of 50 groups" in found.split
        kept = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        assert kept["split"] == found.split and kept["fresh"] == found.fresh
        with pytest.raises(ValueError, match="holds another run \\(groups"):
            fit(x, tmp_path / "run", groups=who[::-1].copy(), steps=20)


@pytest.mark.slow
def test_a_run_that_began_before_goes_on_with_its_split(tmp_path):
    """Its record knows no `split`: copies were divided then, and are now."""
    x = repeated()[:300]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = fit(x, tmp_path / "old", data=Data(split="rows"), steps=30)
        record = tmp_path / "old" / "run.json"
        content = json.loads(record.read_text())
        for name in ("split", "groups"):
            del content["asked"]["data"][name]
        record.write_text(json.dumps(content))
        for name in ("model.safetensors", "fit.json", "training.safetensors"):
            (tmp_path / "old" / name).unlink()
        again = fit(x, tmp_path / "old", steps=30)
    assert (whole.sample(5) == again.sample(5)).all()
    rows = again.schema.rows(x)
    assert (read_split(Run(tmp_path / "old"), rows).places[1] == split(rows, 0.1, 0).places[1]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--groups", "patient"], "held out: 2 of 20 groups, with 20 of 200 rows"),
        (["--groups", "WHO", "--columns", "a", "b"], "held out: 2 of 20 groups, with 20 of 200 rows"),
        (["--split", "time=day"], "held out: the last 20 of 200 rows by 'day'"),
        (["--columns", "a", "b"], "warning: neighbouring rows are alike"),
    ],
)
def test_the_command_line_says_how_rows_are_held_out(tmp_path, capsys, options, said):
    from scorefield.cli import main

    visits().to_csv(tmp_path / "visits.csv", index=False)
    np.save(tmp_path / "who.npy", np.repeat(np.arange(20), 10))
    options = [str(tmp_path / "who.npy") if word == "WHO" else word for word in options]
    words = ["fit", str(tmp_path / "visits.csv"), "-o", str(tmp_path / "run"), "--steps", "5", *options]
    assert not main(words)
    assert said in capsys.readouterr().err
