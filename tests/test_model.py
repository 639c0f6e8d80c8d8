from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import nn

from properties import instances, suited
from scorefield.checkpoint import save
from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Preconditioned, precondition
from scorefield.fitting import Options, plan, prepare, train
from scorefield.model import Model, load
from scorefield.nn import MLP
from scorefield.processes import EDM, VP, Process
from scorefield.rng import Samples
from scorefield.samplers import DDIM, AdaptiveSampler, ExponentialAdams, Heun, Sampler, Sampling
from scorefield.schedules import ExplicitLevels, Karras, LogLevel
from scorefield.settings import Data, Network, Training
from scorefield.toys import two_modes
from scorefield.units import Standardize
from scorefield.units.choose_channels import choose_channels
from scorefield.units.wishes import Wish

D = torch.float64


def fitted(x: Any, steps: int = 10, **given: Any) -> Model:
    training = given.pop("training", None) or Training(steps=steps)
    options = Options(training=training, device="cpu", **given)
    return train(plan(prepare(x, options), options)).model


@pytest.fixture(scope="module")
def table() -> Model:
    """Of vectors in two dimensions, with units."""
    return fitted(np.random.default_rng(0).normal([100, -5], [3, 0.1], size=(300, 2)), 100)


@pytest.fixture(scope="module")
def images() -> Model:
    """Of images of bytes, in bfloat16."""
    x = np.random.default_rng(0).integers(0, 256, size=(60, 12, 10)).astype(np.uint8)
    training = Training(steps=15, batch=8, precision="bfloat16", muon_learning_rate=0.01)
    model = fitted(x, network=Network(widths=(16, 16), attention=True), training=training)
    assert isinstance(model.denoiser, Preconditioned) and model.denoiser.precision == "bfloat16"
    return model


def exact(distribution: Gaussian, x: np.ndarray, process: Process | None = None) -> Model:
    """A model of data of a known distribution, in units that are not theirs."""
    n = distribution.mean.numel()
    units = Standardize((n,), distribution.mean + 0.3, torch.linspace(1.5, 4, n, dtype=D))
    inner = Gaussian(units(distribution.mean[None])[0], distribution.covariance / (units.std[:, None] * units.std))
    return Model(Schema.of(x), units, inner, inner, Sampling(ExponentialAdams(), process=process or EDM(0.002, 80.0)))


# -- sample i is sample i ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [
        *(("table", sampler) for sampler in (None, DDIM(eta=1.0), Heun())),
        ("images", None),
        *(pytest.param("images", sampler, marks=pytest.mark.slow) for sampler in (DDIM(eta=1.0), Heun())),
    ],
)
def test_a_sample_is_the_same_whatever_it_is_drawn_with(kind, sampler, request):
    """Sample 17 of seed 5 of 20, of many, in batches of 7, of another number of threads."""
    model = request.getfixturevalue(kind)
    many = 1000 if kind == "table" else 60
    draw = {"seed": 5, "sampler": sampler, "steps": 6}
    few = torch.cat(list(model.batches(20, **draw)))
    spread = float(few.std())
    assert len(few.unique()) > 20
    for other in (model.batches(many, **draw), model.batches(20, **draw, batch=7), model.batches(19, **draw, batch=1)):
        again = torch.cat(list(other))[:20]
        assert float((again - few[: len(again)]).abs().max()) < 1e-5 * spread * (1 if kind == "table" else 10)
    assert not torch.allclose(few, torch.cat(list(model.batches(20, **{**draw, "seed": 6}))))
    if sampler is None:
        np.testing.assert_array_equal(model.sample(20, **draw)[17], model.schema.pack(few)[17])


def test_another_process_draws_the_same(table, tmp_path):
    table.save(tmp_path / "m.safetensors")
    code = (
        "import sys, numpy, torch, scorefield.model as m; torch.rand(7);"
        "numpy.save(sys.argv[2], m.load(sys.argv[1]).sample(40, seed=5, batch=9))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy")]
    subprocess.run(command, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), table.sample(40, seed=5), rtol=0, atol=1e-5)


SAMPLERS = instances(Sampler)


