"""Training of a conditional density, by maximum likelihood."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..progress import report
from ..rng import Steps
from .average import PowerAverage
from .flat import Flat
from .optimizer import Optimizer

__all__ = ["ConditionalDensity", "DensityTraining", "train_density"]

_EVALUATIONS = 25  # of the held-out log-density, during training
_PATIENCE = 6  # of these in a row without a higher one, and training ends: half of them if none was above the start
_WARMUP = 100  # steps until the learning rate is whole


class ConditionalDensity(Protocol):
    """What is trained: a module whose members, of which there may be several, each have a log-density."""

    members: int

    def member_log_probs(self, x: Tensor, context: Tensor) -> Tensor: ...

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor: ...


class DensityTraining:
    """The training of a `ConditionalDensity`, in place and in pieces, so that several can be compared on the way.

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

    Attributes:
        values: The log-densities of the held-out data by the weights that are best so far, `(H,)`.

    Raises:
        ValueError: If there is not one context for each row.
    """

    def __init__(
        self,
        density: nn.Module,
        x: Tensor,
        context: Tensor,
        held_out: tuple[Tensor, Tensor],
        steps: int = 6000,
        learning_rate: float = 1e-3,
        batch: int = 256,
        seed: int = 0,
    ) -> None:
        if len(x) != len(context):
            raise ValueError(f"every row needs one context, got {len(context)} contexts for {len(x)} rows")
        known: ConditionalDensity = density  # type: ignore[assignment]  # a module that is one
        self.density, self.x, self.context, self.held_out = known, x, context, held_out
        self.steps, self.batch, self.rng, self.flat = steps, batch, Steps(seed, x.device), Flat(density)
        self.optimizer = Optimizer(self.flat, learning_rate, 0.0, weight_decay=0.01)
        self.average = PowerAverage(self.flat.values, 0.1)
        self.step, self.worse, self.kept = 0, 0, self.flat.values.clone()
        self.values, self.best, self.patience = self._judged(), -float("inf"), _PATIENCE // 2

    def run(self, share: float = 1.0) -> None:
        """Goes on to a share of the steps, or until the held-out log-density has risen no more."""
        last, every = round(share * self.steps), max(1, self.steps // _EVALUATIONS)
        while self.step < last and self.worse < self.patience:
            self._advance()
            report(self.step / last)
            if self.step % every == 0 or self.step == self.steps:
                self._evaluate()

    def finish(self) -> float:
        """Goes on to the end, and leaves the density with its weights: the mean log-density of the held-out data."""
        self.run()
        self.flat.read(self.kept)
        self.flat.release()
        return float(self.values.mean())

    def _advance(self) -> None:
        """One step."""
        self.step += 1
        members, shape = self.density.members, (self.density.members, self.batch)
        some = (self.rng.at(self.step).uniform(shape, torch.float64, self.x.device) * len(self.x)).long()
        self.flat.gradients.zero_()
        found = self.density.member_log_probs(self.x[some], self.context[some])
        (-found.mean(1).sum()).backward()  # type: ignore[no-untyped-call]
        self.flat.gradients.mul_((members / (self.flat.norm() + 1e-6)).clamp_max(1.0))
        self.optimizer.step(min(1.0, self.step / _WARMUP) * (1 - (self.step - 1) / self.steps))
        self.average.update(self.flat.values, self.step)

    def _evaluate(self) -> None:
        """Keeps the average if it is better than any before."""
        now = self.flat.values.clone()
        self.flat.read(self.average.values)
        values = self._judged()
        self.flat.read(now)
        found = float(values.mean())
        self.worse = 0 if found > self.best else self.worse + 1
        self.best = max(self.best, found)
        if found > float(self.values.mean()):
            self.values, self.kept, self.patience = values, self.average.values.clone(), _PATIENCE

    @torch.no_grad()
    def _judged(self) -> Tensor:
        """The log-densities of the held-out data, `(H,)`."""
        return self.density.log_prob(*self.held_out)


def train_density(
    density: nn.Module, x: Tensor, context: Tensor, held_out: tuple[Tensor, Tensor], steps: int = 6000, **how: Any
) -> float:
    """Teaches a `ConditionalDensity` the distribution of data given their context, in place: a whole `DensityTraining`.

    Arguments:
        density, x, context, held_out, steps, how: What `DensityTraining` takes.

    Returns:
        The mean log-density of the held-out data.

    Raises:
        ValueError: If there is not one context for each row.
    """
    return DensityTraining(density, x, context, held_out, steps, **how).finish()
