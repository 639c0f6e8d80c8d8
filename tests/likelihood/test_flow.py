import dataclasses
import math

import pytest
import torch
import torch.nn as nn
from torch import Tensor

from scorefield.denoisers import Denoiser, Gaussian, Mixture, Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.likelihood import LogProb, log_prob
from scorefield.processes import EDM, VE, VP, Flow, Process, SubVP
from scorefield.rng import Samples
from scorefield.toys import Field, eight_gaussians

PROCESSES: list[Process] = [VE(0.01, 500.0), VP(), SubVP(), EDM(0.002, 500.0), Flow()]
ZERO = torch.zeros((), dtype=torch.float64)


def mixture(size: int) -> Mixture:
    """Three Gaussians of random covariances, apart but not separate."""
    rng = Samples(seed=size, count=3)
    roots = 0.3 * rng.normal((3, size, size), torch.float64)
    eye = 0.2 * torch.eye(size, dtype=torch.float64)
    means = 1.5 * rng.child("means").normal((3, size), torch.float64)
    return Mixture(means, roots @ roots.mT + eye, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))


def gaussian(size: int) -> Gaussian:
    return mixture(size).moments()


def draw(law: Gaussian | Mixture, count: int) -> Tensor:
    return law.sample(count, Samples(seed=1, count=count))


class Silu(nn.Module):
    """A small network in float32, of data of any shape."""

    def __init__(self, size: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(size + 1, 32), nn.SiLU(), nn.Linear(32, size))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), c[:, None]], 1)).reshape(x.shape)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_mixtures_at_a_tight_tolerance(process: Process, size: int) -> None:
    law = mixture(size)
    x = draw(law, 12)
    result = log_prob(Diffusion(process, law, law.moments()), x, tolerance=1e-7)
    torch.testing.assert_close(result.value, law.log_prob(x, process.level(ZERO)), atol=1e-4, rtol=0)
    assert result.standard_error.tolist() == [0.0] * 12


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_gaussians_are_exact_in_a_few_steps(process: Process, size: int) -> None:
    law = gaussian(size)
    x = draw(law, 6)
    result = log_prob(Diffusion(process, law, law), x)
    torch.testing.assert_close(result.value, law.log_prob(x, process.level(ZERO)), atol=1e-9, rtol=0)
    assert int(result.evaluations.max()) <= 2 + 6 * 4 + 3


@pytest.mark.parametrize(
    ("process", "count"),
    [pytest.param(process, 12, marks=pytest.mark.slow) for process in PROCESSES],
    ids=lambda p: type(p).__name__ if isinstance(p, Process) else str(p),
)
def test_mixtures_in_64_dimensions(process: Process, count: int) -> None:
    """With both ends extrapolated, that of the data themselves."""
    law = mixture(64)
    x = draw(law, count)
    result = log_prob(Diffusion(process, law, law.moments()), x, tolerance=1e-6, extrapolate=True)
    torch.testing.assert_close(result.value, law.log_prob(x), atol=1e-4, rtol=0)


def covered(result: LogProb, true: Tensor) -> float:
    """The share of points whose error is below the standard error plus the solver's and that of the ends."""
    bars = result.standard_error + result.solver_error + result.end_error
    return float(((result.value - true).abs() <= bars).double().mean())


