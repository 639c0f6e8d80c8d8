"""What estimators in the manner of scikit-learn have in common: hyperparameters, and how they fit."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from ..runs import fit
from ..settings import Data, Network, Training
from ..training import Progress

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["ScoreEstimator", "plain_number", "seed_of"]


class ScoreEstimator:
    """Hyperparameters and what follows from them, by scikit-learn's protocol and without its base classes.

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
    ) -> None:
        self.steps, self.minutes, self.epochs, self.batch = steps, minutes, epochs, batch
        self.learning_rate, self.widths, self.depth = learning_rate, widths, depth
        self.held_out, self.random_state, self.device = held_out, random_state, device

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name; `deep` changes nothing."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
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

    def _training(self) -> Training:
        """The settings."""
        budget = self.minutes, self.steps, self.epochs, self.batch, self.learning_rate
        return Training(*map(plain_number, budget))

    def _fit(self, x: np.ndarray, context: Any = None, **more: Any) -> Self:
        """Learns the distribution of the rows of `x`, and counts the steps."""
        widths, made = plain_number(self.widths), [0]

        def watch(progress: Progress) -> None:
            made[0] = progress.step

        self.model_ = fit(
            x,
            context=context,
            data=Data(structure="vector", held_out=plain_number(self.held_out)),
            network=Network((widths,) if isinstance(widths, int) else widths, plain_number(self.depth)),
            training=replace(self._training(), **more),
            seed=seed_of(self.random_state),
            device=self.device,
            watch=watch,
        )
        self.n_iter_ = made[0]
        return self

    def _model(self) -> Model:
        """A copy of the model to compute with: the fitted one stays as it is."""
        device = "cuda" if self.device == "auto" else str(self.device)
        place = device if device.startswith("cuda") and torch.cuda.is_available() else "cpu"
        return copy.deepcopy(self.model_).to(place)


def plain_number(value: Any) -> Any:
    """A number of Python for one of NumPy, which searches for hyperparameters try: a model's file holds no others."""
    return value.item() if isinstance(value, np.generic) else value


def seed_of(random_state: Any) -> int:
    """The seed that a `random_state` of scikit-learn gives."""
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    return int(random_state) if isinstance(random_state, int | np.integer) else int(rng.randint(np.iinfo(np.int32).max))
