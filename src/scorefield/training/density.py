"""Training of a conditional density, by maximum likelihood."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ..progress import report
from ..rng import Steps
from .average import PowerAverage
from .flat import Flat
from .optimizer import Optimizer

__all__ = ["ConditionalDensity", "train_density"]

_EVALUATIONS = 25  # of the held-out log-density, during training
_PATIENCE = 6  # of these in a row without a higher one, and training ends
_WARMUP = 100  # steps until the learning rate is whole


class ConditionalDensity(Protocol):
    """What is trained: a module whose members, of which there may be several, each have a log-density."""

    members: int

    def member_log_probs(self, x: Tensor, context: Tensor) -> Tensor: ...

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor: ...


def train_density(
    density: nn.Module,
    x: Tensor,
    context: Tensor,
    held_out: tuple[Tensor, Tensor],
    steps: int = 6000,
    learning_rate: float = 1e-3,
    batch: int = 256,
    seed: int = 0,
) -> float:
    """Teaches a `ConditionalDensity` the distribution of data given their context, in place.

    Each member has batches of its own. The weights are averages over training (`PowerAverage`), those of the evaluation with
    the highest held-out log-density; training ends where it rises no more. Weights that no training has improved stay.

    Arguments:
        density: The density.
        x: Data in standard units, `(N, n)`.
        context: Their contexts, `(N, size)`.
        held_out: Other data and their contexts.
        steps: How many steps of AdamW at most; its learning rate falls to 0.
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
    known: ConditionalDensity = density  # type: ignore[assignment]  # a module that is one
    rng, flat, members = Steps(seed, x.device), Flat(density), known.members
    optimizer, average = Optimizer(flat, learning_rate, 0.0, weight_decay=0.01), PowerAverage(flat.values, 0.1)
    start, (best, kept, worse) = average.values.clone(), (-float("inf"), average.values.clone(), 0)
    with torch.no_grad():
        at_start = float(known.log_prob(*held_out).mean())
    for step in range(1, steps + 1):
        some = (rng.at(step).uniform((members, batch), torch.float64, x.device) * len(x)).long()
        flat.gradients.zero_()
        (-known.member_log_probs(x[some], context[some]).mean(1).sum()).backward()  # type: ignore[no-untyped-call]
        flat.gradients.mul_((members / (flat.norm() + 1e-6)).clamp_max(1.0))
        optimizer.step(min(1.0, step / _WARMUP) * (1 - (step - 1) / steps))
        average.update(flat.values, step)
        report(step / steps)
        if step % max(1, steps // _EVALUATIONS) == 0 or step == steps:
            now = flat.values.clone()
            with torch.no_grad():
                flat.read(average.values)
                found = float(known.log_prob(*held_out).mean())
                flat.read(now)
            worse = 0 if found > best else worse + 1
            if found > best:
                best, kept = found, average.values.clone()
            if worse == _PATIENCE:
                break
    flat.read(kept if best > at_start else start)
    flat.release()
    return max(best, at_start)