@pytest.mark.parametrize(
    "sampler",
    [  # one of each class in the suite, with other arguments slow
        pytest.param(s, id=repr(s), marks=[pytest.mark.slow] if type(s) in map(type, SAMPLERS[:i]) else [])
        for i, s in enumerate(SAMPLERS)
    ],
)
def test_every_sampler_draws_from_the_same_model(sampler):
    """Gaussian data in their own units: means and spreads to 5 standard errors, but for the steps' own error."""
    distribution = Gaussian(torch.tensor([1.0, -30.0], dtype=D), torch.tensor([[4.0, 1.0], [1.0, 9.0]], dtype=D))
    steps = 1 if isinstance(sampler, AdaptiveSampler) else 64
    model = exact(distribution, np.zeros((2, 2)))
    model = model.replace(denoiser=suited(sampler, model.denoiser))
    drawn = model.sample(2000, seed=1, sampler=sampler, steps=steps)
    spread = distribution.covariance.diagonal().sqrt().numpy()
    assert np.abs(drawn.mean(0) - distribution.mean.numpy()).max() < 5 * spread.max() / 2000**0.5 + 0.1
    np.testing.assert_allclose(drawn.std(0), spread, rtol=5 / 4000**0.5 + 0.12)


@pytest.mark.parametrize("process", instances(Process), ids=repr)
def test_every_process_serves_the_same_model(process):
    distribution = Gaussian(torch.tensor([1.0, -30.0], dtype=D), torch.tensor([[4.0, 1.0], [1.0, 9.0]], dtype=D))
    drawn = exact(distribution, np.zeros((2, 2)), process).sample(2000, seed=1, sampler=Heun(), steps=48)
    np.testing.assert_allclose(np.cov(drawn.T), distribution.covariance, atol=5 * 9 * (2 / 2000) ** 0.5 + 0.5)


# -- the form of the data ------------------------------------------------------------------------------------------


def test_a_table_in_a_table_out():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"age": rng.integers(20, 70, 80), "size": rng.normal(size=80).astype(np.float32)})
    data["sick"] = rng.random(80) < 0.3
    model = fitted(data)
    drawn = model.sample(30)
    assert isinstance(drawn, pd.DataFrame)
    assert list(drawn.columns) == list(data.columns)
    assert list(drawn.dtypes) == list(data.dtypes)
    assert len(drawn) == 30
    assert model.log_prob(data[["sick", "age", "size"]][:3]).value.shape == (3,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_in_tensors_out(dtype):
    drawn = fitted(torch.randn(50, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))).sample(4)
    assert isinstance(drawn, torch.Tensor) and drawn.dtype == dtype and drawn.shape == (4, 3)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.float64])
def test_large_offsets_keep_their_digits(dtype):
    x = (np.random.default_rng(0).normal(size=(300, 2)) * 3 + 2**30).astype(dtype)
    drawn = fitted(x, 3).sample(200)
    assert drawn.dtype == dtype
    assert len(np.unique(drawn)) > 5 and np.abs(drawn.astype(float) - 2**30).max() < 30
    assert np.std(drawn.astype(float)) == pytest.approx(3, rel=0.3)


def test_an_array_with_names_in_and_out():
    values = np.random.default_rng(0).normal(280, 5, size=(40, 6, 8))
    coords = {"lat": np.linspace(-50, 50, 6), "lon": np.arange(8.0)}
    data = xr.DataArray(values, coords, ("time", "lat", "lon"), name="t2m")
    drawn = fitted(data, 3, network=Network(widths=(8,)), training=Training(steps=3, batch=8)).sample(5)
    assert isinstance(drawn, xr.DataArray)
    assert drawn.dims == ("time", "lat", "lon") and drawn.name == "t2m" and drawn.shape == (5, 6, 8)
    np.testing.assert_array_equal(drawn.lat, data.lat)


