"""The same numbers as torchmetrics, POT and SciPy."""

import numpy as np
import ot
import pytest
import torch
from torchmetrics.image import fid, kid

from scorefield.metrics import frechet_distance, kernel_distance, mmd, sliced_wasserstein, wasserstein


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 3)) + 0.3, rng.normal(size=(60, 3))


class Identity(torch.nn.Module):
    """The identity as a feature network, which torchmetrics requires."""

    num_features = 3

    def forward(self, x):
        return x.flatten(1).double()


def test_wasserstein_is_that_of_pot(pair):
    x, y = pair
    cost = ot.dist(x, y)
    expected = ot.emd2(np.full(60, 1 / 60), np.full(60, 1 / 60), cost) ** 0.5
    assert wasserstein(x, y, standardize=False) == pytest.approx(expected, abs=1e-6)
    one = ot.wasserstein_1d(x[:, 0], y[:, 0], p=2) ** 0.5
    assert sliced_wasserstein(x[:, 0], y[:, 0], standardize=False) == pytest.approx(one, abs=1e-6)
    directions = np.random.default_rng(0).standard_normal((128, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions.T, p=2)
    assert sliced_wasserstein(x, y, standardize=False) == pytest.approx(expected, abs=1e-6)


def test_frechet_is_that_of_torchmetrics(pair):
    metric = fid.FrechetInceptionDistance(feature=Identity())
    x, y = (torch.from_numpy(z)[:, :, None, None] for z in pair)
    metric.update(y, real=True)
    metric.update(x, real=False)
    assert frechet_distance(*pair) == pytest.approx(float(metric.compute()), abs=1e-6)


def test_kernel_distance_is_that_of_torchmetrics(pair):
    x, y = (torch.from_numpy(z) for z in pair)
    expected = kid.poly_mmd(y, x)  # all rows, unbiased
    assert kernel_distance(*pair) == pytest.approx(float(expected), abs=1e-6)


def test_mmd_is_that_of_scipy(pair):
    from scipy.spatial.distance import cdist, pdist

    x, y = pair
    far = np.sort(pdist(np.concatenate(pair)))
    width = far[len(far) // 2]
    within, across = (np.exp(-(cdist(a, b) ** 2) / (2 * width**2)) for a, b in ((x, x), (x, y)))
    other = np.exp(-(cdist(y, y) ** 2) / (2 * width**2))
    pairs = 60 * 59
    expected = (within.sum() - 60 + other.sum() - 60) / pairs - 2 * across.mean()
    assert mmd(x, y, standardize=False) == pytest.approx(expected, abs=1e-12)
