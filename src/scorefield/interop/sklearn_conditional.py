"""An estimator of conditional densities in the manner of scikit-learn: the whole distribution of `y` given `X`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch

from .sklearn_base import ScoreEstimator, seed_of

__all__ = ["ConditionalScoreDensity"]


class ConditionalScoreDensity(ScoreEstimator):
    """Learns p(y | X): a regression whose answer is a distribution, to evaluate and to draw from.

    It follows scikit-learn's protocol as `ScoreDensity` does, with the same hyperparameters and attributes. `score` is the mean
    log-density of the targets, so that searches for hyperparameters choose the best density, not the best mean.

    Example:
        >>> X = np.random.default_rng(0).uniform(-1, 1, size=(400, 1))
        >>> y = X[:, 0] + 0.1 * np.random.default_rng(1).normal(size=400)
        >>> density = ConditionalScoreDensity(steps=30, random_state=0).fit(X, y)
        >>> density.sample(X[:3], n_samples=50, random_state=1).shape, density.log_prob(X[:3], y[:3]).shape
        ((50, 3), (3,))
    """

    _one = True

    def fit(self, X: Any, y: Any) -> Self:
        """Learns the density of `y` given `X`, and returns the estimator itself.

        Arguments:
            X: Numbers of shape `(n_samples, n_features)`: an array or a table.
            y: Numbers of shape `(n_samples,)` or `(n_samples, n_targets)`: an array or a table.

        Raises:
            TypeError: If `X` is sparse, or something holds no numbers.
            ValueError: If something is complex or not finite, there are not as many targets as rows, or fewer than 2, or
                columns are constant; or if a hyperparameter is out of its range.
        """
        from sklearn.utils.validation import validate_data

        numbers: dict[str, Any] = {"dtype": [np.float64, np.float32], "ensure_min_samples": 2}
        several = {"ensure_2d": False, "allow_nd": False, "dtype": np.float64}
        X, y = validate_data(self, X, y, validate_separately=(numbers, several))
        if y.ndim > 2 or len(y) != len(X):
            raise ValueError(
                f"y has the shape {y.shape}: pass (n_samples,) or (n_samples, n_targets) for {len(X)} rows"
            )
        self._one = y.ndim == 1
        return self._fit(np.reshape(y, (len(y), -1)), X.astype(np.float64), unconditional=0.0)

    def sample(self, X: Any, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Draws targets for each row.

        Arguments:
            X: Numbers of shape `(n, n_features)`.
            n_samples: How many draws of each row.
            random_state: The seed, as in the constructor; None, the default, gives other draws every time.

        Returns:
            Targets, `(n_samples, n)` or `(n_samples, n, n_targets)`: their mean over the first axis is a prediction, their
            quantiles are an interval.

        Raises:
            sklearn.exceptions.NotFittedError: If `fit` has not been called.
            ValueError: If `n_samples` is not positive, or `X` has other features than those learned.
        """
        X = self._checked(X)
        if n_samples < 1:
            raise ValueError(f"n_samples must be positive, got {n_samples}")
        drawn = self._model().condition(X).sample(n_samples * len(X), seed_of(random_state))
        rows: np.ndarray = np.asarray(drawn).reshape(n_samples, len(X), -1)
        return rows[:, :, 0] if self._one else rows

    def log_prob(self, X: Any, y: Any) -> np.ndarray:
        """The log-density of each target given its row, `(n_samples,)`, in nats and in the units of the targets.

        Arguments:
            X: Numbers of shape `(n_samples, n_features)`.
            y: Targets of these rows, `(n_samples,)` or `(n_samples, n_targets)`.

        Raises:
            sklearn.exceptions.NotFittedError: If `fit` has not been called.
            ValueError: If there are other features or targets than those learned, or not as many targets as rows.
        """
        from sklearn.utils.validation import check_array, check_consistent_length

        X = self._checked(X)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(X, y)
        found = self._model().condition(X).log_prob(np.reshape(y, (len(y), -1)))
        value: torch.Tensor = found.value
        return value.numpy()

    def score(self, X: Any, y: Any) -> float:
        """The mean log-density of the targets, in nats: the larger, the better."""
        return float(np.mean(self.log_prob(X, y)))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        none = {"transformer_tags": None, "classifier_tags": None, "regressor_tags": None}
        target = TargetTags(required=True, multi_output=True)
        return Tags("density_estimator", target, **none, input_tags=InputTags())

    def _checked(self, X: Any) -> np.ndarray:
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        found: np.ndarray = validate_data(self, X, dtype=np.float64, reset=False)
        return found
