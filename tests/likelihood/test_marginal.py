import math

import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.likelihood import LogProb, log_prob, marginal
from scorefield.processes import VE
from scorefield.rng import Samples

D = torch.float64


def mixture(size: int) -> Mixture:
    rng = Samples(seed=size, count=3)
    roots = 0.3 * rng.normal((3, size, size), D)
    means = 1.5 * rng.child("means").normal((3, size), D)
    return Mixture(means, roots @ roots.mT + 0.2 * torch.eye(size, dtype=D), torch.tensor([0.2, 0.5, 0.3], dtype=D))


def marginal_of(exact: Mixture, keep: list[int]) -> Mixture:
    return Mixture(exact.means[:, keep], exact.covariances[:, keep][:, :, keep], exact.weights)


def density_of(exact: Mixture | Gaussian):
    def density(x: Tensor) -> LogProb:
        value = exact.log_prob(x)
        zero = torch.zeros_like(value)
        return LogProb(value, zero, zero + 1e-3, zero, zero + 0.25, torch.ones_like(value, dtype=torch.int64))

    return density


def draw(exact: Mixture, keep: list[int], count: int) -> Tensor:
    return exact.sample(count, Samples(1, count=count))[:, keep]


@pytest.mark.parametrize(("size", "keep"), [(2, [0]), (2, [1]), (3, [2, 0]), (3, [1]), (6, [5, 1, 2, 0])])
def test_quadrature_is_exact(size: int, keep: list[int]) -> None:
    exact = mixture(size)
    x = draw(exact, keep, 20)
    found = marginal(density_of(exact), x, keep, exact.moments(), Samples(0, count=20))
    off = (found.value - marginal_of(exact, keep).log_prob(x)).abs()
    assert float(off.max()) < 1e-5 and bool((off <= found.solver_error).all())
    assert float(found.solver_error.max()) < 3e-3 and not found.standard_error.any()
    torch.testing.assert_close(found.truncation, torch.full((20,), 0.25, dtype=D))


def test_narrow_ridges_and_far_tails_are_found() -> None:
    """A ridge of a twentieth of a standard deviation, and tails 20 standard deviations out."""
    ridge = Gaussian(torch.zeros(2, dtype=D), torch.tensor([[1.0, 0.999], [0.999, 1.0]], dtype=D))
    x = torch.tensor([[-3.0], [0.1], [2.0]], dtype=D)
    found = marginal(density_of(ridge), x, [0], ridge, Samples(0, count=3))
    axis = Gaussian(torch.zeros(1, dtype=D), torch.ones(1, dtype=D))
    torch.testing.assert_close(found.value, axis.log_prob(x), atol=1e-4, rtol=0)
    wide = Mixture(torch.zeros(2, 2, dtype=D), torch.tensor([0.1, 4.0], dtype=D), torch.tensor([0.99, 0.01], dtype=D))
    far = torch.tensor([[9.0]], dtype=D)  # where only the wide one is
    torch.testing.assert_close(
        marginal(density_of(wide), far, [1], wide.moments(), Samples(0, count=1)).value,
        marginal_of(wide, [1]).log_prob(far),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize(("size", "keep"), [(5, [0, 3]), (8, [0, 1, 5])])
def test_importance_sampling_is_within_its_standard_error(size: int, keep: list[int]) -> None:
    exact = mixture(size)
    x = draw(exact, keep, 60)
    found = marginal(density_of(exact), x, keep, exact.moments(), Samples(0, count=60), draws=2000)
    off = (found.value - marginal_of(exact, keep).log_prob(x)).abs() / found.standard_error
    assert float((off < 3).double().mean()) > 0.9 and float(found.standard_error.median()) < 0.2
    assert found.evaluations.tolist() == [2000] * 60


def test_importance_sampling_of_gaussians() -> None:
    exact = mixture(6).moments()
    x = exact.sample(10, Samples(1, count=10))
    inner = Gaussian(exact.mean[:2], exact.covariance[:2, :2])
    found = marginal(density_of(exact), x[:, :2], [0, 1], exact, Samples(0, count=10), draws=4000)
    off = (found.value - inner.log_prob(x[:, :2])).abs()
    assert bool((off < 5 * found.standard_error).all()) and float(off.max()) < 0.2


def test_a_marginal_of_the_probability_flow() -> None:
    exact = mixture(2)
    diffusion = Diffusion(VE(0.01, 200.0), exact, exact.moments())
    x = draw(exact, [1], 3)
    found = marginal(lambda x: log_prob(diffusion, x, tolerance=1e-4), x, [1], exact.moments(), Samples(0, count=3))
    off = (found.value - marginal_of(exact, [1]).log_prob(x, 0.01)).abs()
    assert bool((off < found.error).all()) and float(off.max()) < 1e-4


def test_a_marginal_does_not_depend_on_the_batch() -> None:
    for size, keep in ((3, [0]), (5, [0])):
        exact = mixture(size)
        x = draw(exact, keep, 5)
        whole = marginal(density_of(exact), x, keep, exact.moments(), Samples(0, count=5))
        alone = marginal(density_of(exact), x[3:4], keep, exact.moments(), Samples(0, start=3, count=1))
        torch.testing.assert_close(alone.value[0], whole.value[3], atol=1e-9, rtol=0)


@pytest.mark.parametrize("keep", [[], [0, 1, 2], [3], [0, 0], [-1]])
def test_wrong_features_are_refused(keep: list[int]) -> None:
    exact = mixture(3)
    with pytest.raises(ValueError, match=r"keeps some of the features 0 to 2 of a vector, got \["):
        marginal(density_of(exact), torch.zeros(1, len(keep), dtype=D), keep, exact.moments(), Samples(0, count=1))


def test_a_marginal_by_importance_sampling_integrates_to_one() -> None:
    exact = mixture(4)
    grid = torch.linspace(-8, 8, 161, dtype=D)[:, None]
    found = marginal(density_of(exact), grid, [2], exact.moments(), Samples(0, count=161), draws=1000)
    assert float(torch.trapezoid(found.value.exp(), grid[:, 0])) == pytest.approx(1, abs=0.02)
    assert math.isfinite(float(found.value.min()))


def test_one_draw_is_refused() -> None:
    exact = mixture(4)
    with pytest.raises(ValueError, match="needs at least 2 draws, got draws=1"):
        marginal(density_of(exact), torch.zeros(1, 1, dtype=D), [0], exact.moments(), Samples(0, count=1), draws=1)
