"""The conditional estimator keeps scikit-learn's rules, and its densities and draws are those of the targets given the rows."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from scorefield.interop import ConditionalScoreDensity

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator


def spread(X: np.ndarray) -> np.ndarray:
    return 0.3 + 0.2 * X[:, 0]


def pairs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and targets whose mean and standard deviation depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(count, 2))
    return X, 100 + 2 * X[:, 0] + X[:, 1] + spread(X) * rng.normal(size=count)


def exact(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    z = (y - 100 - 2 * X[:, 0] - X[:, 1]) / spread(X)
    return -0.5 * z**2 - np.log(spread(X)) - 0.5 * np.log(2 * np.pi)


@pytest.fixture(scope="module")
def fitted() -> ConditionalScoreDensity:
    return ConditionalScoreDensity(steps=800, random_state=0).fit(*pairs(3000, seed=0))


def quick() -> ConditionalScoreDensity:
    return ConditionalScoreDensity(steps=5, widths=8, random_state=0)


def offered() -> list[object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it does not inherit, which is meant
        checks = [check for _, check in estimator_checks_generator(ConditionalScoreDensity())]
    return [pytest.param(check, id=f"{i}-{getattr(check, 'func', check).__name__}") for i, check in enumerate(checks)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("check", offered())
def test_a_check_of_scikit_learn(check):
    check(quick())


@pytest.mark.slow
def test_log_densities_are_those_of_the_targets(fitted):
    X, y = pairs(80, seed=1)
    assert abs((fitted.log_prob(X, y) - exact(X, y)).mean()) < 0.05
    assert fitted.score(X, y) == pytest.approx(fitted.log_prob(X, y).mean(), rel=1e-12)


@pytest.mark.slow
def test_draws_have_the_mean_and_the_spread_of_their_own_row(fitted):
    X = np.array([[-0.8, 0.5], [0.0, 0.0], [0.8, -0.5]])
    drawn = fitted.sample(X, 300, random_state=1)
    assert drawn.shape == (300, 3)
    assert np.all(np.abs(drawn.mean(0) - (100 + 2 * X[:, 0] + X[:, 1])) < 0.3 * spread(X))
    assert np.all(np.abs(drawn.std(0) / spread(X) - 1) < 0.25)
    assert np.array_equal(fitted.sample(X, 5, random_state=1), drawn[:5])


def test_several_targets():
    X, y = pairs(60, seed=0)
    density = quick().fit(X, np.column_stack([y, -y]))
    assert density.sample(X[:3], 4, random_state=0).shape == (4, 3, 2)
    assert density.log_prob(X, np.column_stack([y, -y])).shape == (60,)


def test_a_search_a_pipeline_and_a_clone():
    X, y = pairs(60, seed=0)
    search = GridSearchCV(quick(), {"widths": [8, 12]}, cv=2).fit(X, y)
    assert np.isfinite(search.best_score_)
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, y)
    assert np.isfinite(pipeline.score(X, y))
    density = quick().fit(X, y)
    assert clone(density).get_params() == density.get_params() and not hasattr(clone(density), "model_")
    again = pickle.loads(pickle.dumps(density))
    np.testing.assert_array_equal(again.log_prob(X, y), density.log_prob(X, y))


def test_wrong_input():
    X, y = pairs(60, seed=0)
    with pytest.raises(NotFittedError):
        quick().sample(X)
    density = quick().fit(X, y)
    with pytest.raises(ValueError, match="n_samples must be positive, got 0"):
        density.sample(X, 0)
    with pytest.raises(ValueError, match="3 features"):
        density.sample(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        density.log_prob(X, y[:5])
    with pytest.raises(ValueError, match=r"y has the shape \(5,\): pass .* for 60 rows"):
        quick().fit(X, y[:5])
