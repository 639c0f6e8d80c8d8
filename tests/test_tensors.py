from __future__ import annotations

import pytest
import torch

from scorefield.tensors import expand, per_sample, sum_events


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 8, 8)])
def test_expand_broadcasts_one_value_per_sample(shape):
    t, x = torch.tensor([1.0, 2.0, 3.0]), torch.ones(shape)
    product = expand(t, x) * x
    assert product.shape == x.shape
    for i in range(3):
        assert bool((product[i] == t[i]).all())


def test_expand_keeps_scalars():
    t = torch.tensor(2.0)
    assert expand(t, torch.ones(3, 2)) is t


@pytest.mark.parametrize("shape", [(2,), (3, 1), (1,)])
def test_expand_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"t must have shape \(\) or \(3,\) to go with x of shape \(3, 2\), got"):
        expand(torch.ones(shape), torch.ones(3, 2))


def test_per_sample_inverts_expand():
    t, x = torch.tensor([1.0, 2.0, 3.0]), torch.ones(3, 2, 8)
    assert torch.equal(per_sample(expand(t, x), x), t)
    assert torch.equal(per_sample(torch.tensor(2.0), x), torch.full((3,), 2.0))


def test_sum_events_keeps_samples_apart():
    x = torch.arange(24.0).reshape(2, 3, 4)
    assert sum_events(x).tolist() == [sum(range(12)), sum(range(12, 24))]
    assert sum_events(torch.tensor([4.0, 5.0])).tolist() == [4.0, 5.0]