@pytest.mark.parametrize(
    ("law", "process", "tolerance"),
    [
        *((mixture(size), process, None) for size in (2, 8) for process in PROCESSES[:4]),
        (eight_gaussians().law, SubVP(), 1e-4),
        *(pytest.param(eight_gaussians().law, p, 1e-4, marks=pytest.mark.slow) for p in PROCESSES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_errors_that_are_reported_cover_the_truth(law: Mixture, process: Process, tolerance: float | None) -> None:
    """At 98 % of 1,000 points, and they are no more than 100 times its root mean square."""
    x = draw(law, 1000)
    result = log_prob(Diffusion(process, law, law.moments()), x, tolerance=tolerance)
    true = law.log_prob(x, process.level(ZERO))
    assert covered(result, true) > 0.98
    error = (result.value - true).abs()
    assert float(error.max()) < (1e-3 if tolerance is None else 1e-2) and float(error.median()) < 2e-5
    assert float(result.error.median()) < 100 * float(error.square().mean().sqrt())
    assert float(result.evaluations.double().mean()) < 130


class Round(Denoiser):
    """The denoiser of a mixture of round Gaussians, whose derivatives cost a twentieth of those of others."""

    def __init__(self, means: Tensor, widths: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.means, self.widths, self.weights = means, widths, weights

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        n, variance = x.shape[1], self.widths**2 + level.reshape(-1, 1) ** 2
        apart = x.square().sum(1, keepdim=True) - 2 * x @ self.means.T + self.means.square().sum(1)
        share = (self.weights.log() - n / 2 * variance.log() - apart / variance / 2).softmax(1)
        kept = share * self.widths**2 / variance
        return (share - kept) @ self.means + kept.sum(1, keepdim=True) * x


@pytest.mark.slow
@pytest.mark.parametrize("process", [VE(), VP(), SubVP(), EDM()], ids=lambda p: type(p).__name__)
def test_the_errors_cover_the_truth_in_64_dimensions(process: Process) -> None:
    """At 95 % of 1,000 points."""
    means = 0.4 * Samples(64, count=3).normal((3, 64), torch.float64)
    widths, weights = torch.tensor([[0.4, 0.6, 0.8], [0.2, 0.5, 0.3]], dtype=torch.float64)
    law, denoiser = Mixture(means, widths, weights), Round(means, widths, weights)
    x = draw(law, 1000)
    level = torch.linspace(0.01, 10, 1000, dtype=torch.float64)[:, None]
    torch.testing.assert_close(denoiser(x, level), law(x, level))
    result = log_prob(Diffusion(process, denoiser, law.moments()), x)
    assert covered(result, law.log_prob(x, process.level(ZERO))) > 0.95


def test_no_point_is_much_worse_than_others() -> None:
    """The worst of 512 has 12 times the median error, and one in a hundred 7 times; of a Gaussian they have 5 and 4."""
    process = VE(0.01, 500.0)
    for law in (mixture(2), mixture(8), eight_gaussians().law):
        x = draw(law, 512)
        error = (log_prob(Diffusion(process, law, law.moments()), x).value - law.log_prob(x, 0.01)).abs()
        assert float(error.max()) < 12 * float(error.median())
        assert float(error.quantile(0.99)) < 7 * float(error.median())


@pytest.mark.parametrize("target", [1e-2, 1e-4, pytest.param(1e-6, marks=pytest.mark.slow)])
def test_a_target_is_met_at_every_point(target: float) -> None:
    law = eight_gaussians().law
    x = draw(law, 60)
    process = VE(0.01, 5000.0)
    result = log_prob(Diffusion(process, law, law.moments()), x, target_error=target)
    assert float(result.error.max()) <= target
    assert float((result.value - law.log_prob(x, 0.01)).abs().max()) <= target
    if target > 1e-6:  # and not at any price
        tight = log_prob(Diffusion(process, law, law.moments()), x, target_error=target / 100)
        assert float(result.evaluations.double().mean()) < 0.9 * float(tight.evaluations.double().mean())


def test_a_target_is_met_by_more_probes_and_then_by_the_exact_trace() -> None:
    law = mixture(17)
    x = draw(law, 3)
    diffusion = Diffusion(VE(0.01, 500.0), law, law.moments())
    true, rng = law.log_prob(x, 0.01), Samples(2, count=3)
    assert float(log_prob(diffusion, x, 8, 1e-3, rng).error.max()) > 0.5
    for target in (0.5, 0.02):
        result = log_prob(diffusion, x, 2, rng=rng, target_error=target)
        assert float(result.error.max()) <= target
        assert float((result.value - true).abs().max()) <= target
    assert result.standard_error.tolist() == [0.0] * 3
    alone = log_prob(diffusion, x[2:3], 2, rng=Samples(2, start=2, count=1), target_error=0.5)
    whole = log_prob(diffusion, x, 2, rng=rng, target_error=0.5)
    torch.testing.assert_close(alone.value[0], whole.value[2], atol=1e-8, rtol=0)


@pytest.mark.parametrize(("size", "process"), [(2, VE(0.05, 20.0)), (2, SubVP()), (8, EDM(0.03, 15.0))])
def test_both_ends_are_known_and_removed(process: Process, size: int) -> None:
    """What noise of the smallest level adds, and what data plus noise of the largest are not, the prior."""
    law = mixture(size)
    x = draw(law, 150)
    first = process.level(ZERO)
    diffusion = Diffusion(process, law, law.moments())
    kept, removed = (log_prob(diffusion, x, tolerance=1e-7, extrapolate=e) for e in (False, True))
    short = law.log_prob(x, first) - law.log_prob(x)
    assert float((kept.truncation - short).abs().max()) < max(1e-3 * float(short.abs().max()), 1e-9)
    before, after = (kept.value - law.log_prob(x, first)).abs(), (removed.value - law.log_prob(x)).abs()
    assert float(after.median()) < 0.2 * float(before.median())
    assert covered(kept, law.log_prob(x, first)) > 0.95 and covered(removed, law.log_prob(x)) > 0.95
    torch.testing.assert_close(removed.truncation, kept.truncation)


def test_without_moments_the_prior_is_what_is_left() -> None:
    """The density of the wrong prior, at a large level where it hardly matters; and known where it does."""
    law = mixture(2)
    x = draw(law, 8)
    process = VE(0.01, 2000.0)
    value = log_prob(Diffusion(process, law), x, tolerance=1e-7).value
    torch.testing.assert_close(value, law.log_prob(x, process.level(ZERO)), atol=5e-3, rtol=0)
    near = Diffusion(VE(0.01, 20.0), law)
    result = log_prob(near, x, tolerance=1e-7)
    off = (result.value - law.log_prob(x, 0.01)).abs()
    assert float(off.max()) > 0.05 and bool((off < 1.1 * result.error).all())


def test_no_value_depends_on_its_companions() -> None:
    law = mixture(2)
    x = draw(law, 9)
    for probes in (0, 4):
        diffusion = Diffusion(VP(), law, law.moments())
        whole = log_prob(diffusion, x, probes, rng=Samples(5, count=9))
        for i in (0, 4, 8):
            alone = log_prob(diffusion, x[i : i + 1], probes, rng=Samples(5, start=i, count=1))
            torch.testing.assert_close(alone.value[0], whole.value[i], atol=1e-8, rtol=0)
            torch.testing.assert_close(alone.standard_error[0], whole.standard_error[i], atol=1e-8, rtol=0)
            assert alone.evaluations[0] == whole.evaluations[i]


def test_probes_are_unbiased_and_know_their_error() -> None:
    """One datum, solved with the probes of 600 samples."""
    law, count, probes = mixture(12), 600, 8
    x = draw(law, 3)[:1]
    diffusion = Diffusion(VE(0.05, 50.0), law, law.moments())
    exact = log_prob(diffusion, x, 0, 1e-6).value
    result = log_prob(diffusion, x.expand(count, -1), probes, 1e-4, Samples(3, count=count))
    off = result.value - exact
    assert abs(float(off.mean())) < 5 * float(off.std()) / math.sqrt(count) + 1e-3
    assert float(result.standard_error.square().mean().sqrt()) == pytest.approx(float(off.std()), rel=0.15)
    assert float((off.abs() < result.error).double().mean()) > 0.85


def test_probes_see_no_noise_in_gaussian_data() -> None:
    """A correlated field of more coordinates than are exact by default: the moments take out all there is."""
    field = Field((1, 9, 9), length=3.0)
    law = field.law()
    x = field.sample(3, Samples(0, count=3))
    result = log_prob(Diffusion(VP(), law, law), x, rng=Samples(1, count=3))
    torch.testing.assert_close(result.value, law.log_prob(x, VP().level(ZERO)), atol=1e-6, rtol=0)
    assert float(result.standard_error.max()) < 1e-6


def test_events_of_any_shape() -> None:
    plain = Preconditioned(Silu(12))
    shapes = [(12,), (3, 2, 2), (1, 12), (2, 3, 2, 1)]
    x = Samples(0, count=3).normal((3, 12), torch.float64)
    values = [log_prob(Diffusion(VE(), plain), x.reshape(3, *shape)).value for shape in shapes]
    for value in values:
        assert value.shape == (3,)
        torch.testing.assert_close(value, values[0], atol=1e-9, rtol=0)
    image = Gaussian(torch.zeros(3, 2, 2), torch.linspace(0.5, 2, 12).reshape(3, 2, 2))
    got = log_prob(Diffusion(VP(), image.double(), image), x.reshape(3, 3, 2, 2)).value
    torch.testing.assert_close(got, image.double().log_prob(x.reshape(3, 3, 2, 2), VP().level(ZERO)), atol=1e-6, rtol=0)


def test_an_image_takes_probes_by_default() -> None:
    x = Samples(0, count=4).normal((4, 3, 6, 6))
    diffusion = Diffusion(VP(), Preconditioned(Silu(108)))
    result = log_prob(diffusion, x, tolerance=1e-3, rng=Samples(1, count=4))
    exact = log_prob(diffusion, x, probes=0, tolerance=1e-3)
    assert bool((result.standard_error > 0).all()) and float(result.standard_error.max()) < 2
    assert float(((result.value - exact.value) / result.standard_error).abs().max()) < 6


def test_a_network_in_float32_inside_a_state_in_float64() -> None:
    """The default tolerance is met: a tight solve of the same network in float64 is the truth."""
    network = Silu(2)
    diffusion = Diffusion(EDM(), Preconditioned(network))
    x = Samples(0, count=5).normal((5, 2))
    single = log_prob(diffusion, x)
    assert single.value.dtype == torch.float64 and not single.value.requires_grad
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    exact = Diffusion(EDM(), Preconditioned(network.double()))
    double = log_prob(exact, x.double(), tolerance=1e-8)
    torch.testing.assert_close(single.value, double.value, atol=5e-4, rtol=0)


def test_it_integrates_to_one() -> None:
    """The density of a network that was never trained is a density too."""
    diffusion = Diffusion(VE(0.1, 20.0), Preconditioned(Silu(1)))
    grid = torch.linspace(-12, 12, 400, dtype=torch.float64)[:, None]
    total = float(torch.trapezoid(log_prob(diffusion, grid).value.exp(), grid[:, 0]))
    assert total == pytest.approx(1, abs=1e-3)


def test_constant_coordinates_and_constant_data() -> None:
    law = Gaussian(torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double())
    x = torch.tensor([[0.3, 2.0], [1.0, 2.01]], dtype=torch.float64)
    for each in (law, Gaussian(law.mean, torch.zeros(2, 2).double())):
        value = log_prob(Diffusion(VE(), each, each), x).value
        torch.testing.assert_close(value, each.log_prob(x, 0.01), atol=1e-6, rtol=1e-9)


def test_what_it_returns() -> None:
    law = gaussian(2)
    result = log_prob(Diffusion(VP(), law, law), draw(law, 4))
    assert isinstance(result, LogProb) and len(result) == 4 and result.evaluations.dtype == torch.int64
    parts = [getattr(result, field.name) for field in dataclasses.fields(result)]
    assert [part.shape for part in parts] == [(4,)] * 6
    assert all(part.dtype == torch.float64 for part in parts[:-1])
    torch.testing.assert_close(result.error, 2 * parts[1] + parts[2] + parts[3])
    torch.testing.assert_close(result.plus(2.0).value, result.value + 2)
    torch.testing.assert_close(LogProb.join([result.at(slice(0, 1)), result.at(slice(1, 4))]).value, result.value)


def test_what_it_refuses() -> None:
    law = gaussian(2)
    diffusion = Diffusion(VP(), law, law)
    x = draw(law, 4)
    with pytest.raises(
        ValueError, match=r"a batch of floating-point data \(B, \*D\), got shape \(4, 2\) of torch.int64"
    ):
        log_prob(diffusion, x.long())
    with pytest.raises(ValueError, match=r"a batch of floating-point data \(B, \*D\), got shape \(0, 2\)"):
        log_prob(diffusion, x[:0])
    with pytest.raises(ValueError, match=r"finite data, row 2 is not"):
        log_prob(diffusion, x.index_fill(0, torch.tensor(2), math.nan))
    with pytest.raises(ValueError, match=r"must have one shape, got \(3,\) and \(2,\)"):
        log_prob(diffusion, torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"needs at least 2 probes, got probes=1"):
        log_prob(diffusion, x, probes=1, rng=Samples(0, count=4))
    with pytest.raises(ValueError, match=r"a source of 4 samples, got none: rng=Samples\(seed, count=4\)"):
        log_prob(diffusion, x, probes=2)
    with pytest.raises(ValueError, match=r"a source of 4 samples, got one of 5"):
        log_prob(diffusion, x, probes=2, rng=Samples(0, count=5))
    with pytest.raises(ValueError, match=r"tolerance must be positive, got tolerance=0"):
        log_prob(diffusion, x, tolerance=0.0)
    with pytest.raises(ValueError, match=r"target_error must be positive, got target_error=-1"):
        log_prob(diffusion, x, target_error=-1.0)
    with pytest.raises(ValueError, match=r"target_error chooses the tolerance: give one of them"):
        log_prob(diffusion, x, tolerance=1e-3, target_error=1e-3)


def test_a_denoiser_that_is_not_finite_is_an_error() -> None:
    class Broken(Denoiser):
        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return x * math.nan

    with pytest.raises(RuntimeError, match=r"the slope of sample 0 .* is not finite"):
        log_prob(Diffusion(VE(), Broken()), torch.zeros(2, 2))
