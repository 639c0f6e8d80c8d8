"""Fits to whole and rounded numbers, which are learned as the cells that they stand for."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import torch

from scorefield import fit
from scorefield.data import ArrayRows, summarize
from scorefield.data.lattice import cells
from scorefield.fitting import Options, Plan, plan, prepare, trainer_of
from scorefield.nn import FourierFeatures, UNet
from scorefield.objectives import LogNormal, WithLowTail
from scorefield.runs import Run
from scorefield.settings import Data, Network, Training

RNG = np.random.default_rng(0)
IMAGES = (80 * np.abs(RNG.normal(size=(60, 16, 16)))).clip(0, 255).astype(np.uint8)
TABLE = np.stack([RNG.poisson(400.0, 400), RNG.poisson(900.0, 400)], 1)
QUICK = Training(steps=3, batch=8, precision="float32")
SMALL = Network(widths=(8,))


def planned(x, **options) -> Plan:
    wish = Options(**options)
    return plan(prepare(x, wish), wish)


def prepared(x, data=None, **options):
    return prepare(x, Options(data=data or Data(), **options))


def test_what_is_learned_as_cells():
    """Whole numbers, which samples are rounded to, and fine lattices; not wide ones, nor those finer than noise."""
    step = torch.tensor([3.0, 0.1, 0.5, 0.0], dtype=torch.float64)
    found = cells((True, False, False, False), step, torch.full((4,), 2.0))
    assert found is not None and found.tolist() == [1.0, 0.1, 0.0, 0.0]
    assert cells(False, step[2:], torch.ones(2)) is None
    assert cells(True, torch.ones(1, 4, 4).double(), torch.tensor([[[5000.0]]])) is None
    assert prepared(RNG.normal(size=(50, 3))).cells is None
    assert prepared(TABLE.astype(float)).cells is None
    assert prepared(TABLE, Data(dequantize=False)).cells is None


def test_grids_of_whole_numbers_in_floats_are_said_to_be_points():
    """Samples would not be whole; not of other numbers, of fine steps, where cells are not wanted, or where units are given."""
    counts = RNG.poisson(3.0, (40, 8, 8))
    with pytest.warns(UserWarning, match=r"stored as float32, which samples will not be: pass integers, x\.astype"):
        prepared(counts.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for x in (counts, counts / 2 + 0.1, IMAGES.astype(float), RNG.normal(size=(40, 8, 8))):
            prepared(x)
        prepared(counts.astype(float), Data(dequantize=False))
        prepared(counts.astype(float), units=(0.0, 2.0))


@pytest.mark.parametrize("x", [TABLE, IMAGES])
def test_units_and_moments_are_those_of_what_is_trained_on(x):
    """Sheppard: cells of width 1 add 1/12 to the variance, and nothing to means and covariances."""
    found = prepared(x)
    known, bare = summarize(found.schema.rows(x)), prepared(x, Data(dequantize=False))
    torch.testing.assert_close(found.summary.variance, known.variance + 1 / 12)
    torch.testing.assert_close(found.units.mean, bare.units.mean)
    factor = found.units.std.double() ** 2
    moments, other = found.moments, bare.moments
    if x.ndim > 2:
        torch.testing.assert_close(
            moments.covariance.double(), (known.variance + 1 / 12) / factor, rtol=1e-5, atol=1e-6
        )
        return
    scale = factor.sqrt()
    covariance = torch.from_numpy(np.cov(x.T, bias=True))
    ours = moments.covariance.double() * scale * scale[:, None]
    torch.testing.assert_close(ours.diagonal(), covariance.diagonal() + 1 / 12, rtol=1e-5, atol=1e-6)
    before = other.covariance.double() * bare.units.std.double() * bare.units.std.double()[:, None]
    torch.testing.assert_close(ours[0, 1], before[0, 1], rtol=1e-4, atol=1e-5)


def test_batches_and_held_out_data_have_unit_variance():
    found = planned(RNG.poisson(2.0, (4000, 1)), training=Training(steps=1, batch=3600))
    trainer = trainer_of(found)
    x = trainer.feed.batches(0)
    assert abs(float(x.var()) - 1) < 0.15 and len(x.unique()) > 3000
    held_out = trainer.held_out
    whole = found.prepared.units.inverse(held_out.double())
    assert float((whole - whole.round()).abs().max()) <= 0.5 and len(held_out.unique()) == len(held_out)


def test_images_get_a_small_level_a_tail_and_waves():
    image = planned(IMAGES, training=QUICK)
    step = 1 / float(image.prepared.units.std)
    found = image.noise_levels
    assert found.sigma_min == pytest.approx(step / 4)
    assert found.reasons[0] == "a quarter of the step between neighbouring values, at least 0.001"
    assert found.tail == 0.06 and len(found.table()) == len(found.reasons) == 5
    levels = image.objective.levels
    assert isinstance(levels, WithLowTail) and levels.low == found.sigma_min
    assert isinstance(image.network, FourierFeatures) and image.network.periods[0] == pytest.approx(4 * step)
    assert image.network.periods[-1] < 1.2
    bare = planned(IMAGES, data=Data(dequantize=False), training=QUICK)
    assert bare.noise_levels.sigma_min == 0.02 and bare.noise_levels.tail == 0 and isinstance(bare.network, UNet)
    assert isinstance(bare.objective.levels, LogNormal)
    for each in (bare, image):  # a step divides the level by 1.5 at most
        low, high = each.process.ends()
        assert each.sampling.steps == max(24, np.ceil(np.log(high / low) / np.log(1.5)))
    given = planned(IMAGES, training=QUICK, noise_levels=bare.noise_levels)  # levels of one's own are taken as they are
    assert given.noise_levels == bare.noise_levels and isinstance(given.network, UNet)


def test_floats_of_eight_bits_are_as_fine_as_their_integers():
    found = planned(IMAGES / np.float32(255), training=QUICK)
    assert found.prepared.cells is not None and float(found.prepared.cells.max()) == pytest.approx(1 / 255)
    assert found.noise_levels.sigma_min == pytest.approx(
        planned(IMAGES, training=QUICK).noise_levels.sigma_min, rel=1e-4
    )


@pytest.mark.slow
def test_bits_of_whole_numbers():
    """The entropy of a uniform distribution on 8 numbers is 3 bits; of points the density is far off between them."""
    x = np.random.default_rng(1).integers(0, 8, 4000)
    model = fit(x, training=Training(steps=500), network=Network(widths=(64,), depth=2))
    found = model.density(tolerance=1e-3).bits_per_dim(x[:100], 1)
    assert float(found.value.mean()) == pytest.approx(3, abs=0.15)
    drawn = model.sample(1000)
    assert drawn.dtype == x.dtype and set(np.unique(drawn)) <= set(range(-1, 9))
    counts = np.bincount(drawn.clip(0, 7), minlength=8) / 1000
    assert np.abs(counts - 1 / 8).max() < 0.03 + 4 * (7 / 64 / 1000) ** 0.5


def test_a_run_from_before_goes_on_as_it_was(tmp_path):
    """It knew no cells: the same levels, the same network, the same numbers."""
    kept = tmp_path / "run"
    bare = fit(IMAGES, kept, data=Data(dequantize=False), network=SMALL, training=QUICK)
    run = json.loads((kept / "run.json").read_text())
    del run["asked"]["data"]["dequantize"]
    (kept / "run.json").write_text(json.dumps(run))
    for name in ("fit.json", "model.safetensors"):
        (kept / name).unlink()
    again = fit(IMAGES, kept, network=SMALL, training=QUICK)
    assert again.process == bare.process == Run(kept).model.process
    assert np.array_equal(again.sample(2), bare.sample(2))


def test_a_choice_is_kept_with_the_run(tmp_path):
    fit(IMAGES, tmp_path / "run", network=SMALL, training=QUICK)
    assert Run(tmp_path / "run").read("run.json")["asked"]["data"]["dequantize"] is True
    with pytest.raises(ValueError, match=r"another run \(data.dequantize: True there, False asked\)"):
        fit(IMAGES, tmp_path / "run", data=Data(dequantize=False), network=SMALL, training=QUICK)


def test_a_tail_replaces_what_lies_below_its_cut():
    distribution = WithLowTail(LogNormal(0.0, 1.0), 1e-3, 0.25, 0.1)
    u = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:-1]
    level = distribution.draw(u)
    assert distribution.high == pytest.approx(math.exp(-1.2815515655), rel=1e-6)
    assert float((level < distribution.high).double().mean()) == pytest.approx(0.25, abs=1e-4)
    half = math.sqrt(distribution.high * 1e-3)
    assert float((level < half).double().mean()) == pytest.approx(0.125, abs=1e-4)
    above = float((level > 1).double().mean())
    assert above == pytest.approx(0.75 * 0.5 / 0.9, abs=1e-4)
    with pytest.raises(
        ValueError, match="WithLowTail needs fraction and cut between 0 and 1, and a low level below the cut"
    ):
        WithLowTail(LogNormal(), 1.0, 0.5)


def test_rows_of_a_lattice_are_counted_as_before():
    assert float(summarize(ArrayRows(torch.from_numpy(IMAGES)[:, None])).step.max()) == 1
