"""The distribution of one observation given parameters, as a mixture of Gaussians: no equation is solved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..context import Context
from ..nn import ConditionalBits, ConditionalMixture
from ..progress import part
from ..rng import Samples, torch_seeded
from ..training import DensityTraining
from ..units import ColumnMap, ColumnUnits
from ..user_values import real_tensor
from .simulations import positive_part

__all__ = ["PILOT", "MixtureLikelihood", "batch_and_steps", "fit_mixture", "fit_mixture_likelihood"]

_AT_ONCE = 20_000  # observations whose likelihoods are computed at once
_COMPONENTS = (1, 8)  # of mixtures that are tried
_PLACES = 8  # in the cell of a whole number, over which the density is averaged
_DECADES = 1.5  # of positive values, from which on their logarithms are learned
_WAVES, _ROWS = 256, 10  # random features of the regression, at most; and rows for each
PILOT = 0.2  # of the steps, by which kinds of likelihoods are compared
_HEATS = (0.2, 0.4, 1.0)  # of the steps of a race: after each, a rival is given up that is behind for sure
_BEHIND, _SURE = 0.1, 2.0  # nats, and standard errors of the difference
_FEW, _SMALL, _BATCH = 2_000, 128, 256  # rows up to which a step takes the smaller batch
_STEPS, _MORE = 10_000, 40.0  # of training, at most; and by the square root of the number of simulations


class MixtureLikelihood(nn.Module):
    """p(x | θ) of one observation, by `ConditionalMixture`. Saved and loaded by `scorefield.checkpoint`.

    Arguments:
        units: The units of observations; of whole numbers, the cells that they stand for have a probability.
        context: How parameters become numbers.
        mixture: The mixture of observations in these units, or the probability of bits.
        low, high: The bounds of the parameters, `()` or `(P,)`: those with one finite bound are learned by logarithms.
    """

    low: Tensor
    high: Tensor
    model = None  # nothing is left to a diffusion model

    def __init__(
        self,
        units: ColumnUnits,
        context: Context,
        mixture: ConditionalMixture | ConditionalBits,
        low: Tensor,
        high: Tensor,
    ) -> None:
        super().__init__()
        self.units, self.context, self.mixture = units, context, mixture
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def encoded(self, theta: Tensor) -> Tensor:
        """Parameters `(N, P)` as the network takes them, `(N, size)`."""
        given: Tensor = self.context(positive_part(theta, self.low, self.high).numpy())
        return given[:, :-1]

    @torch.no_grad()
    def log_prob(self, theta: Any, x: Any, tolerance: float | None = None) -> Tensor:
        """The log-densities of independent observations together, Σ log p(x_i | θ).

        Arguments:
            theta: Parameters, `(N, P)`.
            x: m observations of the same parameters, `(m, Q)`, or one, `(Q,)`.
            tolerance: Taken as other likelihoods take it: nothing is solved here.

        Returns:
            One number for each row of `theta`, `(N,)`, in float64: densities of numbers, probabilities of whole ones.
        """
        theta = real_tensor(theta, "parameters")
        observed = real_tensor(x, "observations").reshape(-1, *self.units.shape)
        states, volume = self._states(observed)
        count, values = len(observed), []
        for some in theta.split(max(1, _AT_ONCE // (len(states) * count))):
            inside = self.mixture.each_log_prob(states.flatten(0, 1), self.encoded(some)).double()
            each = inside.reshape(len(some), len(states), count).logsumexp(1) - math.log(len(states))
            values.append((each + volume).sum(1))
        return torch.cat(values)

    gaussian_log_prob = log_prob

    @torch.no_grad()
    def paired_log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """The log-density of each observation given its parameters, `(N, P)` and `(N, Q)` to `(N,)` in float64."""
        values = []
        for some, rows in zip(torch.split(theta, _AT_ONCE), torch.split(x, _AT_ONCE)):
            states, volume = self._states(rows)
            given = self.encoded(some)
            inside = torch.stack([self.mixture.log_prob(each, given).double() for each in states])
            values.append(inside.logsumexp(0) - math.log(len(states)) + volume)
        return torch.cat(values)

    def _states(self, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Observations `(m, Q)` at some places in their cells, `(J, m, Q)`, and the logarithms of the volume, `(m,)`."""
        if not self.units.has_cells:
            return self.units(observed).float()[None], self.units.log_volume(observed)
        rows = torch.arange(_PLACES, dtype=torch.float64)
        rng = np.random.default_rng(0)
        order = torch.stack([rows[torch.from_numpy(rng.permutation(_PLACES))] for _ in range(observed.shape[1])], 1)
        places = (order + 0.5) / _PLACES
        states = torch.stack([self.units(observed, place.expand_as(observed)).float() for place in places])
        return states, self.units.log_volume(observed, torch.full_like(observed, 0.5))

    @torch.no_grad()
    def sample(self, theta: Any, seed: int = 0) -> Tensor:
        """Draws one observation for each row of parameters, `(N, P)` to `(N, Q)`: the simulator as it was learned."""
        given = self.encoded(real_tensor(theta, "parameters"))
        return self.units.inverse(self.mixture.sample(given, Samples(seed, 0, len(given), "observation")).double())


