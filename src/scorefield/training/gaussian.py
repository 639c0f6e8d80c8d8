"""Training of a Gaussian law given something, by maximum likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn import ConditionalGaussian
from ..rng import Steps
from .average import PowerAverage

__all__ = ["train_gaussian"]

_LOOKS = 20  # at the held-out data, on the way
_WARM = 100  # steps until the rate is whole


def train_gaussian(
    law: ConditionalGaussian,
    x: Tensor,
    context: Tensor,
    held_out: tuple[Tensor, Tensor],
    steps: int = 10_000,
    rate: float = 4e-3,
    batch: int = 256,
    seed: int = 0,
) -> float:
    """Teaches a Gaussian law the mean and the covariance of data given something, in place.

    The weights are averages over the way (`PowerAverage`), those of the look at which held-out data were likeliest.

    Arguments:
        law: The law.
        x: Standardized data, `(N, n)`.
        context: What is given beside them, `(N, size)`.
        held_out: Other data and what is given beside them.
        steps: How many steps of AdamW; its rate falls to 0.
        rate: That rate.
        batch: How many data a step sees.
        seed: The seed of their choice.

    Returns:
        The mean log-density of the held-out data.

    Raises:
        ValueError: If there is not one context for each datum.
    """
    if len(x) != len(context):
        raise ValueError(f"there must be one context for each datum, got {len(context)} for {len(x)} data")
    rng, weights = Steps(seed, x.device), list(law.parameters())
    optimizer = torch.optim.AdamW(weights, rate, betas=(0.9, 0.99), weight_decay=0.01)
    flat = torch.nn.utils.parameters_to_vector
    average = PowerAverage(flat(weights).detach(), 0.1)
    best, kept = -float("inf"), average.values.clone()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / _WARM) * (1 - (step - 1) / steps)
        some = (rng.at(step).uniform((batch,), torch.float64, x.device) * len(x)).long()
        optimizer.zero_grad()
        (-law.log_prob(x[some], context[some]).mean()).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update(flat(weights).detach(), step)
        if step % max(1, steps // _LOOKS) == 0 or step == steps:
            now = flat(weights).detach().clone()
            with torch.no_grad():
                torch.nn.utils.vector_to_parameters(average.values, weights)
                found = float(law.log_prob(*held_out).mean())
                torch.nn.utils.vector_to_parameters(now, weights)
            if found > best:
                best, kept = found, average.values.clone()
    torch.nn.utils.vector_to_parameters(kept, weights)
    return best
