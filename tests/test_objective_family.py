"""All objectives have the same mean and the same minimizer; their variances differ."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from scorefield.data import ArrayRows
from scorefield.denoisers import Denoiser, EDMPrediction, Gaussian, Preconditioned, ScorePrediction, WithUncertainty
from scorefield.derivatives import divergence, gradient, products
from scorefield.nn import MLP
from scorefield.objectives import (
    DenoisingScoreMatching,
    EDMWeighting,
    ExactScoreMatching,
    FisherWeighting,
    GaussianProbe,
    LearnedUncertainty,
    LevelObjective,
    LikelihoodWeighting,
    LogNormal,
    LogUniform,
    NoiseWeighting,
    ProcessLevels,
    Rademacher,
    SingleLevel,
    SlicedScoreMatching,
    Sphere,
    excess,
)
from scorefield.processes import EDM, VE, VP
from scorefield.rng import Samples, Steps
from scorefield.settings import Training
from scorefield.training import Feed, Trainer
from scorefield.units import Standardize

D = torch.float64


class Affine(Denoiser):
    """A x + b at every level, with a matrix A that is not symmetric: a wrong denoiser."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[0.7, 0.4], [-0.1, 0.2]], dtype=D))
        self.bias = nn.Parameter(torch.tensor([0.3, -0.5], dtype=D))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return x @ self.matrix.T + self.bias


def family(levels, **options) -> dict[str, LevelObjective]:
    return {
        "exact": ExactScoreMatching(levels, **options),
        "sliced": SlicedScoreMatching(levels, reduced=False, probe=Sphere(), **options),
        "sliced-vr": SlicedScoreMatching(levels, count=2, **options),
        "gauss-vr": SlicedScoreMatching(levels, probe=GaussianProbe(), **options),
    }


# -- one mean ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exact", "sliced", "sliced-vr", "gauss-vr"])
@pytest.mark.parametrize("level", [0.2, 1.5])
def test_all_objectives_have_the_mean_of_denoising(name, level, gaussian):
    """For a wrong denoiser and the same noise, the mean difference of the losses is 0 within 5 standard errors."""
    count, weighting = 15_000, EDMWeighting(0.7)
    x0, denoiser = gaussian.sample(count, Samples(0, count=count)), Affine()
    sigma = torch.tensor(level, dtype=D)
    other = family(SingleLevel(level), weighting=weighting)[name]
    known = DenoisingScoreMatching(SingleLevel(level), 0.7)
    with torch.no_grad():
        gap = other.at(denoiser, x0, sigma, Samples(1, count=count)) - known.at(
            denoiser, x0, sigma, Samples(1, count=count)
        )
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / math.sqrt(count)
    assert float(gap.std()) / math.sqrt(count) < 0.2  # the test is sharp enough to fail


@pytest.mark.parametrize("name", ["exact", "sliced", "sliced-vr"])
def test_without_noise_the_excess_is_the_error_of_the_score_of_the_data(name, gaussian):
    """With FisherWeighting, the difference from the loss of the true score is E‖s - ∇ log p‖² / n."""
    count, sigma = 15_000, torch.tensor(0.5, dtype=D)
    x0, wrong = gaussian.sample(count, Samples(0, count=count)), Affine()
    precision = torch.linalg.inv(gaussian.covariance)
    objective = family(SingleLevel(0.5), weighting=FisherWeighting(), noisy=False)[name]

    class Truth(Denoiser):
        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return x - level**2 * (x - gaussian.mean) @ precision

    with torch.no_grad():
        gap = objective.at(wrong, x0, sigma, Samples(1, count=count)) - objective.at(
            Truth(), x0, sigma, Samples(1, count=count)
        )
        error = ((wrong(x0, sigma) - Truth()(x0, sigma)) / sigma**2).square().sum(1) / 2
    gap = gap - error
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / math.sqrt(count)