def observation_units(x: Tensor) -> ColumnUnits:
    """Units of observations `(N, Q)`: logarithms of positive numbers over decades, cells of whole numbers."""
    columns = []
    for values in x.unbind(1):
        whole = bool((values == values.round()).all())
        log = not whole and bool((values > 0).all()) and _decades(values) > _DECADES
        line = values.log() if log else values
        shape: dict[str, Any] = {"location": float(line.mean()), "scale": float(line.std())}
        form: dict[str, Any] = {"base": "log", "lower": 0.0} if log else {"lattice": (0.0, 1.0, 1.0)} if whole else {}
        form |= {"lower": -0.5} if whole and float(values.min()) == 0 else {}
        columns.append(ColumnMap(**shape, **form))
    return ColumnUnits(columns)


def _decades(values: Tensor) -> float:
    low, high = np.quantile(values.numpy(), [0.01, 0.99])
    return math.log10(high / low)


def fit_mixture_likelihood(
    theta: Tensor,
    x: Tensor,
    bounds: tuple[Tensor, Tensor],
    held_out: int,
    seed: int = 0,
    batch: int | None = None,
    epochs: float | None = None,
    pilot: bool = False,
) -> tuple[MixtureLikelihood, str]:
    """Learns the distribution of observations given parameters.

    Arguments:
        theta: Parameters, `(N, P)`.
        x: One observation of each, `(N, Q)`.
        bounds: The bounds of the parameters.
        held_out: How many rows, the first ones, decide when to stop, and how many Gaussians there are.
        seed: The seed of first weights, batches and places in cells.
        batch: How many observations a step takes; None: as their number asks for.
        epochs: How often all of them are passed at most.
        pilot: Whether a short training of one Gaussian is enough, as to compare likelihoods of different kinds.

    Returns:
        The likelihood, and what was kept, in words.
    """
    units = observation_units(x)
    line = positive_part(theta, *bounds)
    context = Context.of(line.numpy(), x.shape[1:])
    place = Samples(seed, 0, len(x), "cells").uniform(tuple(x.shape), torch.float64)
    states, given = units(x, place).float(), context(line.numpy())[:, :-1]
    fitting = _Fitting(states, given, held_out, seed, batch, epochs)
    waves = min(_WAVES, len(x) // _ROWS)
    mixture, said = (fitting.pilot if pilot else fitting.best)(waves)
    return MixtureLikelihood(units, context, mixture, *bounds), said


def fit_mixture(
    x: Tensor, context: Tensor, held_out: int, seed: int = 0, batch: int | None = None, epochs: float | None = None
) -> tuple[ConditionalMixture, str]:
    """Learns the distribution of rows in standard units, `(N, n)`, given contexts `(N, size)`: of one Gaussian and of eight
    around a linear regression, what gives the first `held_out` rows a higher density.

    Returns:
        The mixture, and what was kept, in words.
    """
    return _Fitting(x, context, held_out, seed, batch, epochs).best()


def batch_and_steps(count: int, batch: int | None, epochs: float | None) -> tuple[int, float]:
    """The batch size of the training of a density from so many rows, and how many steps are made at most.

    Raises:
        ValueError: If there is no such batch, or no epoch.
    """
    size = (_SMALL if count <= _FEW else _BATCH) if batch is None else batch
    if size < 1 or size != int(size) or (epochs is not None and not epochs > 0):
        need = "a whole training_batch_size >= 1 and max_num_epochs > 0"
        raise ValueError(f"training needs {need}, got {batch} and {epochs}")
    return size, min(_STEPS, _MORE * count**0.5) if epochs is None else epochs * count / size


@dataclass
class _Fitting:
    """Mixtures of different kinds, of the same rows; what gives the held-out ones the highest density is kept."""

    x: Tensor
    context: Tensor
    held_out: int
    seed: int
    batch: int | None
    epochs: float | None

    def __post_init__(self) -> None:
        self.size, self.steps = batch_and_steps(len(self.x), self.batch, self.epochs)

    def pilot(self, waves: int = 0) -> tuple[ConditionalMixture, str]:
        """One Gaussian around a linear regression, or a smooth one of so many random features, after a short training."""
        tried = [self._attempt(_COMPONENTS[0], 0, PILOT)]
        if waves:
            tried += [self._attempt(_COMPONENTS[0], waves, PILOT)]
        found = [each for each in tried if each is not None]
        for each in found:
            each.training.finish()
        return self._kept(found)

    def best(self, waves: int = 0) -> tuple[ConditionalMixture, str]:
        """One Gaussian or several, around the regression of the better pilot if there are two."""
        with part(0, 0.2):
            waves = self.pilot(waves)[0].waves if waves else 0
        tried = [self._attempt(components, waves) for components in _COMPONENTS]
        found = [each for each in tried if each is not None]
        with part(0.2, 1):
            _race(found).training.finish()
        return self._kept(found)

    def _attempt(self, components: int, waves: int, share: float = 1.0) -> _Attempt | None:
        """A mixture that is to be trained; None if its regression is linear, though it might have bent."""
        rest = self.x[self.held_out :], self.context[self.held_out :]
        judged = self.x[: self.held_out], self.context[: self.held_out]
        with torch_seeded(self.seed):
            mixture = ConditionalMixture(self.x.shape[1], self.context.shape[1], components, waves=waves)
        mixture.start_at(*rest)
        if waves and not mixture.regression.bends:
            return None
        name = f"{components} Gaussian{'s' * (components > 1)} around a {'smooth' if waves else 'linear'} regression"
        steps = max(1, round(share * self.steps))
        training = DensityTraining(mixture, *rest, judged, steps, batch=self.size, seed=self.seed)
        return _Attempt(mixture, training, name)

    def _kept(self, tried: list[_Attempt]) -> tuple[ConditionalMixture, str]:
        best = max(tried, key=lambda each: float(each.training.values.mean()))
        held = ", ".join(f"{each.training.values.mean():.3f} by {each.name}" for each in tried)
        said = f"mean log-density of {self.held_out:,} held-out rows: {held}; kept: {best.name}"
        return best.mixture.eval().requires_grad_(False), said


@dataclass
class _Attempt:
    """A mixture, its training, and what it is called."""

    mixture: ConditionalMixture
    training: DensityTraining
    name: str


def _race(rivals: list[_Attempt]) -> _Attempt:
    """The best rival, trained to the end, as are all that were not far behind it on the same held-out rows.

    What is a little better early may be worse in the end: many Gaussians of few rows overfit late.
    """
    running = rivals
    for share in _HEATS:
        for i, each in enumerate(running):
            with part(i / len(running), (i + 1) / len(running)):
                each.training.run(share)
        best = max(running, key=lambda each: float(each.training.values.mean()))
        running = [each for each in running if not _behind(each.training.values - best.training.values)]
    return best


def _behind(gain: Tensor) -> bool:
    """Whether a log-density is lower than another by much, and for sure."""
    error = float(gain.std()) / math.sqrt(len(gain)) if len(gain) > 1 else math.inf
    return float(gain.mean()) < -max(_BEHIND, _SURE * error)
