"""Tables from end to end: what is read is fitted, and samples, conditionals, imputations and densities have its form."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import scorefield
from scorefield import Data, Training, fit
from scorefield.data import ArrayRows, missing
from scorefield.data.variables import GIVEN
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.inverse import evidence
from scorefield.likelihood import DataDensity
from scorefield.measurement import Mask, Measurement
from scorefield.posterior import KnownCoordinates, ReplacementSMC
from scorefield.processes import VE
from scorefield.rng import Samples
from scorefield.samplers import DPM, Sampling, sample
from scorefield.schedules import LogLevel
from scorefield.units import ColumnMap, ColumnUnits

D = torch.float64
WEIGHTS, MEANS, WIDTHS = np.array([0.5, 0.3, 0.2]), np.array([-2.0, 1.0, 2.5]), np.array([0.5, 0.8, 0.6])


def shipments(count: int, seed: int = 0) -> pd.DataFrame:
    """Categories, flags, dates, tonnes in hundredths, and counts that miss for half of the shipments by sea."""
    rng = np.random.default_rng(seed)
    mode = rng.choice(["rail", "road", "sea"], count, p=[0.5, 0.4, 0.1])
    load = np.where(mode == "sea", 90, np.where(mode == "rail", 40, 12)) * np.exp(0.2 * rng.normal(size=count))
    frame = pd.DataFrame(
        {
            "mode": mode,
            "express": rng.random(count) < np.where(mode == "road", 0.6, 0.1),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, count), "D"),
            "load": load.round(2),
            "parcels": rng.poisson(load).astype(float),
            "note": [f"order {i}" for i in range(count)],
        }
    )
    frame.loc[(mode == "sea") & (rng.random(count) < 0.5), "parcels"] = np.nan
    return frame


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return shipments(800)


@pytest.fixture(scope="module")
def model(table: pd.DataFrame) -> scorefield.Model:
    with pytest.warns(UserWarning, match=r"left out of the model: 'note' \(identifier or free text"):
        return fit(table, training=Training(steps=250, batch=256))


def test_samples_have_the_form_of_the_table(table, model):
    drawn = model.sample(500)
    kept = [name for name in table.columns if name != "note"]
    assert list(drawn.columns) == kept and (drawn.dtypes == table[kept].dtypes).all()
    assert [name for name, _ in model.schema.left_out] == ["note"]
    assert set(drawn["mode"]) == {"rail", "road", "sea"} and drawn["day"].dt.normalize().equals(drawn["day"])
    np.testing.assert_array_equal(drawn["load"], drawn["load"].round(2))
    assert drawn["load"].min() > 0 and drawn["parcels"].min() >= 0
    counts = drawn["parcels"].dropna()
    np.testing.assert_array_equal(counts, counts.round())
    share = (table["mode"] == "sea").mean()
    assert abs((drawn["mode"] == "sea").mean() - share) < 4 * math.sqrt(share * (1 - share) * (1 / 500 + 1 / 800))
    assert drawn["parcels"].isna().mean() < 0.12
    by_mode = drawn.groupby("mode")["load"].median()
    assert by_mode["road"] < by_mode["rail"] < by_mode["sea"]


def test_columns_are_conditioned_on(model):
    sea = model.condition(mode="sea").sample(200)
    assert set(sea["mode"]) == {"sea"} and sea["load"].median() > 60
    both = model.condition(mode="road").condition(load=12.0, express=True).sample(100)
    assert set(both["mode"]) == {"road"} and set(both["load"]) == {12.0} and both["express"].all()
    heavy = model.condition({"load": [12.0, 90.0]}).sample(100)
    assert (heavy["mode"][1::2] == "sea").mean() > 0.3 > 0.1 > (heavy["mode"][::2] == "sea").mean()
    gone = model.condition(parcels=missing).sample(100)
    assert gone["parcels"].isna().all() and (gone["mode"] == "sea").mean() > 0.6
    for values, message in (
        ({"mode": "air"}, r"column 'mode' has the levels 'rail', 'road', 'sea', got 'air'"),
        ({"port": 3}, "there is no column 'port': it has 'mode', 'express'"),
        ({"load": [1.0, 2.0], "mode": ["sea"] * 3}, "columns have one value, or all the same number"),
    ):
        with pytest.raises(ValueError, match=message):
            model.condition(**values)
    with pytest.raises(ValueError, match=r"model.density\(\).conditional\(x, given=\['mode'\]\)"):
        model.condition(mode="sea").log_prob(shipments(3))


def test_gaps_are_filled(table, model):
    gaps = table.drop(columns="note").head(40).copy()
    gaps.loc[:9, "mode"], gaps.loc[5:14, "load"], gaps.loc[20:24, "parcels"] = None, np.nan, np.nan
    filled, again = model.impute(gaps, draws=2, seed=3)
    known = gaps.notna()
    assert not filled.isna().any().any() and filled.where(known).equals(gaps.where(known))
    assert (filled["load"][5:15] != again["load"][5:15]).any() and list(filled.dtypes) == list(gaps.dtypes)
    assert (filled["mode"][:5] == table["mode"][:5]).mean() >= 0.6
    pd.testing.assert_frame_equal(filled, model.impute(gaps, seed=3))


@pytest.mark.slow
def test_files_and_densities_of_mixed_tables(table, model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    loaded = scorefield.load(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(loaded.sample(20), model.sample(20))
    rows = table.drop(columns="note").head(3)
    found, density = model.log_prob(rows, tolerance=1e-2), model.density(tolerance=1e-2)
    torch.testing.assert_close(loaded.log_prob(rows, tolerance=1e-2).value, found.value)
    of_mode = density.marginal(rows[["mode"]], of=["mode"]).value.exp()
    assert bool((of_mode > 0).all()) and float(of_mode.max()) < 0.8
    rest = density.conditional(rows, given=["mode"]).value
    torch.testing.assert_close(rest + of_mode.log(), found.value, rtol=0, atol=1e-9)  # the chain rule
    assert bool((density.conditional(rows, given=["mode"]).error >= found.error).all())
    levels = table["mode"].dropna().unique()
    each = pd.concat([rows[:1].assign(mode=level) for level in levels])
    others = [name for name in rows if name != "mode"]
    assert float(density.conditional(each, given=others).value.exp().sum()) <= 1 + 1e-6  # one question to the network
    assert bool((density.bound(rows, 16).value < found.value + 1).all())


def test_relations_and_constraints_are_kept():
    rng = np.random.default_rng(0)
    a, b, start = rng.integers(0, 50, 300), rng.poisson(8, 300), rng.normal(size=300)
    frame = pd.DataFrame({"total": a + b, "a": a, "b": b, "start": start, "end": start + rng.gamma(2, 0.5, 300)})
    made = fit(frame, training=Training(steps=60), data=Data(constraints=("start <= end",)))
    drawn = made.sample(200)
    assert (drawn["total"] == drawn["a"] + drawn["b"]).all() and (drawn["start"] <= drawn["end"]).all()
    pd.testing.assert_frame_equal(drawn.head(7), made.sample(7))
    with pytest.raises(ValueError, match=r'the constraint "start > end" is violated in 300 of 300 rows'):
        fit(frame, steps=1, data=Data(constraints=("start > end",)))


@pytest.mark.slow
def test_constant_columns_and_grey_pictures_come_back():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    x[:, 1] = 7
    assert set(fit(x, steps=20).sample(9)[:, 1]) == {7.0}
    grey = np.repeat(rng.integers(0, 256, (60, 8, 8, 1)), 3, 3).astype(np.uint8)
    drawn = fit(grey, steps=5).sample(4)
    assert drawn.dtype == np.uint8 and (drawn == drawn[..., :1]).all()


class ExactMixed(Denoiser):
    """A mixture of Gaussians whose component is also a column: all that densities ask of it, exactly."""

    completes = True

    def __init__(self, means: np.ndarray = MEANS, widths: np.ndarray = WIDTHS) -> None:
        super().__init__()
        self.weights, self.means, self.widths = (torch.from_numpy(v) for v in (WEIGHTS, means, widths))
        self.mixture = Mixture(self.means[:, None], self.widths[:, None, None] ** 2, self.weights)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        variance = self.widths**2 + level**2
        each = self.means + self.widths**2 / variance * (x[:, :1] - self.means)
        logs = self.weights.log() - (x[:, :1] - self.means) ** 2 / variance / 2 - variance.log() / 2
        code = (logs + x[:, 1:] / level**2).softmax(1)
        return torch.cat([(code * each).sum(1, keepdim=True), code], 1)

    def category_log_probs(self, values: Tensor, status: Tensor, category: int) -> Tensor:
        logs = self.weights.log().expand(len(values), 3)
        if bool((status[:, 0] == GIVEN).any()):
            z = (values[:, :1] - self.means) / self.widths
            logs = logs - z.square() / 2 - self.widths.log()
        return logs.log_softmax(1)

    def restricted(self, values: Tensor, status: Tensor) -> Denoiser:
        if bool((status[:, 1] != GIVEN).all()):
            return self.mixture
        code = values[:, 1:].argmax(1)
        return _Normal(self.means[code], self.widths[code])


class _Normal(Denoiser):
    """A Gaussian for each row."""

    def __init__(self, mean: Tensor, width: Tensor) -> None:
        super().__init__()
        self.mean, self.width = mean, width

    @property
    def contexts(self) -> int:
        return len(self.mean)

    def samples(self, index: Tensor) -> Denoiser:
        return _Normal(self.mean[index % len(self.mean)], self.width[index % len(self.mean)])

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        share = self.width[:, None] ** 2 / (self.width[:, None] ** 2 + level**2)
        return self.mean[:, None] + share * (x - self.mean[:, None])


def test_atoms_and_their_neighbours_are_exact():
    """Shares of samples of an exact denoiser, and log-probabilities, of two atoms among a normal number and next to them."""
    values = torch.tensor([[0.0, 1.5], WEIGHTS[1:].tolist()], dtype=D)
    units = ColumnUnits((ColumnMap(atoms=values, separate=True),))
    means, widths = np.array([0.5, 0.0, 0.0]), np.array([0.8, 1.0, 1.0])
    moments = Gaussian(torch.zeros(4, dtype=D), torch.eye(4, dtype=D))
    diffusion = Diffusion(VE(1e-3, 80.0), ExactMixed(means, widths), moments)
    drawn = units.inverse(sample(diffusion, (20_000, 4), Sampling(DPM(2, eta=1.0), 64), Samples(0, count=20_000)))[:, 0]
    for low, high, atom in ((0.0, 0.0, 0), (1.5, 1.5, 1), (-0.1, 0.1, None), (1.4, 1.6, None)):
        p = float(values[1, atom]) if atom is not None else WEIGHTS[0] * _between((np.array([low, high]) - 0.5) / 0.8)
        inside = (drawn >= low) & (drawn <= high) & ((atom is not None) | ~torch.isin(drawn, values[0]))
        assert abs(float(inside.double().mean()) - p) < 4 * math.sqrt(p * (1 - p) / len(drawn))
    x = torch.tensor([[0.0], [1.5], [0.001], [1.4], [-2.0]], dtype=D)
    z = (x[2:, 0].numpy() - 0.5) / 0.8
    continuous = np.log(WEIGHTS[0]) - z**2 / 2 - math.log(0.8) - math.log(2 * math.pi) / 2
    found = DataDensity(diffusion, units, 1000, tolerance=1e-5, extrapolate=True)(x)
    np.testing.assert_allclose(found.value[:2], np.log(WEIGHTS[1:]), atol=1e-12)
    np.testing.assert_allclose(found.value[2:], continuous, atol=1e-3)


def _between(z: np.ndarray) -> float:
    """The standard normal probability between two numbers."""
    return float(torch.special.ndtr(torch.from_numpy(z)).diff())


def test_log_probabilities_of_a_mixture_with_its_component_are_exact():
    rng = np.random.default_rng(1)
    code = rng.choice(3, 1000, p=WEIGHTS)
    x = torch.from_numpy(np.stack([MEANS[code] + WIDTHS[code] * rng.normal(size=1000), code], 1))
    units = ColumnUnits((ColumnMap(), ColumnMap(levels=3)))
    moments = Gaussian(torch.zeros(4, dtype=D), torch.eye(4, dtype=D) * 4)
    diffusion = Diffusion(VE(1e-3, 200.0), ExactMixed(), moments)
    density = DataDensity(diffusion, units, 1000, tolerance=1e-5, extrapolate=True)
    z = (x[:, 0].numpy() - MEANS[code]) / WIDTHS[code]
    exact = np.log(WEIGHTS[code]) - z**2 / 2 - np.log(WIDTHS[code]) - math.log(2 * math.pi) / 2
    found = density(x)
    error = np.abs(found.value.numpy() - exact)
    assert (error <= found.error.numpy()).mean() >= 0.95 and error.max() < 1e-3
    usual = DataDensity(diffusion, units, 1000, extrapolate=True)(x)  # the tolerance of tables with categories
    error = np.abs(usual.value.numpy() - exact)
    assert (error <= usual.error.numpy()).mean() >= 0.95 and np.median(error) < 1e-3 and error.max() < 0.02
    assert usual.evaluations.double().mean() < 0.6 * found.evaluations.double().mean()
    given = density.conditional(x, [0], 0)
    both = np.log(WEIGHTS) - ((x[:, :1].numpy() - MEANS) / WIDTHS) ** 2 / 2 - np.log(WIDTHS)
    posterior = both[np.arange(1000), code] - np.log(np.exp(both).sum(1))
    np.testing.assert_allclose(given.value.numpy(), posterior, atol=1e-9)
    np.testing.assert_allclose(density.marginal(x[:, 1:], [1], 0).value.numpy(), np.log(WEIGHTS[code]), atol=1e-12)
    without = [
        torch.where(torch.tensor([k == 0, k == 1]), torch.nan, x) for k in range(2)
    ]  # rows with a missing value:
    np.testing.assert_allclose(density(without[0]).value.numpy(), np.log(WEIGHTS[code]), atol=1e-12)  # the marginal
    alone = np.log(np.exp(both).sum(1)) - math.log(2 * math.pi) / 2
    np.testing.assert_allclose(density(without[1]).value.numpy(), alone, atol=1e-3)


@pytest.mark.parametrize("rho", [pytest.param(0.5, marks=pytest.mark.slow), 0.95])
def test_particles_draw_from_the_conditional(rho):
    """Of Gaussians: mean and variance are known; two rows of known values take turns."""
    prior = Gaussian(torch.zeros(2, dtype=D), torch.tensor([[1.0, rho], [rho, 1.0]], dtype=D))
    values = torch.tensor([[1.5, 0.0], [-1.0, 0.0]], dtype=D)
    known = KnownCoordinates(prior, values, torch.tensor([[True, False]] * 2))
    how = Sampling(ReplacementSMC(64), 64, LogLevel())
    diffusion = Diffusion(VE(0.002, 80.0), known, prior).samples(torch.arange(3000))
    x = sample(diffusion, (3000, 2), how, Samples(0, 0, 3000))
    for i, value in enumerate((1.5, -1.0)):
        part, width = x[i::2], math.sqrt(1 - rho**2)
        assert bool((part[:, 0] == value).all())
        assert abs(float(part[:, 1].mean()) - rho * value) < 4 * width / math.sqrt(1500) + 0.02
        assert abs(float(part[:, 1].std()) / width - 1) < 0.08


@pytest.mark.slow
def test_moons_given_one_coordinate():
    """Given x = -0.5 the point is on the upper moon; plain replacement, and moment matching, gave 0.76."""
    rng = np.random.default_rng(0)
    angle, up = rng.uniform(0, np.pi, 3000), rng.random(3000) < 0.5
    x = np.stack([np.where(up, np.cos(angle), 1 - np.cos(angle)), np.where(up, np.sin(angle), 0.5 - np.sin(angle))], 1)
    made = fit(x + 0.08 * rng.normal(size=x.shape), training=Training(steps=700))
    drawn = made.condition({0: -0.5}).sample(100)
    assert (drawn[:, 0] == -0.5).all() and (drawn[:, 1] > 0.25).mean() >= 0.97
    with pytest.raises(ValueError, match="columns are those of tables and vectors"):
        fit(np.random.default_rng(0).normal(size=(40, 8, 8)), steps=1)._with_known({0: 1.0})


FILLED = [
    pytest.param(form, whole, marks=[pytest.mark.slow] * ((form is pd.DataFrame) != whole))
    for form in (np.asarray, torch.as_tensor, pd.DataFrame)
    for whole in (False, True)
]


@pytest.mark.parametrize(("form", "whole"), FILLED)
def test_some_columns_are_filled(form, whole):
    """As they are where all are; the others keep their gaps, and what is known of them counts."""
    rng = np.random.default_rng(0)
    x = rng.poisson(20, (90, 3)) if whole else rng.normal(size=(90, 3))
    made = fit(form(x), training=Training(steps=2))
    gaps = np.where(rng.random((30, 3)) < 0.4, np.nan, x[:30])
    filled = np.asarray(made.impute(form(gaps), columns=[0, 2]), float)
    whole_rows = np.asarray(made.impute(form(gaps)), float)
    assert np.isnan(filled[:, 1]).tolist() == np.isnan(gaps[:, 1]).tolist() and np.isfinite(filled[:, [0, 2]]).all()
    kept = ~np.isnan(gaps)
    assert np.array_equal(filled[kept], gaps[kept]) and np.isfinite(whole_rows).all()
    with pytest.raises(ValueError, match="there is no column 3: it has 0, 1, 2"):
        made.impute(form(gaps), columns=[3])


@pytest.mark.slow
def test_rows_of_arrays_are_imputed():
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 0], [[1, 0.95], [0.95, 1]], 2000)
    made = fit(x, training=Training(steps=100))  # the Gaussian that it is mixed with is exact
    gaps = np.array([[1.0, np.nan], [np.nan, -1.0], [0.2, 0.3]] * 100)
    filled = made.impute(gaps)
    assert (filled[~np.isnan(gaps)] == gaps[~np.isnan(gaps)]).all() and ArrayRows(torch.from_numpy(filled)).shape == (
        300,
        2,
    )
    assert abs(filled[::3, 1].mean() - 0.95) < 0.15 and abs(filled[1::3, 0].mean() + 0.95) < 0.15


@pytest.mark.slow
def test_rounded_numbers_are_measured():
    """Rounding to the decimals of the data does not hide them from a measurement; categories and spikes are refused."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=800)
    frame = pd.DataFrame({"u": u.round(2), "v": (0.8 * u + 0.6 * rng.normal(size=800)).round(2)})
    made = fit(frame, training=Training(steps=600))
    drawn = made.observe(Measurement(Mask([True, False]), [1.0], 0.1)).sample(400)
    assert abs(drawn["u"].mean() - 0.99) < 0.05 and abs(drawn["u"].std() - 0.1) < 0.03
    assert abs(drawn["v"].mean() - 0.79) < 0.15
    spiked = frame.assign(u=np.where(rng.random(800) < 0.5, 0.0, u).round(2), kind=np.where(u > 0, "p", "n"))
    other = fit(spiked, training=Training(steps=20))
    for keep in ([True, False, False], [False, False, True]):
        with pytest.raises(
            ValueError,
            match="holds categories, atoms such as exact zeros, values of another column, or one value, and cannot",
        ):
            other.observe(Measurement(Mask(keep), [1.0], 0.1)).sample(1)
    assert len(other.observe(Measurement(Mask([False, True, False]), [1.0], 0.1)).sample(3)) == 3