def test_the_excess_is_the_mean_difference_of_losses(gaussian):
    count = 40_000
    x0, wrong = gaussian.sample(count, Samples(0, count=count)), Affine()
    objective = DenoisingScoreMatching(LogNormal(0.0, 0.5))
    found = excess(objective, wrong, gaussian, x0, Samples(1, count=count))
    with torch.no_grad():
        losses = [objective(d, x0, Samples(1, count=count)) for d in (wrong, gaussian)]
    gap = losses[0] - losses[1] - found
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / math.sqrt(count)
    assert float(excess(objective, gaussian, gaussian, x0, Samples(1, count=count)).abs().max()) == 0
    assert bool((found >= 0).all()) and float(found.mean()) > 0.1


def test_implicit_objectives_have_less_variance_at_small_levels(gaussian):
    """The variance of denoising score matching is that of the noise in its target, which the exact objective does not have."""
    level, count = torch.tensor(0.01, dtype=D), 4000
    x0 = gaussian.sample(count, Samples(0, count=count))
    with torch.no_grad():
        std = {
            name: float(o.at(gaussian, x0, level, Samples(1, count=count)).std())
            for name, o in {**family(SingleLevel(0.01)), "denoising": DenoisingScoreMatching(SingleLevel(0.01))}.items()
        }
    assert std["exact"] < std["sliced-vr"] < std["denoising"] / 50


# -- derivatives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exact", "sliced", "sliced-vr", "gauss-vr"])
@pytest.mark.parametrize("noisy", [True, False])
def test_gradients_flow_through_the_inner_derivative(name, noisy):
    """Against central differences of the loss along a random direction of all parameters."""
    torch.manual_seed(0)
    network = MLP(3, 8, 1).double()
    for p in network.parameters():
        nn.init.normal_(p, std=0.4)
    denoiser, objective = Preconditioned(network, EDMPrediction()), family(SingleLevel(0.4), noisy=noisy)[name]
    x0 = Samples(0, count=6).normal((6, 3), D)
    parameters = list(network.parameters())
    loss = objective(denoiser, x0, Steps(3).at(1)).mean()
    slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
    step = [torch.randn(p.shape, dtype=D, generator=torch.Generator().manual_seed(5)) for p in parameters]
    expected = sum(float((g * v).sum()) for g, v in zip(slopes, step) if g is not None)

    def moved(h: float) -> float:
        with torch.no_grad():
            for p, v in zip(parameters, step):
                p.add_(v, alpha=h)
            value = float(objective(denoiser, x0, Steps(3).at(1)).mean())
            for p, v in zip(parameters, step):
                p.sub_(v, alpha=h)
        return value

    assert expected == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-6)


def test_divergences_and_products():
    torch.manual_seed(0)
    a = torch.randn(6, 6, dtype=D)

    def field(x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ a.T).reshape(x.shape)

    x = torch.randn(4, 2, 3, dtype=D)
    jacobians = torch.stack([torch.autograd.functional.jacobian(field, one[None]).reshape(6, 6) for one in x])
    value, exact = divergence(field, x)
    torch.testing.assert_close(value, field(x))
    torch.testing.assert_close(exact, jacobians.diagonal(dim1=1, dim2=2).sum(1))
    assert not exact.requires_grad or torch.is_grad_enabled()
    v = torch.randn(4, 5, 2, 3, dtype=D)
    several = divergence(field, x, v).divergence
    torch.testing.assert_close(several, torch.einsum("bki,bij,bkj->bk", v.flatten(2), jacobians, v.flatten(2)))
    pushed, pulled = products(field, x, v[:, 0])
    torch.testing.assert_close(pushed.flatten(1), torch.einsum("bij,bj->bi", jacobians, v[:, 0].flatten(1)))
    torch.testing.assert_close(pulled.flatten(1), torch.einsum("bij,bi->bj", jacobians, v[:, 0].flatten(1)))
    _, slope = gradient(lambda x: x.flatten(1).pow(3).sum(1), x)
    torch.testing.assert_close(slope, 3 * x**2)
    with torch.no_grad():
        assert not any(t.requires_grad for t in (*divergence(field, x), *gradient(lambda x: x.flatten(1).sum(1), x)))


