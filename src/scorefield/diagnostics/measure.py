"""The diagnosis of a denoiser."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..denoisers import Denoiser, Empirical, Gaussian
from ..progress import parts
from .base import Diagnosis, ScoreCheck
from .consistency import curl, heat, weights
from .losses import error, excess_loss, gap
from .states import EXACT, noisy_states
from .stein import stein

__all__ = ["diagnose"]

_SHARES = {
    "states": 2,
    "other denoisers": 1,
    "Stein tests": 1,
    "loss on training data": 1,
    "curl": 1,
    "heat equation": 2,
    "chains": 4,
}  # about how long each takes
_FEWEST = 30  # held-out data
_KNOWN = 2000  # training data that stand for all of them as a denoiser, at most
_LOW = 0.05  # the level down to which chains are weighed: below, there is nothing left to choose


def diagnose(
    denoiser: Denoiser,
    held_out: Tensor,
    levels: Sequence[float],
    moments: Gaussian,
    train: Tensor | None = None,
    truth: Denoiser | None = None,
    chains: int = 400,
    steps: int = 400,
    seed: int = 0,
) -> Diagnosis:
    """Checks a score in every way that its data allow.

    Always: Stein tests, the loss compared with that of formulas, the curl. Up to 64 coordinates also the heat equation and the
    weights of chains, which take derivatives of the third order and many evaluations. With training data, overfitting; with
    the exact denoiser, its error.

    Arguments:
        denoiser: The denoiser.
        held_out, train: Held-out data `(N, *D)` in its own units, and training data `(M, *D)`.
        levels: The noise levels to check, increasing.
        moments: The mean and the covariance of data, known without the held-out ones: of training data.
        truth: The exact denoiser.
        chains, steps: How many chains are weighed, and how many levels they pass.
        seed: The seed of the noise.

    Returns:
        All that was measured; `.flagged` are the checks that an exact score would not fail (each with a p-value errs so once in
        1,000 times), `.verdict` says it in a sentence.

    Raises:
        ValueError: If there are fewer than 30 held-out data, the levels do not increase, or the denoiser holds several
            contexts.

    Example:
        >>> from scorefield.rng import Samples
        >>> data = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = data.sample(500, Samples(seed=0, count=500))
        >>> diagnose(data, x, [0.1, 1.0, 10.0], data).flagged
        ()
        >>> wrong = Gaussian(data.mean, 2 * data.covariance)
        >>> [check.name for check in diagnose(wrong, x, [0.1, 1.0, 10.0], data).flagged]
        ['Stein tests', 'excess loss']
    """
    values = [float(level) for level in levels]
    if len(values) < 2 or not all(0 < a < b for a, b in pairwise(values)):
        raise ValueError(f"levels must be positive and rise, two of them or more; got {values[:8]}")
    if len(held_out) < _FEWEST:
        need = f"at least {_FEWEST} held-out data"
        raise ValueError(
            f"a diagnosis needs {need}, got {len(held_out)}: fit again with more held out (--held-out), or to more data"
        )
    if denoiser.contexts > 1:
        raise ValueError(f"a diagnosis is of one distribution, got {denoiser.contexts} contexts: give one")
    denoiser, dtype = _precise(denoiser, held_out)
    x, data = held_out.to(dtype), Gaussian(moments.mean.to(dtype), moments.covariance.to(dtype))
    step = parts(_SHARES)
    with step("states"):
        states = noisy_states(denoiser, x, values, seed)
    others: dict[str, Denoiser] = {"a Gaussian of the data's moments": data}
    if train is not None:
        others["training data with noise"] = Empirical(train[:_KNOWN].to(dtype))
    with step("other denoisers"):
        compared = {name: noisy_states(other, x, values, seed, spreads=False) for name, other in others.items()}
    checks: list[ScoreCheck] = [] if truth is None else [error(states, copy.deepcopy(truth).to(dtype))]
    with step("Stein tests"):
        checks += [stein(states, data.mean), excess_loss(states, compared)]
    if train is not None:
        with step("loss on training data"):
            training = noisy_states(denoiser, train.to(dtype)[: len(x)], values, seed + 1, spreads=False)
            checks.append(gap(states, training, seed))
    with step("curl"):
        checks.append(curl(denoiser, states, seed))
    if x[0].numel() <= EXACT:
        with step("heat equation"):
            checks.append(heat(denoiser, states))
        with step("chains"):
            checks.append(weights(denoiser, data, (values[-1], max(values[0], _LOW)), chains, steps, seed))
    return Diagnosis(tuple(values), len(x), tuple(checks))


def _precise(denoiser: Denoiser, x: Tensor) -> tuple[Denoiser, torch.dtype]:
    """The denoiser in float64 for vectors, where derivatives need it and it costs little; never in bfloat16."""
    denoiser = denoiser.full_precision()
    if x.ndim == 2:
        return copy.deepcopy(denoiser).double().eval(), torch.float64
    return denoiser.eval(), torch.float32
