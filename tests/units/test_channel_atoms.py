"""Point masses of channels of grids: zeros of rain, caps of sensors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield import Data, load, spec
from scorefield.data import ArrayRows, Schema
from scorefield.denoisers import Denoiser, Gaussian, Mixture
from scorefield.evaluation.fields import shares_of_atoms
from scorefield.fitting import Options, prepare
from scorefield.measurement import Mask, Measurement
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.samplers import Heun, Sampling
from scorefield.units import ChannelUnits, ColumnMap, Standardize
from scorefield.units.choose_channels import choose_channels
from scorefield.units.end_atoms import SPREAD
from scorefield.units.wishes import Wish

D = torch.float64
GAP, MARGIN, LOCATION, SCALE = 1.2, 0.1, 0.4, 0.8


def rain_units(shape: tuple[int, ...] = (1, 1, 1)) -> ChannelUnits:
    """log(x + 1), zeros and a cap at 9 are atoms."""
    column = ColumnMap(base="log", lower=-1.0, location=LOCATION, scale=SCALE)
    near = torch.tensor([[MARGIN, 0.5]]).double()
    return ChannelUnits(shape, (column,), near, ((0.0, 9.0),), torch.tensor([[GAP, 0.7]]).double())


def state_of(x: float) -> float:
    return (math.log(x + 1) - LOCATION) / SCALE


def grid(*values: float) -> Tensor:
    return torch.tensor(values, dtype=D)[:, None, None, None]


def test_states_of_atoms_lie_behind_gaps_and_come_back_exactly():
    units = rain_units()
    assert units.atoms == ((0.0, 9.0),) and units.has_cells and units.bounds == ((0.0, 9.0),)
    low, high = state_of(MARGIN), state_of(8.5)
    torch.testing.assert_close(units(grid(0, MARGIN, 2, 8.5, 9)), grid(low - GAP, low, state_of(2), high, high + 0.7))
    beyond = grid(-50, low - GAP / 2 - 1e-6, low - GAP / 2 + 1e-6, high + 0.35 - 1e-6, high + 0.35 + 1e-6, 50)
    found = units.inverse(beyond).flatten()
    assert found[[0, 1]].tolist() == [0, 0] and found[[4, 5]].tolist() == [9, 9]
    assert 0 < float(found[2]) < MARGIN and 8.5 < float(found[3]) < 9
    x = grid(0.0, 1e-7, 0.03, 0.1, 3.0, 8.7, 9.0)
    torch.testing.assert_close(units.inverse(units(x)), x)
    for place in torch.linspace(0, 1, 11).double():  # any place in an atom is the atom
        assert torch.equal(units.inverse(units(x, torch.full_like(x, float(place))))[[0, 6]], x[[0, 6]])
    single = x.float()
    assert units(single).dtype == torch.float32
    assert torch.equal(units.inverse(units(single))[[0, 6]].float(), single[[0, 6]])


def test_the_volume_is_the_derivative():
    units, x = rain_units(), grid(0.02, 0.07, 2.0, 8.6, 8.9)
    slope = torch.autograd.functional.jacobian(lambda v: units(v).sum(), x)
    torch.testing.assert_close(units.log_volume(x), slope.log().flatten())
    ends = grid(0.0, 9.0)
    place, step = torch.tensor([[0.2], [0.9]]).double()[:, None, None], 1e-6
    rate = (units(ends, place + step) - units(ends, place - step)) / (2 * step)
    torch.testing.assert_close(units.log_volume(ends, place).exp(), rate.flatten(), rtol=1e-6, atol=0)


def test_errors_of_states_are_finite_in_channels_with_atoms_and_without():
    columns, near = (ColumnMap(), ColumnMap(scale=2.0)), torch.tensor([[0.1, 0.0], [0.0, 0.0]]).double()
    units = ChannelUnits((2, 1, 1), columns, near, ((0.0, None), (None, None)), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    x = torch.tensor([[0.05, 5.0], [3.0, 0.0], [0.0, 1.0]]).double()[..., None, None]
    found = units.state_errors(x, torch.full_like(x, 0.3))[..., 0, 0]
    slope = torch.func.jvp(units.forward, (x,), (torch.full_like(x, 0.3),))[1].abs()[..., 0, 0]
    torch.testing.assert_close(found, slope)
    torch.testing.assert_close(found, torch.tensor([[0.3 * 5, 0.15], [0.3, 0.15], [0.0, 0.15]]).double())


@pytest.mark.parametrize(("x", "side"), [(0.0, -1), (9.0, 1)])
def test_the_mean_over_places_is_the_probability(x, side):
    """For any density of states: that of a normal distribution a little beside the middle of the atom."""
    units, count = rain_units(), 20_001
    place = ((torch.arange(count).double() + 0.5) / count)[:, None, None, None]
    gap = GAP if side < 0 else 0.7
    nearest = state_of(MARGIN if side < 0 else 8.5)
    target = torch.distributions.Normal(nearest + side * gap * (1 - 0.02), 0.8 * SPREAD * gap)
    value = torch.full((count, 1, 1, 1), x, dtype=D)
    mean = (target.log_prob(units(value, place)).flatten() + units.log_volume(value, place)).exp().mean()
    assert float(mean) == pytest.approx(1.0, abs=1e-3)


def test_what_measurements_follow_does_not_vanish_at_atoms():
    units = rain_units()
    u = grid(state_of(MARGIN) - GAP, state_of(MARGIN) - 0.1, state_of(MARGIN) + 1e-9).requires_grad_()
    slope = torch.autograd.grad(units.inverse(u).sum(), u)[0].flatten()
    torch.testing.assert_close(slope, torch.full((3,), SCALE * (1 + MARGIN), dtype=D), rtol=1e-6, atol=0)


def test_units_without_gaps_are_what_they_were():
    column, near = ColumnMap(base="log", lower=-1.0), torch.tensor([[0.1, 0.0]]).double()
    old = ChannelUnits((1, 1, 1), (column,), near, ((0.0, None),))
    assert old.gaps is None and not old.has_cells and old.atoms == ((),)
    assert units_of(old, 0.0, 2.0) == pytest.approx([math.log(1.05), math.log(3.0)])
    with pytest.raises(ValueError, match="an atom of a channel is on a bound"):
        ChannelUnits((1, 1, 1), (column,), near, ((0.0, None),), torch.tensor([[0.0, 1.0]]))


def units_of(units: ChannelUnits, *values: float) -> list[float]:
    found: list[float] = units(grid(*values)).flatten().tolist()
    return found


# -- the choice ------------------------------------------------------------------------------------------------------


def fields(seed: int = 0, count: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 1, 4, 5))


def chosen(x: np.ndarray, quantities: bool = False) -> tuple[ChannelUnits | Standardize, tuple[str, ...]]:
    wishes = [Wish(c) for c in range(x.shape[1])]
    return choose_channels(torch.from_numpy(x).double(), wishes, quantities=quantities)  # type: ignore[return-value]


def test_atoms_are_found_with_their_shares():
    g = fields()
    rain, capped = np.maximum(g - 0.2, 0) ** 2, np.clip(g, -1.0, 1.5)
    filled = np.where(np.random.default_rng(1).random(g.shape) < 0.04, -999.0, g)
    units, reasons = chosen(np.concatenate([rain, capped, filled, g], 1).astype("f4"))
    assert units.atoms == ((0.0,), (-1.0, 1.5), (-999.0,), ())
    shares = [(rain == 0).mean(), (capped == -1).mean(), (capped == 1.5).mean(), (filled == -999).mean()]
    texts = [f"{100 * share:.2g} %" for share in shares]
    assert reasons[0] == f"atoms at 0 ({texts[0]}), else softplus: skewed"
    assert reasons[1] == f"atoms at -1 ({texts[1]}) and 1.5 ({texts[2]}), else affine"
    assert reasons[2] == f"atoms at -999 ({texts[3]}), else affine" and reasons[3] == "affine"
    states = units(torch.from_numpy(np.concatenate([rain, capped, filled, g], 1)))
    torch.testing.assert_close(states.mean((0, 2, 3)), torch.zeros(4).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(states.std((0, 2, 3), correction=0), torch.ones(4).double(), atol=1e-6, rtol=0)


def test_continuous_fields_whole_numbers_and_images_have_none():
    g, rng = fields(), np.random.default_rng(0)
    counts = rng.poisson(0.7, g.shape).astype("f4")
    for x in (g, counts, np.round(np.abs(g), 1)):
        assert isinstance(chosen(x)[0], Standardize)
    assert chosen(np.exp(g))[0].atoms == ((),)  # the smallest value once
    images = np.where(rng.random((300, 8, 8)) < 0.5, 0, rng.integers(1, 256, (300, 8, 8)))
    for x in (images.astype("u1"), (images / 255).astype("f4"), (images / 127.5 - 1).astype("f4")):
        made = prepare(x)
        assert isinstance(made.units, Standardize) and made.cells is not None
    bounded = prepare((images / 255).astype("f4"), Options(data=Data(bounds={0: (0, 1)}))).units
    assert bounded.gaps is None and bounded.channels[0].base == "logit"


def test_channels_of_arrays_above_0_are_bounded_but_those_of_pictures():
    rng, g = np.random.default_rng(0), fields()
    amount = rng.gamma(2.0, 3.0, g.shape)
    units, reasons = chosen(np.concatenate([amount, g], 1))
    assert reasons == ("softplus: nowhere negative", "affine") and units.bounds == ((0.0, None), (None, None))
    x = torch.randn(500, *g.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(
        -1, 2, -1, -1
    )
    assert float(units.inverse(10 * x)[:, 0].min()) >= 0
    for plain in (amount / amount.max(), np.repeat(amount, 3, 1), amount + 50, amount - 0.1):
        assert isinstance(chosen(plain)[0], Standardize)
    assert isinstance(prepare(np.ceil(amount)).units, Standardize)  # whole numbers stand for cells


def test_amounts_have_the_base_that_fits_their_density():
    """The states of exponential values are logistic, which is exact; lognormal ones have normal states by a logarithm."""
    rng, shape = np.random.default_rng(0), (400, 1, 10, 10)
    units, (reason,) = chosen(rng.exponential(5.0, shape))
    assert reason == "softplus: nowhere negative"
    column = units.channels[0]
    z = units(torch.from_numpy(rng.exponential(5.0, shape))).flatten() * column.scale + column.location
    assert stats.kstest(z.numpy() / column.bend, "logistic").pvalue > 0.01
    assert column.bend == pytest.approx(5.0, rel=0.03)
    for draw in (rng.weibull(1.5, shape), rng.gamma(0.5, 1.0, shape), np.abs(rng.normal(size=shape))):
        assert chosen(draw, True)[1] == ("softplus: nowhere negative",)
    assert chosen(rng.lognormal(0, 0.7, shape))[1] == ("log: nowhere negative",)


@pytest.mark.parametrize("structure", ["grid", "series"])
def test_arrays_and_series_and_a_request_for_none(structure):
    shape = (300, 6, 5) if structure == "grid" else (300, 40)
    x = np.maximum(np.random.default_rng(0).normal(size=shape), 0.3).astype("f4")
    data = Data(structure="grid")
    made = prepare(x, Options(data=data))
    assert made.units.atoms == ((float(np.float32(0.3)),),)
    (said,) = [c.reason for c in made.choices if c.name == "units"]
    assert said.startswith(f"atoms at 0.3 ({100 * (x == x.min()).mean():.2g} %)")
    rows = made.split.train.take(range(20), D)
    back = made.units.inverse(made.units(rows)).float()
    assert torch.equal(back == back.min(), rows == rows.min())
    assert isinstance(prepare(x, Options(data=Data(maps="affine"))).units, Standardize)


# -- what is compared of samples, and files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "spread", "found"), [(0.0, 0.0, None), (0.3, 0.0, "share of 0"), (0.0, 1.5, "variance")]
)
def test_shares_of_atoms_are_compared(shift, spread, found):
    """Fields that are drier, and fields some of which are all dry and others all wet."""
    rng = np.random.default_rng(0)

    def drawn(count: int, shift: float, spread: float) -> ArrayRows:
        level = spread * rng.normal(size=(count, 1, 1, 1))
        return ArrayRows(np.maximum(rng.normal(size=(count, 1, 4, 4)) + level - shift, 0))

    near = torch.tensor([[1e-6, 0.0]]).double()
    units = ChannelUnits((1, 4, 4), (ColumnMap(),), near, ((0.0, None),), torch.tensor([[1.0, 0.0]]))
    schema = Schema.of(np.zeros((2, 4, 4)), "grid", "none")
    (family,) = shares_of_atoms(schema, units, drawn(300, shift, spread), drawn(300, 0, 0), None)
    assert family.labels == ("share of 0 in channel 1", "variance of the share of 0 in channel 1")
    assert family.real[0] == pytest.approx(0.5, abs=0.03) and (family.distance.p_value < 0.01) == (found is not None)
    if found:
        assert found in family.labels[int(np.abs(family.differences).argmax())]
    assert shares_of_atoms(schema, Standardize((1, 4, 4)), drawn(30, 0, 0), drawn(30, 0, 0), None) == ()


def test_a_file_keeps_the_atoms_and_one_without_them_has_none(tmp_path):
    known = rain_model()
    model = Model(known.schema, known.standardize, known.moments, known.moments, known.sampling)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors").standardize
    x = torch.tensor([[[[0.0, 9.0]]], [[[2.0, 0.05]]]], dtype=D)
    assert again.atoms == ((0.0, 9.0),) and torch.equal(again(x), model.standardize(x))
    described = spec.describe(model.standardize, tensors := [])
    del described["arguments"]["gaps"]  # as it was written before there were any
    before = spec.build(described, tensors=tensors)
    assert before.gaps is None and not before.has_cells and bool((before(x) != again(x)).any())


# -- log-densities, against a distribution that is known --------------------------------------------------------------


class Grid(Denoiser):
    """A denoiser of vectors as one of grids `(1, 1, n)`."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        found: Tensor = self.inner(x.flatten(1), level).reshape(x.shape)
        return found


