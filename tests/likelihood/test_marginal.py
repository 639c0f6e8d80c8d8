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


def only(law: Mixture, keep: list[int]) -> Mixture:
    return Mixture(law.means[:, keep], law.covariances[:, keep][:, :, keep], law.weights)


def exactly(law: Mixture | Gaussian):
    def density(x: Tensor) -> LogProb:
        value = law.log_prob(x)
        zero = torch.zeros_like(value)
        return LogProb(value, zero, zero + 1e-3, zero, zero + 0.25, torch.ones_like(value, dtype=torch.int64))

    return density


def draw(law: Mixture, keep: list[int], count: int) -> Tensor:
    return law.sample(count, Samples(1, count=count))[:, keep]


@pytest.mark.parametrize(("size", "keep"), [(2, [0]), (2, [1]), (3, [2, 0]), (3, [1]), (6, [5, 1, 2, 0])])
def test_quadrature_is_exact(size: int, keep: list[int]) -> None:
    law = mixture(size)
    x = draw(law, keep, 20)
    found = marginal(exactly(law), x, keep, law.moments(), Samples(0, count=20))
    off = (found.value - only(law, keep).log_prob(x)).abs()
    assert float(off.max()) < 1e-5 and bool((off <= found.solver_error).all())
    assert float(found.solver_error.max()) < 3e-3 and not found.standard_error.any()
    torch.testing.assert_close(found.truncation, torch.full((20,), 0.25, dtype=D))


def test_narrow_and_far_structure_is_found() -> None:
    """A ridge of a twentieth of a deviation, and tails 20 deviations out."""
    ridge = Gaussian(torch.zeros(2, dtype=D), torch.tensor([[1.0, 0.999], [0.999, 1.0]], dtype=D))
    x = torch.tensor([[-3.0], [0.1], [2.0]], dtype=D)
    found = marginal(exactly(ridge), x, [0], ridge, Samples(0, count=3))
    line = Gaussian(torch.zeros(1, dtype=D), torch.ones(1, dtype=D))
    torch.testing.assert_close(found.value, line.log_prob(x), atol=1e-4, rtol=0)
    wide = Mixture(torch.zeros(2, 2, dtype=D), torch.tensor([0.1, 4.0], dtype=D), torch.tensor([0.99, 0.01], dtype=D))
    far = torch.tensor([[9.0]], dtype=D)  # where only the wide one is
    torch.testing.assert_close(
        marginal(exactly(wide), far, [1], wide.moments(), Samples(0, count=1)).value,
        only(wide, [1]).log_prob(far),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize(("size", "keep"), [(5, [0, 3]), (8, [0, 1, 5])])
def test_more_are_integrated_out_by_importance_within_the_error(size: int, keep: list[int]) -> None:
    law = mixture(size)
    x = draw(law, keep, 60)
    found = marginal(exactly(law), x, keep, law.moments(), Samples(0, count=60), draws=2000)
    off = (found.value - only(law, keep).log_prob(x)).abs() / found.standard_error
    assert float((off < 3).double().mean()) > 0.9 and float(found.standard_error.median()) < 0.2
    assert found.evaluations.tolist() == [2000] * 60


def test_gaussians_by_importance() -> None:
    law = mixture(6).moments()
    x = law.sample(10, Samples(1, count=10))
    inner = Gaussian(law.mean[:2], law.covariance[:2, :2])
    found = marginal(exactly(law), x[:, :2], [0, 1], law, Samples(0, count=10), draws=4000)
    off = (found.value - inner.log_prob(x[:, :2])).abs()
    assert bool((off < 5 * found.standard_error).all()) and float(off.max()) < 0.2


def test_of_a_flow() -> None:
    law = mixture(2)
    diffusion = Diffusion(VE(0.01, 200.0), law, law.moments())
    x = draw(law, [1], 3)
    found = marginal(lambda x: log_prob(diffusion, x, tolerance=1e-4), x, [1], law.moments(), Samples(0, count=3))
    off = (found.value - only(law, [1]).log_prob(x, 0.01)).abs()
    assert bool((off < found.error).all()) and float(off.max()) < 1e-4


def test_no_marginal_depends_on_its_companions() -> None:
    for size, keep in ((3, [0]), (5, [0])):
        law = mixture(size)
        x = draw(law, keep, 5)
        whole = marginal(exactly(law), x, keep, law.moments(), Samples(0, count=5))
        alone = marginal(exactly(law), x[3:4], keep, law.moments(), Samples(0, start=3, count=1))
        torch.testing.assert_close(alone.value[0], whole.value[3], atol=1e-9, rtol=0)


@pytest.mark.parametrize("keep", [[], [0, 1, 2], [3], [0, 0], [-1]])
def test_what_it_refuses(keep: list[int]) -> None:
    law = mixture(3)
    with pytest.raises(ValueError, match=r"keeps some of the features 0 to 2 of a vector, got \["):
        marginal(exactly(law), torch.zeros(1, len(keep), dtype=D), keep, law.moments(), Samples(0, count=1))


def test_mass_one() -> None:
    """The marginal of a marginal: what importance finds integrates to one."""
    law = mixture(4)
    grid = torch.linspace(-8, 8, 161, dtype=D)[:, None]
    found = marginal(exactly(law), grid, [2], law.moments(), Samples(0, count=161), draws=1000)
    assert float(torch.trapezoid(found.value.exp(), grid[:, 0])) == pytest.approx(1, abs=0.02)
    assert math.isfinite(float(found.value.min()))


def test_one_draw_has_no_error() -> None:
    law = mixture(4)
    with pytest.raises(ValueError, match="needs draws to compare, draws >= 2, got draws=1"):
        marginal(exactly(law), torch.zeros(1, 1, dtype=D), [0], law.moments(), Samples(0, count=1), draws=1)
