"""A density estimator in the manner of scikit-learn: it stands in pipelines and in searches for hyperparameters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal, Self

import numpy as np

from ..settings import Training
from .sklearn_base import ScoreEstimator, plain_number, seed_of

__all__ = ["ScoreDensity"]

Container = Literal["default", "pandas", "polars"]


class ScoreDensity(ScoreEstimator):
    """Learns the density of the rows of a matrix: evaluates it and draws from it.

    It follows scikit-learn's protocol without its base classes, so that scikit-learn is imported only when a method is
    called. Like `sklearn.neighbors.KernelDensity` it has `fit`, `score_samples`, `score` and `sample`; but `score` is the
    mean over the rows, as in `sklearn.mixture.GaussianMixture`, and not their sum: folds of different sizes compare.

    Arguments:
        steps: The budget in optimizer steps. With no budget at all it follows the number of rows: few are soon memorized,
            and more steps then make the density worse.
        minutes: The budget in minutes, instead; what is learned then depends on the machine.
        epochs: The budget in passes through the data, instead.
        batch: How many rows a step sees.
        learning_rate: The learning rate.
        widths: The width of the network, a number or a tuple of one.
        depth: The number of blocks of the network.
        held_out: The part of the rows that training does not see, to choose the best weights by; 0 for none.
        random_state: An int is the seed of `scorefield.fit`; a RandomState gives one at each `fit`; None takes one from
            NumPy's global generator, so that every `fit` differs.
        device: Where to train: "auto" takes a GPU if there is one. Samples and densities are computed there too, if it
            is one of CUDA and still there, and otherwise on the CPU.
        rate: The old name of `learning_rate`.

    After `fit` there are `model_`, the `scorefield.Model`; `n_iter_`, the steps made; `n_features_in_`; and
    `feature_names_in_` if `X` was a table whose columns have names.

    Example:
        >>> X = np.random.default_rng(0).normal([10, -5], [1, 2], size=(500, 2))
        >>> density = ScoreDensity(steps=100, random_state=0).fit(X)
        >>> density.score_samples(X[:3]).shape, density.sample(4, random_state=1).shape
        ((3,), (4, 2))
    """

    _given: Container = "default"
    _sklearn_output_config: dict[str, Container | None]

    def __init__(
        self,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        epochs: float | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        widths: int | tuple[int, ...] | None = None,
        depth: int | None = None,
        held_out: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        rate: float | str = "deprecated",
    ) -> None:
        budget: dict[str, Any] = {"steps": steps, "minutes": minutes, "epochs": epochs, "batch": batch}
        shape: dict[str, Any] = {"learning_rate": learning_rate, "widths": widths, "depth": depth}
        super().__init__(**budget, **shape, held_out=held_out, random_state=random_state, device=device)
        self.rate = rate

    def fit(self, X: Any, y: None = None) -> Self:
        """Learns the density of the rows of `X`, and returns the estimator itself.

        Arguments:
            X: Numbers of shape `(n_samples, n_features)`: an array or a table.
            y: Nothing, for pipelines.

        Raises:
            TypeError: If `X` is sparse, or holds no numbers.
            ValueError: If it is complex, not finite, of fewer than 2 rows, or has constant columns; or if a
                hyperparameter is out of its range.
        """
        from sklearn.utils.validation import validate_data

        given = _container(X)
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        _varies(X, getattr(self, "feature_names_in_", None))
        self._given = given if hasattr(self, "feature_names_in_") else "default"
        return self._fit(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """The log-density at each row, `(n_samples,)`, in nats and in the units of the data.

        For up to 64 features it is that of the network to some 1e-5 nats; above, 8 random probes estimate it, and a row's
        estimate depends on its place: `model_.log_prob` gives standard errors, and takes more probes.

        Arguments:
            X: Numbers of shape `(n_samples, n_features)`.

        Raises:
            sklearn.exceptions.NotFittedError: If `fit` has not been called.
            ValueError: If `X` has other features than those learned.
        """
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._model().log_prob(X).value.numpy()

    def score(self, X: Any, y: None = None) -> float:
        """The mean log-density of the rows, in nats: the larger, the better.

        Arguments:
            X: Numbers of shape `(n_samples, n_features)`.
            y: Nothing, for pipelines.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """Draws new rows, `(n_samples, n_features)`, as a table if the model was fitted to one (see `set_output`).

        With an int as `random_state`, more rows begin with the same ones.

        Arguments:
            n_samples: How many.
            random_state: The seed, as in the constructor; None, the default, gives other rows every time.

        Raises:
            sklearn.exceptions.NotFittedError: If `fit` has not been called.
            ValueError: If `n_samples` is not positive.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        return self._in_form(self._model().sample(n_samples, seed_of(random_state)), names, self._given)

    def set_output(self, *, transform: Container | None = None) -> Self:
        """Sets the form of samples: "default" for arrays, "pandas" or "polars" for tables; None changes nothing.

        Without it samples have the form of what was fitted, a table for a table, unless `sklearn.set_config` asks for tables.

        Raises:
            ValueError: If there is no such form.
        """
        if transform not in ("default", "pandas", "polars", None):
            raise ValueError(f"transform must be 'default', 'pandas' or 'polars', got {transform!r}")
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # under this name, which `clone` copies
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        none = {"transformer_tags": None, "classifier_tags": None, "regressor_tags": None}
        return Tags("density_estimator", TargetTags(required=False), **none, input_tags=InputTags())

    def _training(self) -> Training:
        settings = super()._training()
        if self.rate == "deprecated":
            return settings
        warnings.warn("ScoreDensity: rate is now learning_rate: write learning_rate=", FutureWarning, stacklevel=4)
        return replace(settings, learning_rate=plain_number(self.rate))

    def _in_form(self, rows: np.ndarray, names: Sequence[str], given: Container) -> Any:
        """Rows as an array or as a table: as set, as scikit-learn is configured, or as was fitted."""
        from sklearn import get_config

        chosen = getattr(self, "_sklearn_output_config", {}).get("transform")
        if chosen is None:
            everywhere = get_config()["transform_output"]
            chosen = given if everywhere == "default" else everywhere
        if chosen == "pandas":
            return import_module("pandas").DataFrame(rows, columns=list(names))
        return import_module("polars").DataFrame(rows, schema=list(names)) if chosen == "polars" else rows


def _container(x: Any) -> Container:
    """Whether data are a table of pandas or Polars, the columns of which have names, or an array."""
    library = type(x).__module__.partition(".")[0]
    return library if hasattr(x, "columns") and library in ("pandas", "polars") else "default"  # type: ignore[return-value]


def _varies(X: np.ndarray, names: np.ndarray | None) -> None:
    """Raises an error that names the constant columns; the library's own cannot know their names."""
    constant = np.flatnonzero(np.equal(X, X[0]).all(0))
    if not len(constant) or len(constant) == X.shape[1]:
        return
    which = f"column{'s' * (len(constant) > 1)} "
    which += ", ".join(repr(str(names[c])) if names is not None else str(c) for c in constant[:5])
    which += f" and {len(constant) - 5} more" if len(constant) > 5 else ""
    advice = "drop them, or put sklearn.feature_selection.VarianceThreshold() before in a pipeline"
    raise ValueError(f"there is no density over columns that never vary, got {which}: {advice}")
