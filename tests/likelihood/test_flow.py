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
    """Three overlapping Gaussians with random covariances."""
    rng = Samples(seed=size, count=3)
    roots = 0.3 * rng.normal((3, size, size), torch.float64)
    eye = 0.2 * torch.eye(size, dtype=torch.float64)
    means = 1.5 * rng.child("means").normal((3, size), torch.float64)
    return Mixture(means, roots @ roots.mT + eye, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))


def gaussian(size: int) -> Gaussian:
    return mixture(size).moments()


def draw(exact: Gaussian | Mixture, count: int) -> Tensor:
    return exact.sample(count, Samples(seed=1, count=count))


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
def test_mixtures_are_exact_at_a_small_tolerance(process: Process, size: int) -> None:
    exact = mixture(size)
    x = draw(exact, 12)
    result = log_prob(Diffusion(process, exact, exact.moments()), x, tolerance=1e-7)
    torch.testing.assert_close(result.value, exact.log_prob(x, process.level(ZERO)), atol=1e-4, rtol=0)
    assert result.standard_error.tolist() == [0.0] * 12


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_gaussians_are_exact_in_a_few_steps(process: Process, size: int) -> None:
    exact = gaussian(size)
    x = draw(exact, 6)
    result = log_prob(Diffusion(process, exact, exact), x)
    torch.testing.assert_close(result.value, exact.log_prob(x, process.level(ZERO)), atol=1e-9, rtol=0)
    assert int(result.evaluations.max()) <= 2 + 6 * 4 + 10 + 3  # the path, one panel of its volume, both ends


@pytest.mark.parametrize(
    ("process", "count"),
    [pytest.param(process, 12, marks=pytest.mark.slow) for process in PROCESSES],
    ids=lambda p: type(p).__name__ if isinstance(p, Process) else str(p),
)
def test_mixtures_in_64_dimensions(process: Process, count: int) -> None:
    """With both ends extrapolated: the density of the data without noise."""
    exact = mixture(64)
    x = draw(exact, count)
    result = log_prob(Diffusion(process, exact, exact.moments()), x, tolerance=1e-6, extrapolate=True)
    torch.testing.assert_close(result.value, exact.log_prob(x), atol=1e-4, rtol=0)


def covered(result: LogProb, true: Tensor) -> float:
    """The share of points whose error is below the standard error plus the solver's and that of the ends."""
    bars = result.standard_error + result.solver_error + result.end_error
    return float(((result.value - true).abs() <= bars).double().mean())


