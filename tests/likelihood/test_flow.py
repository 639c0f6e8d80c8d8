import math

import pytest
import torch
import torch.nn as nn
from torch import Tensor

from scorefield.denoise import Denoiser, Gaussian, Mixture, Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.likelihood import LogProb, log_prob
from scorefield.process import EDM, VE, VP, Flow, Process, SubVP
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
    result = log_prob(Diffusion(process, law, law.moments()), x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(result.value, law.log_prob(x, process.level(ZERO)), atol=1e-4, rtol=0)
    assert result.standard_error.tolist() == [0.0] * 12


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_gaussians_are_exact_in_a_few_steps(process: Process, size: int) -> None:
    law = gaussian(size)
    x = draw(law, 6)
    result = log_prob(Diffusion(process, law, law), x)
    torch.testing.assert_close(result.value, law.log_prob(x, process.level(ZERO)), atol=1e-9, rtol=0)
    assert int(result.evaluations.max()) <= 2 + 6 * 3


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_mixtures_at_the_default_tolerance(process: Process) -> None:
    """The error is below 1e-3 nats, at a hundred evaluations or so."""
    law = eight_gaussians().law
    x = draw(law, 50)
    result = log_prob(Diffusion(process, law, law.moments()), x)
    error = (result.value - law.log_prob(x, process.level(ZERO))).abs()
    assert float(error.max()) < 1e-3 and float(error.median()) < 1e-4
    assert float(result.evaluations.double().mean()) < 130


def test_without_moments_the_prior_is_what_is_left() -> None:
    """The density of the wrong prior, at a large level where it hardly matters."""
    law = mixture(2)
    x = draw(law, 8)
    process = VE(0.01, 2000.0)
    value = log_prob(Diffusion(process, law), x, rtol=1e-7, atol=1e-7).value
    torch.testing.assert_close(value, law.log_prob(x, process.level(ZERO)), atol=5e-3, rtol=0)


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
    """One datum, solved with the probes of 600 samples: z-scores by the reported error are Student's t."""
    law, count, probes = mixture(8), 600, 8
    x = draw(law, 3)[:1]
    diffusion = Diffusion(VE(0.05, 50.0), law, law.moments())
    exact = log_prob(diffusion, x, 0, 1e-6, 1e-6).value
    result = log_prob(diffusion, x.expand(count, -1), probes, 1e-4, 1e-4, Samples(3, count=count))
    off = result.value - exact
    assert abs(float(off.mean())) < 5 * float(off.std()) / math.sqrt(count) + 1e-4
    assert float(result.standard_error.square().mean().sqrt()) == pytest.approx(float(off.std()), rel=0.15)
    covered = float(((off / result.standard_error).abs() < 2.365).double().mean())  # 95 % of Student's t, 7 degrees
    assert 0.91 < covered < 0.98


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
    result = log_prob(diffusion, x, rng=Samples(1, count=4))
    exact = log_prob(diffusion, x, probes=0)
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
    double = log_prob(exact, x.double(), rtol=1e-8, atol=1e-8)
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
    assert isinstance(result, LogProb) and result._fields == ("value", "standard_error", "evaluations")
    assert [a.shape for a in result] == [(4,)] * 3 and result.evaluations.dtype == torch.int64


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


def test_a_denoiser_that_is_not_finite_is_an_error() -> None:
    class Broken(Denoiser):
        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            return x * math.nan

    with pytest.raises(RuntimeError, match=r"the slope of sample 0 .* is not finite"):
        log_prob(Diffusion(VE(), Broken()), torch.zeros(2, 2))