DRY, WET, DEVIATION = state_of(MARGIN) - GAP, 1.1, 0.2
WEIGHTS = torch.tensor([0.4, 0.15, 0.1, 0.35], dtype=D)  # both dry, the second wet, the first wet, both wet


def rain_model() -> Model:
    """Two places, whose being dry depends on each other, and so does how wet they are."""
    means = torch.tensor([[DRY, DRY], [DRY, WET], [WET, DRY], [WET, WET]], dtype=D)
    small, large = (SPREAD * GAP) ** 2, DEVIATION**2
    diagonals = [[small, small], [small, large], [large, small], [large, large]]
    covariances = torch.stack([torch.diag(torch.tensor(each, dtype=D)) for each in diagonals])
    covariances[3, 0, 1] = covariances[3, 1, 0] = 0.6 * large
    mixture = Mixture(means, covariances, WEIGHTS)
    moments = mixture.moments()
    moments = Gaussian(moments.mean.reshape(1, 1, 2), moments.covariance.diagonal().reshape(1, 1, 2))
    schema = Schema.of(np.linspace(0, 9, 24).reshape(4, 1, 1, 6)[..., :2], "grid", channels="first")
    return Model(schema, rain_units((1, 1, 2)), Grid(mixture), moments, Sampling(Heun(), 40, process=EDM(0.002, 80.0)))