def test_variables_in_and_out_each_in_its_own_units():
    rng, axes = np.random.default_rng(0), ("lat", "lon", "time")
    rain = np.where(rng.random((6, 8, 40)) < 0.6, 0.0, rng.gamma(0.7, 6.0, (6, 8, 40)))
    found = {"t2m": (axes, rng.normal(280, 5, (6, 8, 40)), {"units": "K"}), "rain": (axes, rain, {"units": "mm/d"})}
    found |= {"drizzle": (axes, rng.gamma(0.5, 2.0, (6, 8, 40)))}
    data = xr.Dataset(found, {"lat": np.linspace(-50, 50, 6)}, {"title": "weather"})
    model = fitted(data, 3, network=Network(widths=(8,)), training=Training(steps=30, batch=8))
    drawn = model.sample(50, steps=12)
    assert list(drawn) == ["t2m", "rain", "drizzle"] and drawn.t2m.dims == axes and drawn.sizes["time"] == 50
    assert drawn.attrs == data.attrs and drawn.rain.attrs == {"units": "mm/d"}
    xr.testing.assert_identical(drawn.lat, data.lat)
    assert float(drawn.rain.min()) == 0 and float((drawn.rain == 0).mean()) > 0.1
    assert float(drawn.drizzle.min()) > 0 and float(drawn.t2m.mean()) == pytest.approx(280, abs=2)
    said = {c.value: c.reason for c in prepare(data).choices if c.name == "units"}
    assert (
        said["rain"] == "atoms at 0 (60 %), else softplus: nowhere negative"
        and said["drizzle"] == "softplus: nowhere negative"
    )
    some, settings = drawn.isel(time=slice(2)), {"probes": 2, "tolerance": 0.1}
    whole = model.log_prob(model.schema.unpack(some, torch.float64).numpy(), **settings)
    assert torch.equal(model.log_prob(some, **settings).value, whole.value)
    bounded = prepare(data, Options(data=Data(bounds={"t2m": (0, None)}))).units
    assert [channel.base for channel in bounded.channels] == ["log", "softplus", "softplus"]
    rows = model.schema.unpack(data, torch.float64)
    assert torch.equal(bounded.inverse(bounded(rows)) == 0, rows == 0)


