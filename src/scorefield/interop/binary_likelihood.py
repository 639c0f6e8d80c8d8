"""The probability of an observation whose numbers take two values each, given parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from ..context import Context
from ..nn import ConditionalBits
from ..rng import torch_seeded
from ..training import DensityTraining
from ..units import ColumnMap, ColumnUnits
from .mixture_likelihood import PILOT, MixtureLikelihood, batch_and_steps
from .simulations import positive_part

__all__ = ["BinaryLikelihood", "fit_binary_likelihood"]

_WIDTH = 64  # of the network that adds to logistic regression
_ROUNDING = 1e-6  # of the distance of two values


class BinaryLikelihood(MixtureLikelihood):
    """P(x | θ) of one observation of numbers that take two values, by `ConditionalBits`: probabilities, not densities."""

    def _states(self, observed: Tensor) -> tuple[Tensor, Tensor]:
        found = self.units(observed)
        states = found.round()
        strange = ((found - states).abs() > _ROUNDING) | ((states != 0) & (states != 1))
        if bool(strange.any()):
            row, i = strange.nonzero()[0].tolist()
            low, high = self.units.inverse(torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, states.shape[1]))
            value = observed[row, i]
            what = f"a number of the observation is {value:g}, and {low[i]:g} or {high[i]:g} in every simulation"
            raise ValueError(f"{what}: the simulator cannot make it; check the observation, or simulate more")
        return states.float()[None], states.new_zeros(len(states))


def fit_binary_likelihood(
    theta: Tensor,
    x: Tensor,
    bounds: tuple[Tensor, Tensor],
    held_out: int,
    seed: int = 0,
    batch: int | None = None,
    epochs: float | None = None,
    pilot: bool = False,
) -> tuple[BinaryLikelihood, str] | None:
    """Learns the probability of observations given parameters, with arguments as those of `fit_mixture_likelihood`.

    Logistic regression is a rival of a network in which numbers also depend on each other: what gives the held-out rows a
    higher probability is kept. A pilot trains for fewer steps.

    Returns:
        The likelihood, and what was kept, in words; None if a number takes more than two values.
    """
    units = _units(x)
    if units is None:
        return None
    line = positive_part(theta, *bounds)
    context = Context.of(line.numpy(), x.shape[1:])
    states, given = units(x).float(), context(line.numpy())[:, :-1]
    size, steps = batch_and_steps(len(x), batch, epochs)
    bits, said = _fitted(states, given, held_out, seed, size, max(1, round(steps * (PILOT if pilot else 1))))
    return BinaryLikelihood(units, context, bits, *bounds), said


def _units(x: Tensor) -> ColumnUnits | None:
    """Units in which the two values of each number of observations, `(N, Q)`, are 0 and 1; None if one has other values."""
    low, high = x.amin(0), x.amax(0)
    if not bool((((x == low) | (x == high)).all(0) & (low < high)).all()):
        return None
    return ColumnUnits([ColumnMap(location=float(a), scale=float(b - a)) for a, b in zip(low, high)])


def _fitted(
    x: Tensor, context: Tensor, held_out: int, seed: int, batch: int, steps: int
) -> tuple[ConditionalBits, str]:
    """What gives the first `held_out` rows of 0 and 1, `(N, n)`, a higher probability given contexts, `(N, size)`; in words."""
    rest, judged = (x[held_out:], context[held_out:]), (x[:held_out], context[:held_out])
    line = ConditionalBits(x.shape[1], context.shape[1])
    line.start_at(*rest)
    with torch.no_grad():
        tried = {"logistic regression": (line, float(line.log_prob(*judged).mean()))}
    with torch_seeded(seed):
        network = ConditionalBits(x.shape[1], context.shape[1], _WIDTH)
    network.start_at(*rest)
    training = DensityTraining(network, *rest, judged, steps, batch=batch, seed=seed)
    tried["a network of dependent numbers"] = network, training.finish()
    best = max(tried, key=lambda name: tried[name][1])
    held = ", ".join(f"{value:.3f} by {name}" for name, (_, value) in tried.items())
    said = f"mean log-probability of {held_out:,} held-out rows: {held}; kept: {best}"
    return tried[best][0].eval().requires_grad_(False), said
