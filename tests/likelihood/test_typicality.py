import pytest
import torch

from scorefield.likelihood import typicality
from scorefield.rng import Samples


def test_p_values_are_valid_and_uniform_for_the_same_distribution() -> None:
    draws = Samples(0, count=2000).normal((2000, 150), torch.float64)
    p = torch.stack([typicality(row[:1], row[1:]) for row in draws])[:, 0]
    for a in (0.02, 0.1, 0.5):
        share = float((p <= a).double().mean())
        assert share < a + 4 * (a * (1 - a) / 2000) ** 0.5
        assert share > a - 0.02 - 4 * (a * (1 - a) / 2000) ** 0.5


def test_too_unlikely_and_too_likely_data_have_small_p_values() -> None:
    reference = torch.linspace(-3, 0, 999).double()
    p = typicality(torch.tensor([-50.0, -1.5, 50.0]).double(), reference)
    torch.testing.assert_close(p, torch.tensor([0.002, 1.0, 0.002]).double())


def test_ties_are_typical() -> None:
    assert typicality(torch.zeros(2), torch.zeros(10)).tolist() == [1.0, 1.0]


def test_reference_data_must_be_finite_and_not_empty() -> None:
    for reference in (torch.zeros(0), torch.zeros(2, 2), torch.tensor([0.0, float("nan")])):
        with pytest.raises(ValueError, match=r"needs finite log-densities of reference data, of shape \(N,\)"):
            typicality(torch.zeros(1), reference)
