"""The estimator keeps scikit-learn's rules, and its densities and samples are those of the data."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import scorefield
from scorefield.interop import ScoreDensity

pytest.importorskip("sklearn")

from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

MEAN = np.array([10.0, -5.0])
ROOT = np.array([[2.0, 0.0], [0.6, 0.3]])  # of a covariance with correlation 0.89


def offered() -> list[object]:
    """All checks that scikit-learn has for the estimator, each a function of an estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it does not inherit, which is meant
        checks = [check for _, check in estimator_checks_generator(ScoreDensity())]
    return [pytest.param(check, id=f"{i}-{getattr(check, 'func', check).__name__}") for i, check in enumerate(checks)]


def rows(count: int, seed: int) -> np.ndarray:
    return MEAN + np.random.default_rng(seed).normal(size=(count, 2)) @ ROOT.T


def exact(x: np.ndarray) -> np.ndarray:
    """The log-density of the distribution of `rows`."""
    z = np.linalg.solve(ROOT, (x - MEAN).T)
    return -0.5 * (z**2).sum(0) - np.log(2 * np.pi) - np.log(np.abs(np.linalg.det(ROOT)))


@pytest.fixture(scope="module")
def fitted() -> ScoreDensity:
    return ScoreDensity(steps=600, random_state=0).fit(rows(2000, seed=0))


@pytest.fixture(scope="module")
def quick() -> ScoreDensity:
    return ScoreDensity(steps=20, widths=16, depth=1, random_state=0).fit(rows(60, seed=0))


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
@pytest.mark.filterwarnings("ignore:neighbouring rows are alike:UserWarning")  # of data that some versions bring along
@pytest.mark.parametrize("check", offered())
def test_a_check_of_scikit_learn(check):
    check(ScoreDensity(steps=20, widths=32))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_checks_of_scikit_learn_with_default_parameters():
    results = check_estimator(ScoreDensity(), on_skip=None)
    assert len(results) >= 40
    assert {r["status"] for r in results} <= {"passed", "skipped"}
    assert sum(r["status"] == "skipped" for r in results) <= 1  # the array API, without SCIPY_ARRAY_API


def test_samples_have_the_moments_of_the_data(fitted):
    x = fitted.sample(4000, random_state=1)
    covariance = ROOT @ ROOT.T
    spread = np.sqrt(np.diag(covariance))
    error = 1 / np.sqrt(2000) + 1 / np.sqrt(4000)  # of the data that were learned, and of the samples
    assert np.all(np.abs(x.mean(0) - MEAN) < 4 * error * spread)
    assert np.all(np.abs(np.cov(x.T) - covariance) < 4 * np.sqrt(2) * error * np.outer(spread, spread))


def test_log_densities_are_those_of_the_law(fitted):
    x = rows(500, seed=1)
    difference = fitted.score_samples(x) - exact(x)
    assert np.abs(difference).mean() < 0.1  # four seeds of data and training gave 0.045 to 0.075
    assert abs(difference.mean()) < 0.03  # the Kullback-Leibler divergence: -0.011 to -0.002, by 500 data


def test_score_is_the_mean_of_the_log_densities(quick):
    x = rows(30, seed=1)
    assert quick.score(x) == pytest.approx(quick.score_samples(x).mean(), rel=1e-12)
    assert isinstance(quick.score(x, y=None), float)


def test_log_densities_are_float64_and_do_not_depend_on_the_companions(quick):
    x = rows(12, seed=1)
    together = quick.score_samples(x)
    assert together.dtype == np.float64
    apart = np.concatenate([quick.score_samples(row[None]) for row in x])
    np.testing.assert_allclose(apart, together, rtol=1e-9, atol=1e-9)


def test_the_units_are_those_of_the_data():
    x = rows(60, seed=0)
    one, other = (ScoreDensity(steps=20, random_state=0).fit(scale * x) for scale in (1.0, 1024.0))
    shift = one.score_samples(x) - other.score_samples(1024 * x)
    np.testing.assert_allclose(shift, 2 * np.log(1024), atol=1e-3)


@pytest.mark.slow
def test_few_data_are_not_memorized():
    density = ScoreDensity(random_state=0).fit(rows(100, seed=0))
    assert (exact(x := rows(500, seed=1)) - density.score_samples(x)).mean() < 0.15


def test_budgets_of_the_user():
    assert ScoreDensity(steps=7)._training().steps == 7
    assert ScoreDensity(minutes=0.5)._training().steps is None
    assert ScoreDensity(epochs=3)._training().epochs == 3
    with pytest.raises(ValueError, match="choose one budget"):
        ScoreDensity(steps=7, minutes=1).fit(rows(20, seed=0))


