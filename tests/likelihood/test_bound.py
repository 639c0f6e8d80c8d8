import math

import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Mixture
from scorefield.diffusion import Diffusion
from scorefield.likelihood import bound, log_prob
from scorefield.processes import EDM, VE, VP, Process, SubVP
from scorefield.rng import Samples
from scorefield.toys import eight_gaussians, two_moons

ZERO = torch.zeros((), dtype=torch.float64)


def draw(exact: Mixture, count: int) -> Tensor:
    return exact.sample(count, Samples(seed=1, count=count))


@pytest.mark.parametrize("moments", [True, False])
@pytest.mark.parametrize("process", [VE(0.01, 200.0), VP(), SubVP(), EDM()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("exact", [eight_gaussians().mixture, two_moons(0.2).mixture], ids=["eight", "moons"])
def test_the_bound_is_tight_for_an_exact_score(exact: Mixture, process: Process, moments: bool) -> None:
    """On average and at 95 % of points, within 5 standard errors; the errors have heavy tails."""
    x = draw(exact, 400)
    diffusion = Diffusion(process, exact, exact.moments() if moments else None)
    found = bound(diffusion, x, Samples(3, count=400), draws=32)
    off = found.value - exact.log_prob(x, process.level(ZERO))
    assert abs(float(off.mean())) < 5 * float(off.std()) / math.sqrt(400)
    assert float((off.abs() < 5 * found.standard_error).double().mean()) > 0.95
    assert float(found.standard_error.square().mean().sqrt()) == pytest.approx(
        float(off.square().mean().sqrt()), rel=0.3
    )
    assert found.evaluations.tolist() == [64] * 400


def test_gaussians_are_exact_with_few_draws() -> None:
    exact = eight_gaussians().mixture.moments()
    x = exact.sample(10, Samples(1, count=10))
    for process in (VE(), VP(), SubVP(), EDM()):
        found = bound(Diffusion(process, exact, exact), x, Samples(2, count=10), draws=4)
        torch.testing.assert_close(found.value, exact.log_prob(x, process.level(ZERO)), atol=1e-8, rtol=0)
        assert float(found.standard_error.max()) < 1e-8


def test_the_bound_is_below_the_log_density_for_a_wrong_score() -> None:
    exact = eight_gaussians().mixture
    wrong = Mixture(exact.means, torch.full((len(exact.means),), 0.6).double(), exact.weights)
    x = draw(exact, 300)

    class Between(Mixture):
        def forward(self, u: Tensor, level: Tensor) -> Tensor:
            return (exact(u, level) + wrong(u, level)) / 2 + 0.1 * torch.sin(3 * u)

    diffusion = Diffusion(VE(0.02, 100.0), Between(exact.means, exact.covariances, exact.weights), exact.moments())
    below = bound(diffusion, x, Samples(0, count=300), 16).value - log_prob(diffusion, x, tolerance=1e-3).value
    assert float(below.mean()) < -3 * float(below.std()) / math.sqrt(300)


def test_more_draws_reduce_the_error_and_strata_help() -> None:
    exact = eight_gaussians().mixture
    x = draw(exact, 300)
    diffusion = Diffusion(VE(0.01, 200.0), exact, exact.moments())
    true = exact.log_prob(x, 0.01)
    few, many = (
        float((bound(diffusion, x, Samples(3, count=300), draws).value - true).square().mean().sqrt())
        for draws in (8, 64)
    )
    assert many < few * (8 / 64) ** 0.5 * 1.2


def test_a_bound_does_not_depend_on_the_batch() -> None:
    exact = eight_gaussians().mixture
    x = draw(exact, 7)
    diffusion = Diffusion(VP(), exact, exact.moments())
    whole = bound(diffusion, x, Samples(3, count=7), 8)
    alone = bound(diffusion, x[4:5], Samples(3, start=4, count=1), 8)
    torch.testing.assert_close(alone.value[0], whole.value[4], atol=1e-8, rtol=0)
    assert bool((whole.value != bound(diffusion, x, Samples(4, count=7), 8).value).all())


def test_wrong_arguments_are_refused() -> None:
    exact = eight_gaussians().mixture
    diffusion = Diffusion(VP(), exact, exact.moments())
    for draws in (2, 7):
        with pytest.raises(ValueError, match=rf"an even number of draws, at least 4, got draws={draws}"):
            bound(diffusion, draw(exact, 3), Samples(0, count=3), draws)
    with pytest.raises(ValueError, match=r"must have the same shape, got \(3,\) and \(2,\)"):
        bound(diffusion, torch.zeros(4, 3), Samples(0, count=4))