@pytest.mark.parametrize(
    ("probe", "variance"),
    [
        (Rademacher(), lambda s: 2 * (s.square().sum() - s.diagonal().square().sum())),
        (GaussianProbe(), lambda s: 2 * s.square().sum()),
        (Sphere(), lambda s: 2 * len(s) / (len(s) + 2) * (s.square().sum() - s.trace() ** 2 / len(s))),
    ],
)
def test_probes_estimate_the_trace_with_their_known_variance(probe, variance):
    a, count = torch.randn(5, 5, dtype=D, generator=torch.Generator().manual_seed(0)), 50_000
    v = probe.draw(torch.zeros(count, 5, dtype=D), Samples(0, count=count))
    found = torch.einsum("bi,ij,bj->b", v, a, v)
    expected = float(variance((a + a.T) / 2))
    assert abs(float(found.mean() - a.trace())) < 5 * math.sqrt(expected / count)
    assert float(found.var()) == pytest.approx(expected, rel=0.06)
    torch.testing.assert_close(v.T @ v / count, torch.eye(5, dtype=D), rtol=0, atol=0.03)


def test_the_mean_over_all_sign_vectors_is_exact():
    """The 2^n vectors of the Rademacher distribution."""
    x = torch.randn(1, 3, dtype=D)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=D)[None]

    def field(x: Tensor) -> Tensor:
        return torch.sin(x @ torch.arange(9, dtype=D).reshape(3, 3))

    torch.testing.assert_close(divergence(field, x, signs).divergence.mean(1), divergence(field, x).divergence)


# -- weightings ----------------------------------------------------------------------------------------------------


def test_weightings_are_their_formulas():
    level = torch.tensor([0.02, 1.0, 30.0], dtype=D)
    torch.testing.assert_close(NoiseWeighting()(level) * level**4, level**2)
    torch.testing.assert_close(FisherWeighting()(level) * level**4, torch.ones(3, dtype=D))
    torch.testing.assert_close(EDMWeighting(0.5)(level), DenoisingScoreMatching(LogNormal(), 0.5).weight(level))
    times = torch.tensor([0.05, 0.4, 0.9], dtype=D)
    for process in (VP(), VE(), EDM()):
        found = LikelihoodWeighting(process)(process.level(times))
        alpha, sigma = process(times)
        # ½ g² ‖s_t - …‖² with s_t = (D - x) / (α level²): the factor of ‖D - x_0‖²
        torch.testing.assert_close(
            found, process.sde(times)[1] / 2 / alpha**2 / (sigma / alpha) ** 4, rtol=1e-9, atol=0
        )


@pytest.mark.parametrize("process", [VE(0.05, 20.0), EDM(0.05, 20.0)], ids=["VE", "EDM"])
def test_the_likelihood_weighting_depends_only_on_the_extreme_levels_of_a_process(process, gaussian):
    """½ ∫ g² E‖s - ŝ‖² dt is the same from level to level, and for `NoiseWeighting` in log σ times ln(b/a)."""
    other = Gaussian(gaussian.mean + 0.3, 1.5 * gaussian.covariance)
    u = (torch.arange(20_000, dtype=D) + 0.5) / 20_000
    x0 = gaussian.sample(1, Samples(0, count=1)).expand(20_000, 2)

    class Fixed(Steps):
        def stratified(self, count, dtype=None, device=None):
            return u

    def mean(objective: LevelObjective) -> float:
        return float(excess(objective, other, Shifted(), x0, Fixed(0)).mean())

    class Shifted(Denoiser):
        """Wrong by a function of the level only, so that the result does not depend on the noise."""

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return other(x, level) + torch.sin(level) / (1 + level)

    found = mean(DenoisingScoreMatching(ProcessLevels(process), weighting=LikelihoodWeighting(process)))
    known = mean(DenoisingScoreMatching(LogUniform(0.05, 20.0), weighting=NoiseWeighting())) * math.log(400)
    assert found == pytest.approx(known, rel=1e-3)


