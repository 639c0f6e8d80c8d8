"""Small tables: mixtures by cross-validation, and the weight of a network beside them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import scorefield
from scorefield.denoisers import Blended, Denoiser, Gaussian, Mixture, Preconditioned
from scorefield.fitting import Fitted, Options, plan, prepare, train
from scorefield.fitting.blending import best_weight, blended
from scorefield.fitting.mixture import Shrinkage, _Data, fit_mixture
from scorefield.model import Model
from scorefield.nn import MLP
from scorefield.objectives import DenoisingScoreMatching, LogNormal
from scorefield.rng import Samples
from scorefield.settings import Data, Network, Training
from scorefield.toys import Donut

D = torch.float64


def truth(size: int = 2) -> Mixture:
    """Three Gaussians that overlap little, of about unit variance in every direction."""
    means = torch.zeros(3, size, dtype=D)
    means[:, :2] = torch.tensor([[-1.2, 0.6], [1.2, 0.4], [0.0, -1.2]], dtype=D)
    roots = 0.3 * torch.eye(size, dtype=D) + 0.15 * Samples(1, count=3).normal((3, size, size), D) / size**0.5
    return Mixture(means, roots @ roots.mT, torch.tensor([0.3, 0.3, 0.4], dtype=D))


def draws(count: int, size: int = 2, seed: int = 0) -> Tensor:
    return truth(size).sample(count, Samples(seed, count=count))


# -- mixtures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [400, 3000])
@pytest.mark.parametrize("size", [2, 6])
def test_a_mixture_is_found_as_well_as_its_number_of_parameters_allows(size, count):
    """The expected divergence of a fitted model with p parameters is p / 2N, with a standard deviation of √(p/2) / N."""
    found = fit_mixture(draws(count, size))
    assert found.components in (3, 4)
    new = draws(20_000, size, seed=1)
    divergence = float((truth(size).log_prob(new) - found.mixture.double().log_prob(new)).mean())
    parameters = 2 + 3 * size + 3 * size * (size + 1) / 2
    assert 0 < divergence < 1.5 * (parameters / 2 + 4 * (parameters / 2) ** 0.5) / count


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_gaussian_is_one_component(size):
    x = Samples(3, count=500).normal((500, size), D) * torch.linspace(0.5, 1.5, size, dtype=D)
    found = fit_mixture(x)
    assert found.components == 1
    torch.testing.assert_close(found.mixture.means[0].double(), x.mean(0), rtol=0, atol=1e-5)
    covariance = torch.cov(x.T, correction=0).reshape(size, size) + 1e-4 * torch.eye(size, dtype=D)
    torch.testing.assert_close(found.mixture.covariances[0].double(), covariance, rtol=1e-4, atol=1e-5)


def test_components_of_different_sizes_share_a_shape():
    """Five narrow and wide components: half as far from the truth as with one common covariance."""
    g = torch.Generator().manual_seed(0)
    root = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64)).Q * torch.linspace(0.2, 1, 6).double()
    sizes = torch.tensor([1e-2, 3e-2, 0.1, 0.3, 1.0], dtype=torch.float64)
    means = torch.randn(5, 6, generator=g, dtype=torch.float64)
    truth = Mixture(means, sizes[:, None, None] * (root @ root.mT), torch.full((5,), 0.2, dtype=torch.float64))
    x, new = truth.sample(200, Samples(0, 0, 200)), truth.sample(4000, Samples(1, 0, 4000))
    found = fit_mixture(x)
    alike = _Data.of(x, 1e-2).best(torch.ones(1, 200).double(), found.components, Shrinkage(found.shrinkage.rows), 0, 4)
    common = Mixture(*(part[0] for part in (alike[0].means, alike[0].covariances, alike[0].weights)))
    far, near = (
        float((truth.log_prob(new) - each.log_prob(new.to(each.means.dtype))).mean())
        for each in (common, found.mixture)
    )
    assert found.shrinkage.sized and found.components >= 4 and near < far / 2 and near < 0.5, (found, near, far)


def test_the_score_is_that_of_new_rows():
    """Cross-validation is honest: fits to 4/5 of the rows are a little worse than the final one, and not better."""
    found = [fit_mixture(draws(300, seed=seed), seed) for seed in range(6)]
    new = draws(20_000, seed=99)
    said = torch.tensor([fit.held_out for fit in found])
    true = torch.tensor([float(fit.mixture.double().log_prob(new).mean()) for fit in found])
    error = float(truth().log_prob(new).std()) / (6 * 300) ** 0.5
    assert abs(float((said - true).mean())) < 4 * error


def test_narrow_data_keep_a_width():
    x = draws(200)
    x = torch.cat([x, x.sum(1, keepdim=True)], 1)  # on a plane
    found = fit_mixture(x, width=0.02)
    assert float(found.mixture.values.min()) > 0.9 * 0.02**2
    spikes = torch.cat([torch.zeros(100, 2, dtype=D), draws(100)])  # half of the rows are equal
    assert bool(fit_mixture(spikes, width=0.02).mixture.log_prob(spikes.float()).isfinite().all())


def test_mixtures_are_functions_of_data_and_seed():
    one, same, other = (fit_mixture(draws(200), seed) for seed in (0, 0, 1))
    assert torch.equal(one.mixture.means, same.mixture.means) and one[1:] == same[1:]
    assert one.held_out != other.held_out
    with pytest.raises(ValueError, match="needs 10 rows"):
        fit_mixture(draws(9))


# -- the weight of a network ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("best", [0.0, 0.3, 0.5, 1.0])
def test_the_weight_of_least_loss(best):
    w = torch.tensor([0.0, 0.5, 1.0], dtype=D)
    losses = torch.rand(50, 1, dtype=D, generator=torch.Generator().manual_seed(0)) * (w - best) ** 2
    assert best_weight(losses) == pytest.approx(best, abs=1e-3)


def test_outside_of_the_parts_the_better_one_is_taken():
    w = torch.tensor([0.0, 0.5, 1.0], dtype=D)
    assert best_weight((w + 1)[None] ** 2) == 0
    assert best_weight((w - 2)[None] ** 2) == 1
    assert best_weight(torch.tensor([[1.0, 0.5, 0.0]])) == 1  # a line
    assert best_weight(torch.ones(1, 3)) == 0  # nothing is gained


def test_few_rows_that_disagree_make_cautious():
    w = torch.tensor([0.0, 0.5, 1.0], dtype=D)
    rows = torch.stack([(w - 0.0) ** 2, (w - 0.0) ** 2, 1.9 * (w - 1.0) ** 2])
    assert 0.2 < best_weight(rows) < 0.8
    assert abs(best_weight(rows.repeat(300, 1)) - 1.9 / 3.9) < 0.03  # many rows: the minimum itself


def test_a_blend_is_no_worse_than_its_parts():
    """With the weight of least loss, on the rows that chose it, up to the caution of the bootstrap."""
    objective, rows = DenoisingScoreMatching(LogNormal()), draws(300).float()
    wide, narrow = (Gaussian(torch.zeros(2), torch.full((2,), variance)) for variance in (2.0, 0.5))
    found, loss = blended(wide, narrow, rows, objective)
    ends = [blended(one, one, rows, objective)[1] for one in (wide, narrow)]
    assert 0 < found.share < 1
    assert loss < min(ends)


class Below(Denoiser):
    """One denoiser below a level, another one above."""

    def __init__(self, low: Denoiser, high: Denoiser, level: float) -> None:
        super().__init__()
        self.low, self.high, self.level = low, high, level

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return torch.where(level < self.level, self.low(x, level), self.high(x, level))


def test_low_levels_have_a_weight_of_their_own_where_rows_ask_for_it():
    """What was learned is right above a level alone; the baseline below it alone."""
    thin = torch.tensor([[1.0, 0.999], [0.999, 1.0]])
    right = Gaussian(torch.zeros(2), thin)
    wide, round_ = Gaussian(torch.zeros(2), 9 * thin), Gaussian(torch.zeros(2), torch.eye(2))
    rows = right.sample(200, Samples(0, count=200))
    objective = DenoisingScoreMatching(LogNormal())
    found, _ = blended(Below(right, round_, 0.05), Below(wide, right, 0.05), rows, objective, lowest=0.002)
    assert isinstance(found.weight, tuple) and found.levels[0] == pytest.approx(0.002)
    assert all((weight < 0.1) == (level < 0.05) for weight, level in zip(found.weight, found.levels))
    assert min(weight for weight, level in zip(found.weight, found.levels) if level > 0.05) > 0.8
    everywhere, _ = blended(round_, right, rows, objective, lowest=0.002)
    assert everywhere.share > 0.95


def test_thin_directions_keep_their_width():
    """Two columns with a correlation of 0.9999: differences came out 1.4 times as wide."""
    x = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.9999], [0.9999, 1]], 1000)
    drawn = fitted(torch.from_numpy(x), 300).model.sample(4000, seed=3)
    ratio = (drawn[:, 0] - drawn[:, 1]).std() / (x[:, 0] - x[:, 1]).std()
    assert abs(ratio - 1) < 0.06 + 3 / math.sqrt(2 * 4000)  # what a short training leaves


def test_many_rows_have_a_mixture_for_low_levels_alone():
    """Of a thin direction the network knows little yet; without one that is wide it stays alone."""
    thin = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.999], [0.999, 1]], 6000)
    found = fitted(torch.from_numpy(thin), 60)
    assert isinstance(found.model.denoiser, Blended) and found.model.denoiser.weight[-1] == 1.0
    drawn = found.model.sample(4000, seed=3)
    ratio = (drawn[:, 0] - drawn[:, 1]).std() / (thin[:, 0] - thin[:, 1]).std()
    assert abs(ratio - 1) < 0.06 + 3 / math.sqrt(2 * 4000)
    exact = Gaussian(torch.zeros(1), torch.ones(1))
    same, _ = blended(
        exact, exact, torch.from_numpy(thin[:500, :1]).float(), DenoisingScoreMatching(LogNormal()), common=1.0
    )
    assert same.weight == 1.0 and same.levels == ()


# -- fits ----------------------------------------------------------------------------------------------------------


def divergences(fitted: Fitted, toy: Any, new: Tensor) -> list[float]:
    """Of the network alone, of the mixture alone and of the model."""
    model, blend, found = fitted.model, fitted.model.denoiser, []
    assert isinstance(blend, Blended) and isinstance(blend.learned, Preconditioned)
    for denoiser in (blend.learned, blend.baseline, blend):
        part = Model(model.schema, model.standardize, denoiser, model.moments, model.sampling)
        found.append(float((toy.log_prob(new) - part.log_prob(new.numpy(), tolerance=1e-3).value).mean()))
    return found


def fitted(x: Tensor, steps: int) -> Fitted:
    options = Options(training=Training(steps=steps))
    return train(plan(prepare(x.numpy(), options), options))


def test_small_smooth_tables_are_fitted_as_well_as_by_a_mixture():
    found = fitted(draws(300, 6), steps=200)
    network, mixture, both = divergences(found, truth(6), draws(300, 6, seed=1))
    assert found.record["share_of_network"] == found.model.denoiser.share < 0.5
    assert both < network / 2 and both < 1.2 * mixture


@pytest.mark.slow
def test_a_network_learns_what_mixtures_miss():
    """A ring, for which a mixture needs many components."""
    x, new = (Donut().sample(count, Samples(seed, count=count)) for count, seed in ((500, 0), (300, 1)))
    _, mixture, both = divergences(fitted(x, steps=1200), Donut(), new)
    assert both < 0.8 * mixture


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (draws(200), {"network": Network(widths=(8,))}),
        (draws(200), {"network": MLP(2, 8, 1)}),
        (draws(200), {"parametrization": "noise"}),
        (draws(200), {"objective": "slicedscorematching"}),
        (draws(200), {"units": (0.0, 2.0)}),
        (draws(200), {"data": Data(held_out=0)}),
        (draws(9), {}),
        (draws(200, 21), {}),
        (draws(400).reshape(50, 1, 4, 4), {"data": Data(structure="grid")}),
    ],
    ids=[
        "widths",
        "network",
        "parametrization",
        "objective",
        "units",
        "nothing held out",
        "few",
        "wide",
        "grid",
    ],
)
def test_where_the_network_stays_alone(x, options):
    wish = Options(**options)
    found = plan(prepare(x.numpy(), wish), wish)
    assert found.baseline is None and "baseline" not in [choice.name for choice in found.choices]


def test_the_choice_is_explained_and_saved(tmp_path):
    x = draws(200).numpy()
    chosen = []
    model = scorefield.fit(x, steps=60, begin=lambda found: chosen.append(found.choice("baseline")))
    assert chosen[0].value.startswith("a mixture of") and "cross-validation" in chosen[0].reason
    model.save(tmp_path / "model.safetensors")
    again = scorefield.load(tmp_path / "model.safetensors")
    assert again.denoiser.weight == model.denoiser.weight
    np.testing.assert_array_equal(again.sample(20, seed=1), model.sample(20, seed=1))


def test_given_a_context_the_network_stays_alone():
    x = draws(200).numpy()
    wish = Options()
    assert plan(prepare(x[:, :1], wish, x[:, 1:]), wish).baseline is None