def test_hyperparameters_reach_the_fit():
    density = ScoreDensity(steps=3, batch=8, learning_rate=1e-3, widths=(24,), depth=3, random_state=5).fit(
        rows(60, seed=0)
    )
    network = density.model_.denoiser.network
    assert (network.width, network.depth, density.n_iter_) == (24, 3, 3)
    same = scorefield.fit(
        rows(60, seed=0),
        data=scorefield.Data(structure="vector"),
        network=scorefield.Network(widths=(24,), depth=3),
        training=scorefield.Training(steps=3, batch=8, learning_rate=1e-3),
        seed=5,
    )
    for ours, theirs in zip(density.model_.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_numbers_of_numpy_do_as_those_of_python(tmp_path):
    integers = {"steps": 4, "batch": 8, "widths": 12, "depth": 1, "random_state": 5}
    numbers = {"learning_rate": 1e-3, "held_out": 0.2}
    ours = {k: np.int64(v) for k, v in integers.items()} | {k: np.float64(v) for k, v in numbers.items()}
    x = rows(40, seed=0)
    one, other = (ScoreDensity(**p).fit(x) for p in (integers | numbers, ours))
    assert np.array_equal(one.score_samples(x), other.score_samples(x))
    other.model_.save(tmp_path / "model.safetensors")
    assert scorefield.load(tmp_path / "model.safetensors").denoiser.network.width == 12


def test_random_state_of_the_fit():
    x = rows(30, seed=0)

    def learned(random_state: object) -> np.ndarray:
        return ScoreDensity(steps=2, widths=8, random_state=random_state).fit(x).score_samples(x[:3])

    assert np.array_equal(learned(3), learned(3))
    assert np.array_equal(learned(np.random.RandomState(3)), learned(np.random.RandomState(3)))
    assert not np.array_equal(learned(3), learned(4))
    assert not np.array_equal(learned(None), learned(None))
    with pytest.raises(ValueError, match="cannot be used to seed"):
        learned("three")


def test_random_state_of_the_samples(quick):
    some, more = quick.sample(3, random_state=7), quick.sample(300, random_state=7)
    assert some.shape == (3, 2)
    np.testing.assert_allclose(some, more[:3], rtol=1e-4)
    assert quick.sample().shape == (1, 2)
    assert not np.array_equal(quick.sample(), quick.sample())
    np.random.seed(0)
    one = quick.sample()
    np.random.seed(0)
    assert np.array_equal(one, quick.sample())  # None is NumPy's global generator, as everywhere in scikit-learn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_have_the_type_of_the_data(dtype):
    density = ScoreDensity(steps=2, widths=8).fit(rows(30, seed=0).astype(dtype))
    assert density.sample(2).dtype == dtype


def test_the_model_stays_as_it_was_fitted(quick):
    quick.score_samples(rows(3, seed=1))
    assert {p.dtype for p in quick.model_.parameters()} == {torch.float32}


def test_wide_rows_are_no_signals():
    x = np.cumsum(np.random.default_rng(0).normal(size=(40, 70)), 1)
    assert ScoreDensity(steps=1, widths=8).fit(x).model_.schema.structure == "vector"


def test_pickle_and_joblib(quick, tmp_path):
    joblib = pytest.importorskip("joblib")
    x = rows(5, seed=1)
    joblib.dump(quick, tmp_path / "density.joblib")
    for back in (pickle.loads(pickle.dumps(quick)), joblib.load(tmp_path / "density.joblib")):
        assert repr(back) == repr(quick)
        assert np.array_equal(back.score_samples(x), quick.score_samples(x))
        assert np.array_equal(back.sample(2, random_state=0), quick.sample(2, random_state=0))


def test_clone_keeps_the_hyperparameters_alone(quick):
    other = clone(quick)
    assert other.get_params() == quick.get_params()
    assert not hasattr(other, "model_")


@pytest.mark.slow
def test_a_search_over_widths():
    search = GridSearchCV(
        ScoreDensity(steps=60, random_state=0), {"widths": [1, np.int64(64)]}, cv=2, error_score="raise"
    )
    search.fit(rows(200, seed=0))
    assert search.best_params_ == {"widths": 64}
    assert search.score(rows(10, seed=1)) == pytest.approx(search.best_estimator_.score(rows(10, seed=1)))


def test_a_pipeline():
    x = rows(60, seed=0)
    pipeline = make_pipeline(StandardScaler(), ScoreDensity(steps=5, widths=8, random_state=0)).fit(x)
    assert pipeline.score_samples(x).shape == (60,)
    assert pipeline.score(x) == pytest.approx(pipeline.score_samples(x).mean())
    assert "ScoreDensity" in pipeline._repr_html_()


def test_tables():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(rows(60, seed=0), columns=["height", "weight"])
    density = ScoreDensity(steps=2, widths=8, random_state=0).fit(table)
    assert density.feature_names_in_.tolist() == ["height", "weight"]
    assert density.n_features_in_ == 2
    assert density.score_samples(table).shape == (60,)
    with pytest.raises(ValueError, match="same order"):
        density.score_samples(table[["weight", "height"]])
    assert not hasattr(density.fit(table.to_numpy()), "feature_names_in_")


def test_samples_of_a_table_are_a_table():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(rows(60, seed=0), columns=["height", "weight"])
    density = ScoreDensity(steps=2, widths=8, random_state=0).fit(table)
    found = density.sample(5, random_state=1)
    assert isinstance(found, pandas.DataFrame) and found.columns.tolist() == ["height", "weight"]
    assert density.score_samples(found).shape == (5,)
    array = density.set_output(transform="default").sample(5, random_state=1)
    assert isinstance(array, np.ndarray) and np.array_equal(array, found.to_numpy())
    assert isinstance(clone(density).fit(table).sample(2), np.ndarray), "clone keeps the form, as it does for others"
    assert isinstance(density.fit(table.to_numpy()).sample(2), np.ndarray)


def test_the_form_of_samples_is_that_which_is_set():
    pandas = pytest.importorskip("pandas")
    density = ScoreDensity(steps=2, widths=8, random_state=0).fit(rows(60, seed=0))
    assert isinstance(density.sample(2), np.ndarray)
    with config_context(transform_output="pandas"):
        assert density.sample(2).columns.tolist() == ["x0", "x1"]
    assert density.set_output(transform="pandas") is density
    assert isinstance(density.set_output().sample(2), pandas.DataFrame)
    with pytest.raises(ValueError, match="transform must be 'default', 'pandas' or 'polars', got 'arrow'"):
        density.set_output(transform="arrow")


def test_constant_columns_are_named():
    pandas = pytest.importorskip("pandas")
    x = np.column_stack([rows(20, seed=0), np.full(20, 3.0)])
    with pytest.raises(ValueError, match=r"never vary, got column 2: drop them, .*VarianceThreshold"):
        ScoreDensity(steps=2).fit(x)
    with pytest.raises(ValueError, match=r"columns 'c', 'd': drop"):
        ScoreDensity(steps=2).fit(pandas.DataFrame(x[:, [0, 1, 2, 2]], columns=list("abcd")))
    with pytest.raises(ValueError, match=r"columns 0, 1, 2, 3, 4 and 2 more"):
        ScoreDensity(steps=2).fit(np.column_stack([np.ones((20, 7)), rows(20, seed=0)]))
    with pytest.raises(ValueError, match="all data are the same"):
        ScoreDensity(steps=2).fit(np.ones((20, 2)))


def test_before_the_fit():
    density = ScoreDensity()
    for call in (lambda: density.sample(), lambda: density.score(rows(2, seed=0)), lambda: check_is_fitted(density)):
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            call()


def test_wrong_input(quick):
    scipy = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="Sparse data was passed"):
        ScoreDensity().fit(scipy.csr_matrix(rows(20, seed=0)))
    with pytest.raises(ValueError, match="Complex data not supported"):
        ScoreDensity().fit(1j * rows(20, seed=0))
    with pytest.raises(ValueError, match="1 sample"):
        ScoreDensity().fit(rows(1, seed=0))
    with pytest.raises(ValueError, match="contains NaN"):
        quick.score_samples(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="X has 3 features, but ScoreDensity is expecting 2"):
        quick.score_samples(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="at least one sample"):
        quick.sample(0)
    with pytest.raises(ValueError, match="Invalid parameter 'width' for estimator ScoreDensity"):
        quick.set_params(width=3)


def test_repr_and_tags():
    assert repr(ScoreDensity()) == "ScoreDensity()"
    assert repr(ScoreDensity(steps=5, device="cpu")) == "ScoreDensity(steps=5, device='cpu')"
    tags = get_tags(ScoreDensity())
    assert tags.estimator_type == "density_estimator"
    assert tags.requires_fit and not tags.target_tags.required and not tags.input_tags.sparse


def test_the_door_opens_when_it_is_asked_to():
    interop = importlib.import_module("scorefield.interop")
    assert "ScoreDensity" in interop.__dir__()
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        interop.Nothing  # noqa: B018
    code = "import sys, scorefield.interop; assert 'torch' not in sys.modules; scorefield.interop.ScoreDensity()"
    code += "; assert 'torch' in sys.modules and 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
