from __future__ import annotations

import pytest
import torch

from scorefield.nn import Pieces

D = torch.float64


@pytest.mark.parametrize("pieces", [1, 4, 7])
def test_pieces_fill_one_after_another(pieces):
    """Each from -1 at its lower end to 1 at its upper one; between the outermost ends their sum is a map onto the line."""
    x = torch.linspace(-5, 5, 1001, dtype=D)[:, None] + 1e-3  # not at the borders, where rounding decides
    found = Pieces(1, pieces)(x)
    assert found.shape == (1001, pieces) and float(found.abs().max()) == 1
    assert bool((found.diff(dim=0) >= 0).all())
    partly = (found.abs() < 1 - 1e-9).sum(1)
    inside = x[:, 0].abs() < 3 - 1e-6
    assert int(partly.max()) == 1 and bool((partly[~inside] == 0).all())
    assert bool((found.sum(1)[inside].diff() > 0).all())


def test_inner_pieces_are_equally_likely():
    """Of a normal distribution, but for what lies beyond three standard deviations."""
    z = torch.special.ndtri((torch.arange(70_000, dtype=D) + 0.5) / 70_000)[:, None]
    share = (Pieces(1, 7)(z).abs() < 1).double().mean(0)
    torch.testing.assert_close(share, torch.full((7,), 1 / 7, dtype=D), rtol=0, atol=0.002)


def test_each_number_has_its_own_pieces():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=D)
    whole = Pieces(3, 4)(x)
    assert torch.equal(whole, torch.cat([Pieces(1, 4)(x[:, i : i + 1]) for i in range(3)], 1))