@pytest.mark.slow
def test_columns_that_follow_from_others_are_known_by_them():
    """Marginals take the coordinate of their column; a known sum gives its one unknown term; posteriors count coordinates."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=400), rng.normal(3.0, 0.5, 400)
    frame = pd.DataFrame({"t": a + b, "a": a, "b": b})
    made = fit(frame, training=Training(steps=200))
    of_b = made.density().marginal(frame[["b"]].head(20), of=["b"]).value.numpy()
    exact = -((frame["b"].head(20) - 3) ** 2) / 0.5 - math.log(0.5 * math.sqrt(2 * math.pi))
    assert np.abs(of_b - exact).mean() < 0.2
    gaps = frame.head(4).set_axis(list("wxyz")).assign(name="n")
    gaps.loc["w", "b"], gaps.loc["x", "t"], gaps.loc["y", ["a", "b"]] = np.nan, np.nan, np.nan
    with pytest.raises(ValueError, match=r"t is given, and it follows from others \(t = a \+ b\)"):
        made.impute(gaps)
    filled = made.impute(gaps.drop(index="y"))
    assert list(filled.columns) == ["t", "a", "b", "name"] and list(filled.index) == ["w", "x", "z"]
    np.testing.assert_allclose(filled["t"], filled["a"] + filled["b"])
    np.testing.assert_allclose(filled["b"], frame["b"].iloc[[0, 1, 3]])
    seen = made.observe(Measurement(Mask([True, False, False]), [4.0], 0.1))
    found = evidence(seen, particles=100, islands=2, steps=32).log_evidence.value
    assert abs(float(found) + (4 - 3) ** 2 / 2 / 1.26 + math.log(2 * math.pi * 1.26) / 2) < 0.2
