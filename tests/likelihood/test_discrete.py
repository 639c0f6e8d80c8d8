import math

import pytest
import torch
from torch import Tensor

from scorefield.likelihood import LogProb, bits_per_dim, spacing
from scorefield.rng import Samples

D = torch.float64


def known(value: Tensor) -> LogProb:
    zero = torch.zeros_like(value)
    return LogProb(value, zero, zero, zero, zero, torch.ones_like(value, dtype=torch.int64))


def linear(x: Tensor, draw: int) -> LogProb:
    """p(x) = Π 2 x_i / 10² on [0, 10]: over cells of width 1 the mean of log p is known."""
    return known((2 * x / 100).log().flatten(1).sum(1))


def test_the_mean_over_a_cell_is_within_its_standard_error() -> None:
    """E log(k + u) over a cell from a to b is (b ln b - a ln a)/(b - a) - 1; the probability of the cell is (b² - a²)/100."""
    x = torch.tensor([[1.0, 3.0], [8.0, 1.0]], dtype=D).repeat(500, 1)
    found = bits_per_dim(linear, x, torch.ones(2, dtype=D), Samples(0, count=1000), draws=6)
    low, high = x - 0.5, x + 0.5
    mean = (high * high.log() - low * low.log() - 1 + math.log(2 / 100)).sum(1)
    off = found.value + mean / (2 * math.log(2))
    assert abs(float(off.mean())) < 4.5 * float(off.std()) / 1000**0.5
    assert float(found.standard_error.square().mean().sqrt()) == pytest.approx(float(off.std()), rel=0.1)
    exact = -((high**2 - low**2) / 100).log().sum(1) / (2 * math.log(2))
    assert float(exact.mean()) < float(found.tight.mean()) < float(found.value.mean())
    torch.testing.assert_close(found.log_prob.value, -found.value * 2 * math.log(2))
    assert found.draws == 6 and found.log_prob.evaluations.tolist() == [6] * 1000


@pytest.mark.parametrize("scale", [1.0, 0.01, 10.0])
def test_bits_per_dim_do_not_depend_on_units(scale: float) -> None:
    """A uniform distribution on n values of any spacing takes log₂ n bits."""
    levels = 12
    x = scale * torch.randint(levels, (20, 3, 4, 4)).double() - 7 * scale

    def uniform(x: Tensor, draw: int) -> LogProb:
        assert bool(((x > -7.5 * scale) & (x < (levels - 7.5) * scale)).all())
        return known(torch.full((len(x),), -48 * math.log(levels * scale), dtype=D))

    found = bits_per_dim(uniform, x, spacing(x, scale == 1.0), Samples(0, count=20), draws=2)
    torch.testing.assert_close(found.value, torch.full((20,), math.log2(levels), dtype=D), atol=1e-9, rtol=0)


def test_integers_and_rounded_numbers_are_recognized() -> None:
    rng = Samples(0, count=200)
    x = rng.normal((200, 3), D)
    x[:, 0], x[:, 1] = (3 * x[:, 0]).round(), (x[:, 1] * 10).round() / 10
    torch.testing.assert_close(spacing(x, (True, False, False)), torch.tensor([1.0, 0.1, 0.0], dtype=D))
    torch.testing.assert_close(spacing(2 * x, (True, False, False)), torch.tensor([1.0, 0.2, 0.0], dtype=D))
    torch.testing.assert_close(spacing(x.reshape(200, 1, 3).round(), True), torch.ones(1, 3, dtype=D))
    with pytest.raises(ValueError, match="no feature here is either: use log_prob, or pass step="):
        spacing(rng.normal((200, 3), D), False)


def test_continuous_features_are_not_dequantized() -> None:
    x = torch.tensor([[1.0, 0.3]], dtype=D)
    seen = []

    def density(x: Tensor, draw: int) -> LogProb:
        seen.append(x)
        return known(torch.zeros(len(x), dtype=D))

    bits_per_dim(density, x, torch.tensor([1.0, 0.0], dtype=D), Samples(0, count=1), draws=3)
    assert all(float(y[0, 1]) == 0.3 and 0.5 <= float(y[0, 0]) < 1.5 for y in seen)
    assert len({float(y[0, 0]) for y in seen}) == 3


def test_what_it_refuses() -> None:
    x = torch.ones(1, 1, dtype=D)
    with pytest.raises(ValueError, match="draws >= 1 and spacings >= 0, got draws=0"):
        bits_per_dim(linear, x, torch.ones(1, dtype=D), Samples(0, count=1), draws=0)
    with pytest.raises(ValueError, match="draws >= 1 and spacings >= 0, got draws=1, -1"):
        bits_per_dim(linear, x, -torch.ones(1, dtype=D), Samples(0, count=1), draws=1)
