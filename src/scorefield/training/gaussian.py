"""Training of a conditional Gaussian, by maximum likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn import ConditionalGaussian
from ..rng import Steps
from .average import PowerAverage

__all__ = ["train_gaussian"]

_EVALUATIONS = 20  # of the held-out log-density, during training
_WARMUP = 100  # steps until the learning rate is whole


def train_gaussian(
    gaussian: ConditionalGaussian,
    x: Tensor,
    context: Tensor,
    held_out: tuple[Tensor, Tensor],
    steps: int = 10_000,
    learning_rate: float = 4e-3,
    batch: int = 256,
    seed: int = 0,
) -> float:
    """Teaches a Gaussian the mean and the covariance of data as functions of their context, in place.

    The weights are averages over training (`PowerAverage`), those of the evaluation with the highest held-out log-density.

    Arguments:
        gaussian: The Gaussian.
        x: Standardized data, `(N, n)`.
        context: Their contexts, `(N, size)`.
        held_out: Other data and their contexts.
        steps: How many steps of AdamW; its learning rate falls to 0.
        learning_rate: That learning rate.
        batch: The batch size.
        seed: The seed of the batches.

    Returns:
        The mean log-density of the held-out data.

    Raises:
        ValueError: If there is not one context for each row.
    """
    if len(x) != len(context):
        raise ValueError(f"every row needs one context, got {len(context)} contexts for {len(x)} rows")
    rng, weights = Steps(seed, x.device), list(gaussian.parameters())
    optimizer = torch.optim.AdamW(weights, learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    flat = torch.nn.utils.parameters_to_vector
    average = PowerAverage(flat(weights).detach(), 0.1)
    best, kept = -float("inf"), average.values.clone()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, step / _WARMUP) * (1 - (step - 1) / steps)
        some = (rng.at(step).uniform((batch,), torch.float64, x.device) * len(x)).long()
        optimizer.zero_grad()
        (-gaussian.log_prob(x[some], context[some]).mean()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        average.update(flat(weights).detach(), step)
        if step % max(1, steps // _EVALUATIONS) == 0 or step == steps:
            now = flat(weights).detach().clone()
            with torch.no_grad():
                torch.nn.utils.vector_to_parameters(average.values, weights)
                found = float(gaussian.log_prob(*held_out).mean())
                torch.nn.utils.vector_to_parameters(now, weights)
            if found > best:
                best, kept = found, average.values.clone()
    torch.nn.utils.vector_to_parameters(kept, weights)
    return best