def test_log_prob_is_a_probability_of_atoms_and_a_density_of_the_rest():
    model = rain_model()
    assert model.schema.inner_shape == (1, 1, 2)
    x = np.array([[0, 0], [0, 2.0], [2.0, 0], [1.7, 2.5]])[:, None, None]
    found = model.log_prob(x)
    z = torch.tensor([[state_of(v) for v in row] for row in x[:, 0, 0]], dtype=D)
    slope = -math.log(SCALE) - torch.log1p(torch.from_numpy(x[:, 0, 0]))
    normal = torch.distributions.Normal(WET, DEVIATION)
    both = torch.distributions.MultivariateNormal(
        torch.full((2,), WET, dtype=D), DEVIATION**2 * torch.tensor([[1, 0.6], [0.6, 1]], dtype=D)
    )
    exact = WEIGHTS.log()
    exact[1] += normal.log_prob(z[1, 1]) + slope[1, 1]
    exact[2] += normal.log_prob(z[2, 0]) + slope[2, 0]
    exact[3] += both.log_prob(z[3]) + slope[3].sum()
    torch.testing.assert_close(found.value, exact, atol=5e-3, rtol=0)


def test_what_was_measured_leads_away_from_atoms_and_says_how_probable_others_are():
    """It is wet at the second place: the first one is dry with the probability 0.15 / (0.15 + 0.35)."""
    measured = Measurement(Mask(torch.tensor([[[False, True]]])), torch.tensor([2.0]), 0.05)
    drawn = rain_model().observe(measured).sample(100, steps=16)
    first, second = drawn[:, 0, 0, 0], drawn[:, 0, 0, 1]
    assert second.min() > 1.7 and second.mean() == pytest.approx(2.0, abs=0.05)
    assert (first == 0).mean() == pytest.approx(0.3, abs=3.5 * math.sqrt(0.21 / 100))
