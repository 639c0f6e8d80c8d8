"""Rows, scales and subsamples, which all comparisons use."""

import numpy as np
import pytest
import torch

from scorefield.metrics.base import as_rows, paired, scale_of, subsample


def test_integers_become_floats_and_one_axis_becomes_one_feature():
    assert as_rows(np.arange(4, dtype=np.uint8)).dtype == torch.float32
    assert as_rows(torch.arange(4)).shape == (4, 1)
    assert as_rows(np.zeros((2, 3))).dtype == torch.float64


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "tensor or an array.*got list"),
        (np.array(["a"]), TypeError, "real numbers"),
        (torch.zeros(2, dtype=torch.complex64), TypeError, "real numbers"),
        (np.zeros((0, 3)), ValueError, "at least one row"),
        (np.array([[1.0], [np.nan], [np.inf]]), ValueError, r"2 of 3 rows \(first: \[1, 2\]\): drop"),
    ],
)
def test_bad_data_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        as_rows(x)


def test_scale_is_by_feature_for_tables_and_by_channel_for_grids():
    rng = torch.Generator().manual_seed(0)
    table = torch.randn(5000, 3, generator=rng) * torch.tensor([1.0, 10.0, 0.0]) + 0.1
    assert torch.allclose(scale_of(table), torch.tensor([[1.0, 10.0, 1.0]]), rtol=0.05)
    grid = torch.randn(500, 2, 4, 4, generator=rng) * torch.tensor([1.0, 7.0]).view(1, 2, 1, 1)
    assert scale_of(grid).shape == (1, 2, 1, 1)
    assert torch.allclose(scale_of(grid).flatten(), torch.tensor([1.0, 7.0]), rtol=0.05)


def test_subsample_depends_on_the_seed_only():
    x = torch.arange(100)
    assert torch.equal(subsample(x, 10, 0), subsample(x, 10, 0))
    assert torch.equal(subsample(x, 10, 0), torch.from_numpy(subsample(x.numpy(), 10, 0)))
    assert not torch.equal(subsample(x, 10, 0), subsample(x, 10, 1))
    assert subsample(x, 100, 0) is x


def test_pairs_must_share_a_shape():
    with pytest.raises(ValueError, match=r"must have the shape of \w+, got \(2,\) and \(3,\)"):
        paired(np.zeros((4, 2)), np.zeros((4, 3)), True, 10, 0)
