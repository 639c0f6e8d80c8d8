"""Fréchet distances against matrix square roots and closed forms; features of all kinds."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from scorefield.metrics import Principal, features, frechet_distance, frechet_with_floor, inception, wasserstein


@pytest.fixture
def rng():
    return np.random.default_rng(9)


def test_frechet_is_that_of_the_matrix_square_root(rng):
    x, y = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)) + 0.4, rng.normal(size=(80, 5))
    a, b = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(expected, abs=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, abs=1e-9)


def test_fewer_rows_than_features_do_no_harm(rng):
    x = rng.normal(size=(10, 40))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x + 1, x) == pytest.approx(40, rel=1e-6)
    assert frechet_distance(np.arange(3.0), np.arange(3.0) + 2) == pytest.approx(4)


def test_of_gaussians_it_is_the_squared_wasserstein_distance(rng):
    x, y = 2 * rng.normal(size=(400, 1)) + 1, rng.normal(size=(400, 1))
    assert frechet_distance(x, y) == pytest.approx(2, rel=0.2)
    assert wasserstein(x, y, standardize=False) ** 2 == pytest.approx(frechet_distance(x, y), rel=0.1)


def test_features_may_be_the_data_their_components_or_a_network(rng):
    real, drawn = rng.normal(size=(300, 1, 10, 10)), rng.normal(size=(100, 1, 10, 10)) * 1.5
    components = frechet_with_floor(drawn, real[:100], real[100:])
    assert "64 principal components" in components.note and not components.covered
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(100, 4)).double()
    found = frechet_with_floor(drawn, real[:100], real[100:], features=network)
    assert found.interval[0] < found.value < found.interval[1] and not found.covered and found.counts == (100, 100)
    plain = frechet_with_floor(drawn[:, 0, 0], real[:100, 0, 0], real[100:, 0, 0])
    assert "the data themselves" in plain.note and not plain.covered


def test_principal_components_are_orthogonal_and_ordered(rng):
    x = rng.normal(size=(200, 3, 4)) * np.arange(1, 5)
    components = Principal.of(x, 5)(torch.from_numpy(x))
    covariance = torch.cov(components.T)
    assert torch.allclose(covariance, covariance.diag().diag(), atol=1e-3) and (covariance.diag().diff() <= 0).all()


def test_wasserstein_is_the_best_pairing(rng):
    from itertools import permutations

    x, y = rng.normal(size=(6, 2)), rng.normal(size=(6, 2)) + 1
    cost = np.linalg.norm(x[:, None] - y, axis=2)
    best = {p: min(np.mean([cost[i, j] ** p for i, j in enumerate(o)]) for o in permutations(range(6))) for p in (1, 2)}
    for order in (1, 2):
        expected = best[order] ** (1 / order)
        assert wasserstein(x, y, order=order, standardize=False) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_is_scipys_in_one_dimension_and_takes_as_many_of_each(rng):
    from scipy.stats import wasserstein_distance

    x, y = rng.normal(size=200), rng.exponential(size=200)
    assert wasserstein(x, y, order=1, standardize=False) == pytest.approx(wasserstein_distance(x, y), abs=1e-12)
    assert wasserstein(x, np.r_[y, y], order=1, standardize=False, maximum=50) > 0
    with pytest.raises(ValueError, match="order >= 1"):
        wasserstein(x, y, order=0.5)


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least two rows and equal numbers of features, got \(1, 2\), \(5, 2\)"):
        frechet_distance(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"one row per sample, \(5, F\), got \(5, 2, 2\): flatten"):
        features.features_of(np.zeros((5, 2, 2)), lambda x: x)


def test_fid_says_what_it_lacks(tmp_path, monkeypatch):
    places = []

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(features, "import_module", missing)
    with pytest.raises(ImportError, match=r'pip install "torchmetrics\[image\]"'):
        inception(tmp_path / "weights.pth")

    class Mean(torch.nn.Module):
        def to(self, device):
            places.append(device)
            return self

        def forward(self, x):
            return x.float().mean((2, 3))

    class Fake:
        @staticmethod
        def NoTrainInceptionV3(name, layers, feature_extractor_weights_path):  # noqa: N802
            if "broken" in feature_extractor_weights_path:
                raise ModuleNotFoundError("torch_fidelity")
            return Mean()

    monkeypatch.setattr(features, "import_module", lambda name: Fake)
    with pytest.raises(FileNotFoundError, match=r"weights\.pth does not exist: download"):
        inception(tmp_path / "weights.pth")
    (tmp_path / "broken.pth").touch()
    with pytest.raises(ImportError, match="torch-fidelity in addition to torchmetrics"):
        inception(tmp_path / "broken.pth")
    (tmp_path / "weights.pth").touch()
    network = inception(tmp_path / "weights.pth", "cpu")
    assert places == ["cpu"]
    assert network(torch.full((2, 1, 8, 8), 99.6)).tolist() == [[100.0] * 3] * 2
    with pytest.raises(ValueError, match=r"\(B, 1 or 3, H, W\), got \(2, 4, 8, 8\)"):
        network(torch.zeros(2, 4, 8, 8))