# -- one minimizer -------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """F(x, c) = A x + b: can represent the score of Gaussian data at one level."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n, n)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layer(x)


class Learned(Denoiser):
    """m + C (C + σ²)⁻¹ (x - m) with C = R Rᵀ and m learned: can represent the score at all levels."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.eye(n))
        self.mean = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        covariance = self.root @ self.root.T
        total = covariance + level.reshape(-1, 1, 1) ** 2 * torch.eye(len(covariance))
        return self.mean + torch.linalg.solve(total, (x - self.mean)[..., None])[..., 0] @ covariance


def linear_gaussian(count: int = 4096) -> tuple[Tensor, Gaussian]:
    """Data whose empirical moments are exactly those of the distribution, so that no objective has a sampling error."""
    z = Samples(0, count=count).normal((count, 3), D)
    z = (z - z.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(z.T, correction=0))).T
    root = torch.tensor([[1.0, 0, 0], [0.5, 0.6, 0], [-0.4, 0.3, 0.8]], dtype=D)
    mean = torch.tensor([0.3, -0.2, 0.1], dtype=D)
    return mean + z @ root.T, Gaussian(mean, root @ root.T)


def trained(denoiser: Denoiser, objective: LevelObjective, steps: int, batch: int = 4096) -> Denoiser:
    """By the common trainer, with the average of the last weights."""
    x, _ = linear_gaussian()
    feed = Feed(ArrayRows(x), Standardize((3,), torch.zeros(3), torch.ones(3)), batch, 0)
    training = Training(steps=steps, batch=batch, rate=0.02, matrix_rate=0.0, averages=(0.1,), evaluations=1)
    trainer = Trainer(denoiser, feed, x[:100].float(), objective, training)
    for _ in trainer.run():
        pass
    trainer.flat.read(trainer.averages[0].values)
    trainer.flat.release()
    return denoiser.eval()


def score_error(denoiser: Denoiser, levels: tuple[float, ...], noisy: bool = True) -> float:
    """The largest root mean square error of the score, relative to its root mean square."""
    _, gaussian = linear_gaussian()
    found = []
    for i, level in enumerate(levels):
        sigma = torch.tensor(level, dtype=D)
        noise = level if noisy else 0.0
        x = gaussian.sample(4000, Samples(7 + i, count=4000), noise)
        truth = gradient(lambda x, noise=noise: gaussian.log_prob(x, noise), x)[1].detach()
        with torch.no_grad():
            score = (denoiser(x.float(), sigma.float()) - x.float()) / level**2
        found.append(float((score - truth).square().mean().sqrt() / truth.square().mean().sqrt()))
    return max(found)


ONE: dict[str, Callable[[], LevelObjective]] = {
    "denoising, one level": lambda: DenoisingScoreMatching(SingleLevel(0.5)),
    "denoising, one level, σ²": lambda: DenoisingScoreMatching(SingleLevel(0.5), weighting=NoiseWeighting()),
    "exact": lambda: ExactScoreMatching(SingleLevel(0.5)),
    "sliced": lambda: SlicedScoreMatching(SingleLevel(0.5), reduced=False),
    "sliced, reduced": lambda: SlicedScoreMatching(SingleLevel(0.5)),
}
DATA: dict[str, Callable[[], LevelObjective]] = {
    "exact": lambda: ExactScoreMatching(SingleLevel(0.1), FisherWeighting(), noisy=False),
    "sliced": lambda: SlicedScoreMatching(SingleLevel(0.1), FisherWeighting(), reduced=False, noisy=False),
    "sliced, reduced": lambda: SlicedScoreMatching(SingleLevel(0.1), FisherWeighting(), noisy=False),
}
MANY: dict[str, Callable[[], LevelObjective]] = {
    "EDM": lambda: DenoisingScoreMatching(LogNormal(-0.5, 1.2)),
    "σ²": lambda: DenoisingScoreMatching(LogUniform(0.05, 20.0), weighting=NoiseWeighting()),
    "likelihood": lambda: DenoisingScoreMatching(ProcessLevels(VP()), weighting=LikelihoodWeighting(VP())),
    "exact": lambda: ExactScoreMatching(LogNormal(-0.5, 1.2)),
    "sliced": lambda: SlicedScoreMatching(LogNormal(-0.5, 1.2), reduced=False),
    "sliced, reduced": lambda: SlicedScoreMatching(LogNormal(-0.5, 1.2)),
    "learned uncertainty": lambda: LearnedUncertainty(DenoisingScoreMatching(LogNormal(-0.5, 1.2))),
}


def some(names: dict, quick: set[str]) -> list:
    """All of them; those that are not quick are in the slow suite."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", some(ONE, {"denoising, one level", "exact", "sliced, reduced"}))
