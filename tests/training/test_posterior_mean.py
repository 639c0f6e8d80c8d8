"""Targets with less noise (`objectives.posterior_mean`): exact with all data, unbiased with some."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from scorefield.denoisers import Empirical, Gaussian
from scorefield.objectives import posterior_mean

D = torch.float64


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 4), (1, 3, 3)])
@pytest.mark.parametrize("level", [0.02, 0.5, 30.0])
def test_all_data_give_the_exact_mean(shape, level):
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(200, *shape, generator=generator, dtype=D)
    levels = torch.full((20, *(1,) * len(shape)), level, dtype=D)
    x = data[:20] + level * torch.randn(20, *shape, generator=generator, dtype=D)
    exact = Empirical(data)(x, levels)
    torch.testing.assert_close(posterior_mean(x, levels, data), exact, rtol=1e-9, atol=1e-9)
    # the same with the own example named, and the others as reference
    for i in (0, 7):
        others = torch.cat([data[:i], data[i + 1 :]])
        own = posterior_mean(x[i : i + 1], levels[i : i + 1], others, data[i : i + 1])
        torch.testing.assert_close(own, exact[i : i + 1], rtol=1e-9, atol=1e-9)
    single = posterior_mean(x.float(), levels.float(), data.float())
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=2e-3 if level < 0.1 else 1e-4)


@pytest.mark.parametrize(("level", "size"), [(0.3, 1), (0.3, 40), (1.0, 5), (4.0, 5)])
def test_some_data_give_it_without_bias(level, size):
    """f(x) (target - E[x_0|x]) averages to 0 for test functions f: within 5 of its own standard errors, over groups.

    And with less noise than x_0 has. Where the own example is not named the same test fails: weights that normalize
    themselves are biased.
    """
    generator = torch.Generator().manual_seed(1)
    rounds, batch = 1500, 16
    gaussian = Gaussian(torch.zeros(1, dtype=D), torch.ones(1, 1, dtype=D))
    x0 = torch.randn(rounds, batch, 1, generator=generator, dtype=D)
    x = x0 + level * torch.randn(rounds, batch, 1, generator=generator, dtype=D)
    others = torch.randn(rounds, size, 1, generator=generator, dtype=D)
    levels = torch.full((batch, 1), level, dtype=D)
    means = torch.stack([posterior_mean(x[i], levels, others[i], x0[i]) for i in range(rounds)])
    naive = torch.stack([posterior_mean(x[i], levels, others[i]) for i in range(rounds)])
    exact = gaussian(x.flatten(0, 1), torch.tensor(level, dtype=D)).reshape(x.shape)

    def bias(found: torch.Tensor, test: torch.Tensor) -> float:
        """In standard errors, from the spread over groups that share their other data."""
        product = (test * (found - exact)).mean((1, 2))
        return abs(float(product.mean())) / (float(product.std()) / rounds**0.5)

    for test in (torch.ones_like(x), x, torch.sin(3 * x)):
        assert bias(means, test) < 5
    assert float((means - exact).square().mean()) < float((x0 - exact).square().mean())
    if size < 10:
        assert bias(naive, x) > 5


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_references_among_which_the_own_example_may_be_give_it_without_bias(size):
    """Exactly, over all references of a size and all examples that may be behind x, by their probability given x."""
    data = torch.tensor([-2.0, -0.7, 0.1, 0.4, 1.5, 2.2], dtype=D)[:, None]
    x, level = torch.linspace(-3, 3, 7, dtype=D)[:, None], torch.full((7, 1), 0.8, dtype=D)
    weights = (-((x - data.T) ** 2) / (2 * level**2)).softmax(1)
    subsets = list(combinations(range(6), size))
    found = torch.zeros_like(x)
    for rows in map(torch.tensor, subsets):
        for i in range(6):
            same = (rows == i).expand(7, size)
            mean = posterior_mean(x, level, data[rows], data[i].expand(7, 1), same)
            found += weights[:, i : i + 1] * mean / len(subsets)
    torch.testing.assert_close(found, posterior_mean(x, level, data), rtol=1e-12, atol=1e-12)