@pytest.mark.parametrize(
    ("exact", "process", "tolerance"),
    [
        *((mixture(size), process, None) for size in (2, 8) for process in PROCESSES[:4]),
        (eight_gaussians().mixture, SubVP(), 1e-4),
        *(pytest.param(eight_gaussians().mixture, p, 1e-4, marks=pytest.mark.slow) for p in PROCESSES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reported_errors_cover_the_truth(exact: Mixture, process: Process, tolerance: float | None) -> None:
    """At 98 % of 1,000 points, with a median of at most 100 times the root mean square error."""
    x = draw(exact, 1000)
    result = log_prob(Diffusion(process, exact, exact.moments()), x, tolerance=tolerance)
    true = exact.log_prob(x, process.level(ZERO))
    assert covered(result, true) > 0.98
    error = (result.value - true).abs()
    assert float(error.max()) < (1e-3 if tolerance is None else 1e-2) and float(error.median()) < 2e-5
    assert float(result.error.median()) < 100 * float(error.square().mean().sqrt())
    assert float(result.evaluations.double().mean()) < 130


class Isotropic(Denoiser):
    """The denoiser of a mixture of isotropic Gaussians; its derivatives cost a twentieth of those of `Mixture`."""

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
def test_the_reported_errors_cover_the_truth_in_64_dimensions(process: Process) -> None:
    """At 95 % of 1,000 points."""
    means = 0.4 * Samples(64, count=3).normal((3, 64), torch.float64)
    widths, weights = torch.tensor([[0.4, 0.6, 0.8], [0.2, 0.5, 0.3]], dtype=torch.float64)
    exact, denoiser = Mixture(means, widths, weights), Isotropic(means, widths, weights)
    x = draw(exact, 1000)
    level = torch.linspace(0.01, 10, 1000, dtype=torch.float64)[:, None]
    torch.testing.assert_close(denoiser(x, level), exact(x, level))
    result = log_prob(Diffusion(process, denoiser, exact.moments()), x)
    assert covered(result, exact.log_prob(x, process.level(ZERO))) > 0.95


def test_the_largest_error_is_not_far_above_the_median() -> None:
    """The largest of 512 is below 13 times the median, the 99 % quantile below 12 times and 2.5e-6 nats."""
    process = VE(0.01, 500.0)
    for exact in (mixture(2), mixture(8), eight_gaussians().mixture):
        x = draw(exact, 512)
        error = (log_prob(Diffusion(process, exact, exact.moments()), x).value - exact.log_prob(x, 0.01)).abs()
        assert float(error.max()) < 13 * float(error.median())
        assert float(error.quantile(0.99)) < min(12 * float(error.median()), 2.5e-6)


@pytest.mark.parametrize("target", [1e-2, 1e-4, pytest.param(1e-6, marks=pytest.mark.slow)])
def test_a_target_error_is_met_at_every_point(target: float) -> None:
    exact = eight_gaussians().mixture
    x = draw(exact, 60)
    process = VE(0.01, 5000.0)
    result = log_prob(Diffusion(process, exact, exact.moments()), x, target_error=target)
    assert float(result.error.max()) <= target
    assert float((result.value - exact.log_prob(x, 0.01)).abs().max()) <= target
    if target > 1e-6:  # without more evaluations than needed
        tight = log_prob(Diffusion(process, exact, exact.moments()), x, target_error=target / 100)
        assert float(result.evaluations.double().mean()) < 0.9 * float(tight.evaluations.double().mean())


def test_a_target_error_is_met_by_more_probes_and_then_by_the_exact_trace() -> None:
    exact = mixture(17)
    x = draw(exact, 3)
    diffusion = Diffusion(VE(0.01, 500.0), exact, exact.moments())
    true, rng = exact.log_prob(x, 0.01), Samples(2, count=3)
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
def test_truncation_and_prior_error_are_estimated_and_removed(process: Process, size: int) -> None:
    """The noise of the smallest level, and the mismatch of the prior at the largest."""
    exact = mixture(size)
    x = draw(exact, 150)
    first = process.level(ZERO)
    diffusion = Diffusion(process, exact, exact.moments())
    kept, removed = (log_prob(diffusion, x, tolerance=1e-7, extrapolate=e) for e in (False, True))
    short = exact.log_prob(x, first) - exact.log_prob(x)
    assert float((kept.truncation - short).abs().max()) < max(1e-3 * float(short.abs().max()), 1e-9)
    before, after = (kept.value - exact.log_prob(x, first)).abs(), (removed.value - exact.log_prob(x)).abs()
    assert float(after.median()) < 0.2 * float(before.median())
    assert covered(kept, exact.log_prob(x, first)) > 0.95 and covered(removed, exact.log_prob(x)) > 0.95
    torch.testing.assert_close(removed.truncation, kept.truncation)


def test_without_moments_the_prior_error_remains_and_is_reported() -> None:
    """Small at a large level; at a small one it is large, and within the reported error."""
    exact = mixture(2)
    x = draw(exact, 8)
    process = VE(0.01, 2000.0)
    value = log_prob(Diffusion(process, exact), x, tolerance=1e-7).value
    torch.testing.assert_close(value, exact.log_prob(x, process.level(ZERO)), atol=5e-3, rtol=0)
    near = Diffusion(VE(0.01, 20.0), exact)
    result = log_prob(near, x, tolerance=1e-7)
    off = (result.value - exact.log_prob(x, 0.01)).abs()
    assert float(off.max()) > 0.05 and bool((off < 1.1 * result.error).all())


def test_a_value_does_not_depend_on_the_batch() -> None:
    exact = mixture(2)
    x = draw(exact, 9)
    for probes in (0, 4):
        diffusion = Diffusion(VP(), exact, exact.moments())
        whole = log_prob(diffusion, x, probes, rng=Samples(5, count=9))
        for i in (0, 4, 8):
            alone = log_prob(diffusion, x[i : i + 1], probes, rng=Samples(5, start=i, count=1))
            torch.testing.assert_close(alone.value[0], whole.value[i], atol=1e-8, rtol=0)
            torch.testing.assert_close(alone.standard_error[0], whole.standard_error[i], atol=1e-8, rtol=0)
            assert alone.evaluations[0] == whole.evaluations[i]


def test_probes_are_unbiased_with_the_reported_standard_error() -> None:
    """One point, solved with the probes of 600 samples."""
    exact, count, probes = mixture(12), 600, 8
    x = draw(exact, 3)[:1]
    diffusion = Diffusion(VE(0.05, 50.0), exact, exact.moments())
    reference = log_prob(diffusion, x, 0, 1e-6).value
    result = log_prob(diffusion, x.expand(count, -1), probes, 1e-4, Samples(3, count=count))
    off = result.value - reference
    assert abs(float(off.mean())) < 5 * float(off.std()) / math.sqrt(count) + 1e-3
    assert float(result.standard_error.square().mean().sqrt()) == pytest.approx(float(off.std()), rel=0.15)
    assert float((off.abs() < result.error).double().mean()) > 0.85


@pytest.mark.parametrize(("probes", "advice"), [(1, "use more"), (10**30, "use fewer")])
def test_how_many_probes_there_can_be(probes, advice) -> None:
    exact = mixture(3)
    diffusion = Diffusion(VP(), exact, exact.moments())
    with pytest.raises(ValueError, match=rf"{advice}, or 0 for the exact trace$"):
        log_prob(diffusion, torch.zeros(2, 3).double(), probes, rng=Samples(0, count=2))


def test_probes_have_no_variance_for_gaussian_data() -> None:
    """A correlated field with more coordinates than the exact divergence takes by default."""
    field = Field((1, 9, 9), length=3.0)
    exact = field.gaussian()
    x = field.sample(3, Samples(0, count=3))
    result = log_prob(Diffusion(VP(), exact, exact), x, rng=Samples(1, count=3))
    torch.testing.assert_close(result.value, exact.log_prob(x, VP().level(ZERO)), atol=1e-6, rtol=0)
    assert float(result.standard_error.max()) < 1e-6


def test_data_of_any_shape() -> None:
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


def test_images_use_probes_by_default() -> None:
    x = Samples(0, count=4).normal((4, 3, 6, 6))
    diffusion = Diffusion(VP(), Preconditioned(Silu(108)))
    result = log_prob(diffusion, x, tolerance=1e-3, rng=Samples(1, count=4))
    exact = log_prob(diffusion, x, probes=0, tolerance=1e-3)
    assert bool((result.standard_error > 0).all()) and float(result.standard_error.max()) < 2
    assert float(((result.value - exact.value) / result.standard_error).abs().max()) < 6


def test_a_network_in_float32_inside_a_state_in_float64() -> None:
    """The default tolerance is met; a precise solution with the same network in float64 is the reference."""
    network = Silu(2)
    diffusion = Diffusion(EDM(), Preconditioned(network))
    x = Samples(0, count=5).normal((5, 2))
    single = log_prob(diffusion, x)
    assert single.value.dtype == torch.float64 and not single.value.requires_grad
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    exact = Diffusion(EDM(), Preconditioned(network.double()))
    double = log_prob(exact, x.double(), tolerance=1e-8)
    torch.testing.assert_close(single.value, double.value, atol=5e-4, rtol=0)


def test_the_density_integrates_to_one() -> None:
    """Even for an untrained network."""
    diffusion = Diffusion(VE(0.1, 20.0), Preconditioned(Silu(1)))
    grid = torch.linspace(-12, 12, 400, dtype=torch.float64)[:, None]
    total = float(torch.trapezoid(log_prob(diffusion, grid).value.exp(), grid[:, 0]))
    assert total == pytest.approx(1, abs=1e-3)


def test_constant_coordinates_and_constant_data() -> None:
    exact = Gaussian(torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double())
    x = torch.tensor([[0.3, 2.0], [1.0, 2.01]], dtype=torch.float64)
    for each in (exact, Gaussian(exact.mean, torch.zeros(2, 2).double())):
        value = log_prob(Diffusion(VE(), each, each), x).value
        torch.testing.assert_close(value, each.log_prob(x, 0.01), atol=1e-6, rtol=1e-9)


def test_the_result_has_one_entry_per_sample() -> None:
    exact = gaussian(2)
    result = log_prob(Diffusion(VP(), exact, exact), draw(exact, 4))
    assert isinstance(result, LogProb) and len(result) == 4 and result.evaluations.dtype == torch.int64
    parts = [getattr(result, field.name) for field in dataclasses.fields(result)]
    assert [part.shape for part in parts] == [(4,)] * 6
    assert all(part.dtype == torch.float64 for part in parts[:-1])
    torch.testing.assert_close(result.error, 2 * parts[1] + parts[2] + parts[3])
    torch.testing.assert_close(result.plus(2.0).value, result.value + 2)
    torch.testing.assert_close(LogProb.join([result.at(slice(0, 1)), result.at(slice(1, 4))]).value, result.value)


def test_wrong_arguments_are_refused() -> None:
    exact = gaussian(2)
    diffusion = Diffusion(VP(), exact, exact)
    x = draw(exact, 4)
    with pytest.raises(
        ValueError, match=r"a batch of floating-point data \(B, \*D\), got shape \(4, 2\) of torch.int64"
    ):
        log_prob(diffusion, x.long())
    with pytest.raises(ValueError, match=r"a batch of floating-point data \(B, \*D\), got shape \(0, 2\)"):
        log_prob(diffusion, x[:0])
    with pytest.raises(ValueError, match=r"finite data, but row 2 has NaN or infinite values"):
        log_prob(diffusion, x.index_fill(0, torch.tensor(2), math.nan))
    with pytest.raises(ValueError, match=r"must have the same shape, got \(3,\) and \(2,\)"):
        log_prob(diffusion, torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"needs at least 2 probes, got probes=1"):
        log_prob(diffusion, x, probes=1, rng=Samples(0, count=4))
    with pytest.raises(ValueError, match=r"a random source of 4 samples, got none: pass rng=Samples\(seed, count=4\)"):
        log_prob(diffusion, x, probes=2)
    with pytest.raises(ValueError, match=r"a random source of 4 samples, got one of 5"):
        log_prob(diffusion, x, probes=2, rng=Samples(0, count=5))
    with pytest.raises(ValueError, match=r"tolerance must be positive, got tolerance=0"):
        log_prob(diffusion, x, tolerance=0.0)
    with pytest.raises(ValueError, match=r"target_error must be positive, got target_error=-1"):
        log_prob(diffusion, x, target_error=-1.0)
    with pytest.raises(ValueError, match=r"target_error chooses the tolerance: pass one of the two"):
        log_prob(diffusion, x, tolerance=1e-3, target_error=1e-3)


def test_a_denoiser_that_returns_nan_is_an_error() -> None:
    class Broken(Denoiser):
        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return x * math.nan

    with pytest.raises(RuntimeError, match=r"the slope of sample 0 .* is not finite"):
        log_prob(Diffusion(VE(), Broken()), torch.zeros(2, 2))


def test_a_network_in_64_bits_gives_its_divergence_in_32_where_that_is_allowed() -> None:
    """The values change by less than 1e-6 nats, and those of a small tolerance, which does not allow it, agree with both."""
    network = Preconditioned(Silu(5)).double()
    assert network.single_precision().network.layers[0].weight.dtype == torch.float32
    assert network.network.layers[0].weight.dtype == torch.float64
    assert network.single_precision().single_precision().network.layers[0].weight.dtype == torch.float32

    class Wide(Preconditioned):
        def single_precision(self) -> Denoiser:
            return self

    x = draw(gaussian(5), 20)
    found, whole, tight = (
        log_prob(Diffusion(VP(), each, gaussian(5)), x, tolerance=tolerance)
        for each, tolerance in ((network, None), (Wide(Silu(5)).double(), None), (network, 1e-9))
    )
    assert 0 < float((found.value - whole.value).abs().max()) < 1e-6
    assert bool(((found.value - tight.value).abs() <= found.solver_error).all())