def test_a_quantity_above_0_is_a_straight_line_far_out_and_has_its_moments():
    """Of independent gamma values the states are independent, too, and a network that answers 0 draws them as normal."""
    x = torch.from_numpy(np.random.default_rng(0).gamma(0.5, 2.0, (400, 1, 8, 8)))
    units, (reason,) = choose_channels(x, [Wish(0)], quantities=True)
    assert reason == "softplus: nowhere negative" and units.bounds == ((0.0, None),)
    torch.testing.assert_close(units.inverse(units(x)), x)
    drawn = units.inverse(torch.randn(4000, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert float(drawn.min()) > 0 and bool((drawn.mean() / x.mean() - 1).abs() < 0.2)
    assert float(drawn.quantile(0.999)) < 1.3 * float(x.quantile(0.999))
    far = torch.full((1, 1, 8, 8), 40.0, dtype=torch.float64)  # an error of a state is as large everywhere in the tail
    torch.testing.assert_close(units.inverse(units(10 * far) + 0.1) - 10 * far, units.inverse(units(far) + 0.1) - far)


def test_images_of_bytes(images):
    drawn = images.sample(6)
    assert drawn.dtype == np.uint8 and drawn.shape == (6, 12, 10)
    assert drawn.min() < 60 and drawn.max() > 200
    batches = list(images.batches(6, batch=4))
    assert [b.shape for b in batches] == [(4, 1, 12, 10), (2, 1, 12, 10)]
    np.testing.assert_array_equal(images.schema.pack(torch.cat(batches)), drawn)


def test_numbers_alone():
    assert fitted(np.random.default_rng(0).normal(size=50)).sample(7).shape == (7,)


# -- on disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "images"])
def test_saved_and_loaded_it_draws_the_same_bits(kind, request, tmp_path):
    model = request.getfixturevalue(kind)
    model.save(tmp_path / "model.safetensors")
    for path in (tmp_path / "model.safetensors", tmp_path, str(tmp_path)):
        again = load(path)
        assert again.schema == model.schema and again.process == model.process and again.sampler == model.sampler
        assert again.steps == model.steps
        assert not again.training and not any(p.requires_grad for p in again.parameters())
        state = model.state_dict()
        assert list(again.state_dict()) == list(state)
        assert all(v.dtype == state[k].dtype and torch.equal(v, state[k]) for k, v in again.state_dict().items())
        np.testing.assert_array_equal(again.sample(5, seed=3), model.sample(5, seed=3))
    x = model.sample(2)
    there, here = (m.log_prob(x, probes=2, tolerance=1e-2).value for m in (load(tmp_path), model))
    torch.testing.assert_close(there, here, rtol=1e-6, atol=1e-6)  # float32 rounds by where weights lie in memory


class Own(nn.Module):
    """A network that does not say how it was made, with buffers."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Linear(3, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Linear(16, 2)
        self.layers = nn.Sequential(*layers)

    def forward(self, x, c):
        return self.layers(torch.cat([x, c[:, None]], 1))


def test_a_network_of_ones_own(tmp_path):
    """It is trained, saved by its numbers, and loaded into its like."""
    torch.manual_seed(0)
    network, path = nn.ModuleList([Own()])[0], tmp_path / "own.safetensors"
    model = fitted(np.random.default_rng(0).normal(size=(100, 2)), 30, network=network)
    model.save(path)
    again = load(path, ("scorefield", __name__), Own())
    np.testing.assert_array_equal(again.sample(9), model.sample(9))
    assert model.log_prob(model.sample(3)).value.isfinite().all()


class Closed(Own):
    def __init__(self, layers_: int) -> None:
        super().__init__()


def test_a_network_that_cannot_be_described(tmp_path):
    path = tmp_path / "closed.safetensors"
    model = fitted(np.random.default_rng(0).normal(size=(100, 2)), 5, network=Closed(1))
    model.save(path)
    with pytest.raises(
        ValueError, match=r"^the file holds the numbers of a .*Closed, not how to build it: pass network="
    ):
        load(path)
    with pytest.raises(ValueError, match="do not fit the model that it describes"):
        load(path, network=nn.Linear(2, 2))
    np.testing.assert_array_equal(load(path, network=Closed(2)).sample(9), model.sample(9))


def test_files_that_hold_no_model(table, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load(tmp_path / "nothing.safetensors")
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*model\.safetensors"):
        load(tmp_path)
    save(Preconditioned(MLP(2, 8, 1), precondition.EDMPrediction()), tmp_path / "part.safetensors")
    message = r"part.safetensors holds a Preconditioned, not a model: read it with scorefield\.checkpoint\.load$"
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "part.safetensors")
    table.save(tmp_path / "cut.safetensors")
    content = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is truncated or damaged"):
        load(tmp_path / "cut.safetensors")


# -- densities -----------------------------------------------------------------------------------------------------


def test_a_density_on_the_line_has_the_mass_one():
    model = fitted(np.random.default_rng(0).normal(40, 3, size=200), 100)
    x = np.linspace(10, 70, 801)
    density = model.log_prob(x, tolerance=1e-4).value.exp()
    assert float(density.sum() * (x[1] - x[0])) == pytest.approx(1, abs=2e-3)


def test_a_density_in_the_plane_has_the_mass_one(table):
    one, two = np.linspace(80, 120, 41), np.linspace(-5.7, -4.3, 41)
    x = np.stack(np.meshgrid(one, two), -1).reshape(-1, 2)
    density = table.log_prob(x, tolerance=1e-3).value.exp()
    assert float(density.sum() * (one[1] - one[0]) * (two[1] - two[0])) == pytest.approx(1, abs=0.01)


def test_densities_are_in_the_units_of_the_data():
    """Known for a known distribution, with the noise of the smallest level in the units of the model."""
    distribution = Gaussian(torch.tensor([1.0, -30.0], dtype=D), torch.tensor([[4.0, 1.0], [1.0, 9.0]], dtype=D))
    x = distribution.sample(20, Samples(0, count=20)).numpy()
    found = exact(distribution, x).log_prob(x)
    torch.testing.assert_close(found.value, distribution.log_prob(torch.from_numpy(x)), rtol=0, atol=1e-3)
    assert not found.standard_error.any()
    assert bool((found.evaluations > 0).all())


def test_a_change_of_units_is_exact(table):
    """p(a x + b) = p(x) / |a|: the same network, in metres and in inches."""
    a, b = torch.tensor([25.4, 0.1], dtype=D), torch.tensor([1.0, -2.0], dtype=D)
    units = table.standardize
    moved = Standardize((2,), units.mean * a + b, units.std * a)
    other = Model(table.schema, moved, table.denoiser, table.moments, table.sampling)
    x = torch.from_numpy(table.sample(10))
    there, here = other.log_prob((x * a + b).numpy()).value, table.log_prob(x.numpy()).value
    torch.testing.assert_close(there, here - a.log().sum(), rtol=0, atol=1e-8)
    np.testing.assert_allclose(other.sample(10), (x * a + b).numpy(), rtol=1e-9)


def test_densities_of_float64_and_float32(table):
    """The numbers are taken as they are; those of one datum do not depend on the others."""
    x = table.sample(8)
    whole = table.log_prob(x)
    assert whole.value.dtype == D and whole.value.shape == (8,)
    torch.testing.assert_close(table.log_prob(x[3:5]).value, whole.value[3:5], rtol=0, atol=1e-8)
    torch.testing.assert_close(table.log_prob(x, batch=3).value, whole.value, rtol=0, atol=1e-8)
    single = table.log_prob(x.astype(np.float32)).value
    torch.testing.assert_close(single, whole.value, rtol=0, atol=1e-2)
    assert bool((single != whole.value).any())
    with pytest.raises(ValueError, match=r"data have the shape \(N, 2\)"):
        table.log_prob(np.zeros((3, 4)))


def test_densities_of_images_say_how_sure_they_are(images):
    x = images.sample(2)
    found = images.log_prob(x, probes=4, tolerance=1e-2)
    assert bool((found.standard_error > 0).all()) and bool(found.value.isfinite().all())
    again = images.log_prob(x, probes=4, tolerance=1e-2, batch=1)
    torch.testing.assert_close(again.value, found.value, rtol=1e-5, atol=1e-3)


# -- the way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", [None, VP()])
def test_the_way_ends_at_the_samples(table, process):
    """From the widest level to none; every state as wide as data are."""
    model = Model(
        table.schema, table.standardize, table.denoiser, table.moments, Sampling(process=process or table.process)
    )
    way = list(model.trajectory(300, seed=4, steps=20))
    levels = [level for level, _ in way]
    assert levels == sorted(levels, reverse=True) and levels[-1] == 0 and len(way) == 22
    np.testing.assert_allclose(way[-1][1].numpy(), model.sample(300, seed=4, steps=20), rtol=1e-9)
    for _, state in way:
        np.testing.assert_allclose(model.standardize(state).std(0), 1, atol=0.35)
    assert way[0][1].dtype == D


# -- bounds and refusals -------------------------------------------------------------------------------------------


def test_batches_bound_what_is_held():
    """However many are asked for, no more than a batch of them is there at a time."""
    distribution = Gaussian(torch.zeros(200, dtype=D), torch.ones(200, dtype=D))
    seen = []

    class Spy(Gaussian):
        def forward(self, x, level):
            seen.append(len(x))
            return super().forward(x, level)

    spy = Spy(distribution.mean, distribution.covariance)
    model = Model(
        Schema.of(np.zeros((2, 200), np.float32)),
        Standardize((200,)),
        spy,
        distribution,
        Sampling(DDIM(), 2, process=EDM()),
    )
    peaks = []
    for count in (4000, 16_000):
        tracemalloc.start()
        total = sum(len(part) for part in model.batches(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == count
    assert max(seen) < 4000
    assert peaks[1] < 1.5 * peaks[0]
    seen.clear()
    next(model.batches(10**9, batch=64))
    assert set(seen) == {512}


@pytest.mark.parametrize(("count", "batch"), [(0, None), (-1, None), (5, 0), (5, -2)])
def test_at_least_one_sample(table, count, batch):
    got = f"count={count}" if batch is None else f"count={count}, batch={batch}"
    message = f"^at least one sample is drawn, in batches of at least one; got {got}$"
    with pytest.raises(ValueError, match=message):
        table.sample(count, batch=batch)
    if batch is None:
        with pytest.raises(ValueError, match=message):
            next(table.trajectory(count))


@pytest.mark.parametrize("steps", [0, -1])
def test_at_least_one_step(table, steps):
    """No step is not the steps that the model would take."""
    with pytest.raises(ValueError, match=f"^a sampler needs at least 1 step, got steps={steps}$"):
        table.sample(3, steps=steps)
    with pytest.raises(ValueError, match=f"^a sampler needs at least 1 step, got steps={steps}$"):
        next(table.trajectory(3, steps=steps))


# -- what is learned -----------------------------------------------------------------------------------------------


def apart(drawn: np.ndarray, train: np.ndarray) -> float:
    """The largest distance of means, standard deviations and correlations from those of the training data, in
    standard errors of both."""
    factor = (1 / len(drawn) + 1 / len(train)) ** 0.5
    spread, correlation = train.std(0), np.corrcoef(train.T.reshape(train.shape[1], -1))
    mean = np.abs(drawn.mean(0) - train.mean(0)) / (spread * factor)
    kurtosis = ((train - train.mean(0)) ** 4).mean(0) / spread**4
    deviation = np.abs(drawn.std(0) / spread - 1) / (((kurtosis - 1) / 4) ** 0.5 * factor)
    found = [mean.max(), deviation.max()]
    if train.shape[1] > 1:
        rho = correlation[0, 1]
        found.append(abs(np.corrcoef(drawn.T)[0, 1] - rho) / ((1 - rho**2) * factor))
    return max(found)


@pytest.mark.slow
def test_a_gaussian_on_the_line_is_learned():
    x = np.random.default_rng(1).normal(-20, 4, size=(400, 1))
    assert apart(fitted(x, 400).sample(4000), x) < 5


def test_a_gaussian_in_the_plane_is_learned():
    x = np.random.default_rng(1).normal(size=(400, 2)) @ np.array([[1, 0.8], [0, 0.2]]) * [1, 50] + [3, 1000]
    assert apart(fitted(x, 400).sample(4000), x) < 5


@pytest.mark.slow
def test_two_modes_are_learned_from_400_points():
    """The weight of the small one, and the mean and spread of each, as those of the points themselves."""
    x = two_modes().sample(400, Samples(7, count=400)).numpy()
    drawn = fitted(x, 1500, data=Data(held_out=0.1)).sample(4000, seed=1)
    small, few = x.sum(1) > 0, drawn.sum(1) > 0
    weight = small.mean()
    error = (weight * (1 - weight) * (1 / 400 + 1 / 4000)) ** 0.5
    assert abs(few.mean() - weight) < 5 * error
    for mode, members in ((x[small], drawn[few]), (x[~small], drawn[~few])):
        assert apart(members, mode) < 5
    assert (np.abs(drawn.sum(1)) < 1).mean() < 0.02  # little lies between


# -- latents and ways between --------------------------------------------------------------------------------------


def test_latents_there_and_back(table, images):
    """Latents of a normal distribution are the data in its own units; to data and back is the identity, in every form."""
    distribution = Gaussian(torch.tensor([1.0, -30.0], dtype=D), torch.tensor([[4.0, 1.0], [1.0, 9.0]], dtype=D))
    x = distribution.sample(50, Samples(0, count=50)).numpy()
    model = exact(distribution, x)
    z = model.encode(x)
    units = Gaussian(model.moments.mean, model.moments.covariance)
    torch.testing.assert_close(z, units.whiten(model.standardize(torch.from_numpy(x))), rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.decode(z), x, atol=1e-6)
    rows = np.random.default_rng(1).normal([100, -5], [3, 0.1], size=(20, 2))
    np.testing.assert_allclose(table.decode(table.encode(rows)), rows, rtol=1e-3)
    pictures = np.random.default_rng(1).integers(0, 256, size=(4, 12, 10)).astype(np.uint8)
    latents = images.encode(pictures, Heun(), 20)
    assert latents.shape == (4, 1, 12, 10) and latents.dtype == D
    back = images.decode(latents, Heun(), 20)
    assert back.dtype == np.uint8 and back.shape == pictures.shape


def test_ways_between_data(table):
    rng = np.random.default_rng(1)
    a, b = (rng.normal([100, -5], [3, 0.1], size=(10, 2)) for _ in range(2))
    way = table.interpolate(a, b, frames=5)
    assert len(way) == 5
    np.testing.assert_allclose(way[0], a, rtol=1e-3)
    np.testing.assert_allclose(way[-1], b, rtol=1e-3)
    assert all(x.shape == a.shape for x in way)
    with pytest.raises(ValueError, match="an interpolation has two ends of one shape, got count=1"):
        table.interpolate(a, b, frames=1)


@pytest.mark.parametrize("sampler", [None, DDIM(1.0)])
def test_ways_between_seeds(table, sampler):
    """The ends are the samples of the two seeds, and each frame is a sample of the same distribution."""
    way = table.interpolate_seeds(400, (3, 4), frames=4, sampler=Sampling(sampler, 12))
    for x, seed in ((way[0], 3), (way[-1], 4)):
        np.testing.assert_allclose(x, table.sample(400, seed, sampler, 12), rtol=1e-6)
    spread = table.sample(400, 3, sampler, 12).std(0)
    for x in way:
        np.testing.assert_allclose(x.std(0), spread, rtol=5 * (2 / 800) ** 0.5 * 2**0.5)
    near, far = np.abs(way[1] - way[0]).mean(), np.abs(way[-1] - way[0]).mean()
    assert near < far
    for wrong in ({"count": 0}, {"count": 3, "frames": 1}):
        with pytest.raises(ValueError, match="got"):
            table.interpolate_seeds(**wrong)


def test_a_grid_is_another_way_through_the_same_levels(table):
    few = table.sample(200, 1, Heun(), 60)
    np.testing.assert_allclose(table.sample(200, 1, Heun(), 60, schedule=LogLevel()), few, rtol=0, atol=0.3)
    levels = (40.0, 4.0, 0.4, 0.04)
    drawn = table.sample(5, 1, Heun(), schedule=ExplicitLevels(levels))
    way = [level for level, _ in table.trajectory(5, 1, Heun(), schedule=ExplicitLevels(levels))]
    assert drawn.shape == (5, 2)
    np.testing.assert_allclose(way, (*levels, 0))
    with pytest.raises(ValueError, match="4 levels make 3 steps, got steps=7"):
        table.sample(5, 1, Heun(), 7, schedule=ExplicitLevels(levels))


def test_a_model_keeps_its_schedule(table, tmp_path):
    model = Model(
        table.schema, table.standardize, table.denoiser, table.moments, Sampling(Heun(), 9, Karras(5.0), table.process)
    )
    with pytest.raises(
        FileNotFoundError, match=r"^there is no folder .*none to write m.safetensors into: make it first$"
    ):
        model.save(tmp_path / "none" / "m.safetensors")
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert (again.sampler, again.steps, again.schedule) == (Heun(), 9, Karras(5.0))
    np.testing.assert_array_equal(again.sample(7, 1), model.sample(7, 1))
    np.testing.assert_array_equal(again.sample(7, 1), table.sample(7, 1, Heun(), 9, schedule=Karras(5.0)))


def test_the_old_keyword_for_a_schedule_warns(table):
    with pytest.warns(DeprecationWarning, match="grid= is now schedule=: write schedule="):
        old = table.sample(5, 1, Heun(), 9, grid=Karras(5.0))
    np.testing.assert_array_equal(old, table.sample(5, 1, "heun(steps=9, schedule=karras(5))"))
    np.testing.assert_array_equal(old, table.with_sampling(Sampling(Heun(), 9, Karras(5.0))).sample(5, 1))
    with pytest.raises(TypeError, match="grid= is the old name of schedule=: give schedule= alone"):
        table.encode(np.zeros((2, 2)), grid=Karras(), schedule=Karras())
