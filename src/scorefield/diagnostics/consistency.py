"""Whether a score is that of a distribution: a gradient, of the same distribution at every level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..denoisers import Denoiser, Gaussian
from ..derivatives import divergence, products
from ..mcmc import GaussianLangevin, score_importance
from ..progress import report
from ..rng import Samples
from .base import ScoreCheck
from .states import NoisyStates, score_of

__all__ = ["curl", "heat", "weights"]

_CURL, _HEAT, _WEIGHT = 0.02, 0.1, 0.05
_ENOUGH = 0.05  # of the points must carry the weight for its mean to be believed
_MEANINGS = {
    "curl": (
        "How much of the score's derivative is antisymmetric (a rotation), E‖(J - Jᵀ)v‖² / E‖Jv‖². "
        "A score is a gradient and has none (0); a "
        "network may not be one. A rotation by a small angle θ gives 4θ². If it is large, samplers with noise "
        "and without do not agree, "
        "and log-densities depend on the path of integration."
    ),
    "heat": (
        "How far the score at one level is from what follows of that at the next: the residual of ∂s/∂v = ½ ∇(∇·s + ‖s‖²), "
        "v = level², over the size of s/v. An exact score has none (0). If it is large, the levels do not belong to one "
        "distribution: a level was learned worse than its neighbours."
    ),
    "weights": (
        "The logarithm of the mean weight of annealed importance sampling by the score alone, from the highest level to the "
        "lowest. It is 0 for an exact score. If it is not, the score is not a gradient, or its levels "
        "do not belong together, and how "
        "much of the data is in which mode cannot be trusted."
    ),
}


def curl(denoiser: Denoiser, states: Sequence[NoisyStates], seed: int) -> ScoreCheck:
    """E‖(J - Jᵀ)v‖² / E‖Jv‖² of the score, by random directions v."""
    found = []
    for i, state in enumerate(states):
        report(i / len(states))
        x = state.x[: _some(state.x)]
        v = Samples(seed, 0, len(x), f"curl {i}").normal_like(x)
        pushed, pulled = products(lambda x, s=state.level: score_of(denoiser, x, s), x, v)  # type: ignore[misc]
        found.append(float((pushed - pulled).square().sum() / pushed.square().sum().clamp_min(1e-300)))
    levels, said = [state.level for state in states], "the score's derivative is antisymmetric"
    return ScoreCheck.of_worst("curl", found, levels, _CURL, said, _MEANINGS["curl"])


def _some(x: Tensor) -> int:
    """How many states are enough for a mean that is not tested."""
    return max(16, min(len(x), 500, 2**15 // x[0].numel()))


def heat(denoiser: Denoiser, states: Sequence[NoisyStates]) -> ScoreCheck:
    """The root mean square of v (∂s/∂v - ½ ∇(∇·s + ‖s‖²)) over that of s."""
    found = []
    for i, state in enumerate(states):
        report(i / len(states))
        x = state.x[: _some(state.x)]
        v = torch.full((len(x), *(1,) * (x.ndim - 1)), state.level**2, dtype=x.dtype, device=x.device)
        s, residual = _residual(denoiser, x, v)
        found.append(float((residual.square().mean() / s.square().mean()).sqrt()) * state.level**2)
    levels = [state.level for state in states]
    return ScoreCheck.of_worst("heat equation", found, levels, _HEAT, "the score", _MEANINGS["heat"])


def _residual(denoiser: Denoiser, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """s, and ∂s/∂v - ½ ∇(∇·s + ‖s‖²), each of the shape of `x`; v is level²."""
    with torch.enable_grad():
        v, u = v.clone().requires_grad_(), torch.zeros_like(x).requires_grad_()
        s = score_of(denoiser, x, v.sqrt())
        pulled = torch.autograd.grad(s, v, u, create_graph=True)[0]
        rate = torch.autograd.grad(pulled.sum(), u)[0]  # linear in u
        x = x.clone().requires_grad_()
        value, spread = divergence(lambda x: score_of(denoiser, x, v.detach().sqrt()), x)
        energy = spread + value.square().flatten(1).sum(1)
        slope = torch.autograd.grad(energy.sum(), x)[0] / 2
    return s.detach(), (rate - slope).detach()


def weights(
    denoiser: Denoiser, moments: Gaussian, levels: tuple[float, float], count: int, steps: int, seed: int
) -> ScoreCheck:
    """The log mean weight of `mcmc.score_importance` between two levels, the highest first.

    The chains begin with the moments of the data, which at a high level is the distribution but for what data of that width
    differ from a Gaussian.
    """
    rng = Samples(seed, 0, count, "weights")
    high, low = levels
    x = moments.sample(count, rng.child("start"), high)
    ladder = torch.logspace(math.log10(high), math.log10(low), steps, dtype=torch.float64)
    try:
        found = score_importance(lambda x, s: score_of(denoiser, x, s), x, ladder, rng, GaussianLangevin(0.4))
    except RuntimeError as broken:
        said = f"The chains became non-finite (NaN or inf): {broken}."
        return ScoreCheck("mean weight", math.inf, _WEIGHT, True, said, _MEANINGS["weights"])
    value, error = (float(each) for each in found.log_mean_weight)
    part = found.effective_sample_size / count
    sure = part >= _ENOUGH
    said = f"The logarithm of the mean weight is {value:.3g} ± {error:.2g}; {100 * part:.0f} % of the points carry it"
    said += "." if sure else ": too few to say anything of the score."
    flagged = sure and abs(value) > _WEIGHT + 4 * error
    return ScoreCheck("mean weight", value, _WEIGHT + 4 * error, flagged, said, _MEANINGS["weights"])
