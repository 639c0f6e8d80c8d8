"""A density estimator in the manner of scikit-learn: it stands in pipelines and in searches for hyperparameters."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..runs import fit
from ..settings import Data, Network, Training
from ..training import Progress

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["ScoreDensity"]


class ScoreDensity:
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

    model_: Model
    n_iter_: int
    n_features_in_: int
    feature_names_in_: np.ndarray

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
        self.steps, self.minutes, self.epochs, self.batch = steps, minutes, epochs, batch
        self.learning_rate, self.rate, self.widths, self.depth = learning_rate, rate, widths, depth
        self.held_out, self.random_state, self.device = held_out, random_state, device

    def fit(self, X: Any, y: None = None) -> ScoreDensity:
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

        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        _varies(X, getattr(self, "feature_names_in_", None))
        widths = _plain(self.widths)
        made = [0]

        def watch(progress: Progress) -> None:
            made[0] = progress.step

        self.model_ = fit(
            X,
            data=Data(structure="vector", held_out=_plain(self.held_out)),
            network=Network((widths,) if isinstance(widths, int) else widths, _plain(self.depth)),
            training=self._training(),
            seed=_seed(self.random_state),
            device=self.device,
            watch=watch,
        )
        self.n_iter_ = made[0]
        return self

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

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Draws new rows, `(n_samples, n_features)`. With an int as `random_state`, more rows begin with the same ones.

        Arguments:
            n_samples: How many.
            random_state: The seed, as in the constructor; None, the default, gives other rows every time.

        Raises:
            sklearn.exceptions.NotFittedError: If `fit` has not been called.
            ValueError: If `n_samples` is not positive.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        rows: np.ndarray = self._model().sample(n_samples, _seed(random_state))
        return rows

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name; `deep` changes nothing."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> ScoreDensity:
        """Sets hyperparameters.

        Raises:
            ValueError: If there is none of a name.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {[*known]}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        values = {p.name: repr(getattr(self, p.name)) for p in parameters}
        changed = [f"{p.name}={values[p.name]}" for p in parameters if values[p.name] != repr(p.default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        none = {"transformer_tags": None, "classifier_tags": None, "regressor_tags": None}
        return Tags("density_estimator", TargetTags(required=False), **none, input_tags=InputTags())

    def _training(self) -> Training:
        """The settings."""
        rate: Any = self.learning_rate
        if self.rate != "deprecated":
            warnings.warn("ScoreDensity: rate is now learning_rate: write learning_rate=", FutureWarning, stacklevel=3)
            rate = self.rate
        return Training(*map(_plain, (self.minutes, self.steps, self.epochs, self.batch, rate)))

    def _model(self) -> Model:
        """A copy of the model to compute with: the fitted one stays as it is."""
        device = "cuda" if self.device == "auto" else str(self.device)
        place = device if device.startswith("cuda") and torch.cuda.is_available() else "cpu"
        return copy.deepcopy(self.model_).to(place)


def _plain(value: Any) -> Any:
    """A number of Python for one of NumPy, which searches for hyperparameters try: a model's file holds no others."""
    return value.item() if isinstance(value, np.generic) else value


def _seed(random_state: Any) -> int:
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    return int(random_state) if isinstance(random_state, int | np.integer) else int(rng.randint(np.iinfo(np.int32).max))


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