def test_every_objective_recovers_the_score_at_one_level(name):
    """To 1 %, from data with exact moments."""
    denoiser = trained(Preconditioned(Linear(3), EDMPrediction()), ONE[name](), 400)
    assert score_error(denoiser, (0.5,)) < 0.01


@pytest.mark.parametrize("name", some(DATA, {"sliced, reduced"}))
def test_the_score_of_data_without_noise(name):
    denoiser = trained(Preconditioned(Linear(3), ScorePrediction()), DATA[name](), 400)
    assert score_error(denoiser, (0.1,), noisy=False) < 0.01


@pytest.mark.parametrize("name", some(MANY, {"EDM"}))
def test_every_objective_recovers_the_score_at_all_levels(name):
    denoiser: Denoiser = Learned(3)
    if name == "learned uncertainty":
        denoiser = WithUncertainty(denoiser)
    steps = 500 if name == "EDM" else 3000
    assert score_error(trained(denoiser, MANY[name](), steps), (0.3, 1.0, 5.0)) < 0.01


def test_the_learned_uncertainty_is_the_logarithm_of_the_loss():
    """Here of the exact denoiser, with the weight 1/σ²."""
    _, gaussian = linear_gaussian()
    single = Gaussian(gaussian.mean.float(), gaussian.covariance.float())
    objective = DenoisingScoreMatching(LogUniform(0.1, 10.0), weighting=NoiseWeighting())
    denoiser = trained(WithUncertainty(single), LearnedUncertainty(objective), 500)
    for level in (0.15, 0.5, 1.0, 3.0, 8.0):
        u = denoiser.log_loss(torch.tensor(level)).item()
        loss = float((gaussian.values / (gaussian.values + level**2)).mean())
        assert u == pytest.approx(math.log(loss), abs=0.1)


# -- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SingleLevel(0.0), r"SingleLevel needs a positive, finite level, got 0: use a small one for no noise"),
        (
            lambda: EDMWeighting(math.inf),
            r"EDMWeighting needs 0 < scale < ∞, .* got scale=inf: use NoiseWeighting\(\) for 1/σ² alone",
        ),
        (
            lambda: SlicedScoreMatching(LogNormal(), count=0),
            "SlicedScoreMatching needs at least 1 direction per sample, got count=0",
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_learned_uncertainty_needs_a_denoiser_with_uncertainty():
    objective = LearnedUncertainty(DenoisingScoreMatching(LogNormal()))
    with pytest.raises(TypeError, match=r"LearnedUncertainty needs a WithUncertainty\(denoiser\), .* got Affine: wrap"):
        objective(Affine(), torch.zeros(2, 2, dtype=D), Steps(0))
