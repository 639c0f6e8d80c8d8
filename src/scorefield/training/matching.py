"""Training of a student to draw what its teacher draws, with denoisers of its samples that learn next to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..denoisers import Denoiser, DenoiserModule
from ..distributed import size
from ..objectives import DistributionMatching
from ..rng import Samples
from ..settings import Training
from .feed import Batches
from .flat import Flat
from .held_out import PARTS, HeldOut, LevelLoss
from .loop import Progress, Trainer
from .optimizer import Optimizer
from .parts import SharedParts

__all__ = ["MatchingTrainer"]

_SLOWER = 1 / 10  # the rates of the student, in those of the denoisers of its samples, which have to follow it
_LAST = 0.2  # of the steps, in which the rates of the denoisers fall to 0
_AT_ONCE = 128  # examples that networks see at once where nothing is learned


class MatchingTrainer(Trainer):
    """The training of a student by `DistributionMatching`, in place; resumed and shared by processes as any other.

    What is measured is the energy distance of samples that were drawn in one evaluation and in two to held-out samples of the
    teacher, from noise that no step has seen; what is kept are the weights that are the best by it, which may be those of the
    beginning.

    Arguments:
        student: The consistency function, which is trained.
        own: The denoisers that learn the samples of the student in one evaluation and in several: at first copies of the
            teacher's.
        teacher: The denoiser of the teacher for some contexts.
        feed: Batches of states at the largest level.
        held_out: States at the largest level and samples of the teacher, `(M, 2, *D)`.
        matching: The loss.
        objective: What the trainer calls its objective otherwise: the loss by level of the student.
        training: The settings, whose rates are those of `own`.
        seed, context, sets: As for `Trainer`.

    Raises:
        ValueError: As for `Trainer`.
    """

    def __init__(
        self,
        student: DenoiserModule,
        own: Sequence[DenoiserModule],
        teacher: Callable[[Tensor | None], Denoiser],
        feed: Batches,
        held_out: Tensor,
        matching: DistributionMatching,
        objective: LevelLoss,
        training: Training,
        seed: int = 0,
        context: Tensor | None = None,
        sets: int = 1,
    ) -> None:
        rates = training.learning_rate or 0.0, training.muon_learning_rate or 0.0
        slow = replace(training, learning_rate=rates[0] * _SLOWER, muon_learning_rate=rates[1] * _SLOWER)
        super().__init__(student, feed, held_out, objective, slow, seed, context, sets)
        self.teacher, self.matching, self._seed = teacher, matching, seed
        self._follower = Flat(nn.ModuleList(own).train())
        self._own = Optimizer(self._follower, *rates, every=self.optimizer.every, dtype=self.optimizer.dtype)
        self._kept: dict[int, Tensor] = {}  # the gradients of `own` in the parts of a step
        ordered, parts = training.gradient_sum == "ordered", training.accumulate
        self._shared_own = SharedParts(self._follower, parts, ordered) if size() > 1 else None

    def run(self) -> Iterator[Progress]:
        if self.step == 0 and not self.history:
            self.denoiser.train()
            self._evaluate()
        yield from super().run()

    def _loss(self, i: int) -> Tensor:
        number = self.step * self.training.accumulate + i
        context = self.feed.contexts(number)
        student, *own = (each.conditioned_on(context) for each in (self.denoiser, *self._follower.module))
        x, rng = self.feed.batches(number), self._rng.at(number)
        self._follower.gradients.zero_()
        mine, others = self.matching(student, own, self.teacher(context), x, rng)
        (mine.mean() + others.mean()).backward()  # type: ignore[no-untyped-call]
        self._kept[i] = self._follower.gradients.clone()
        return mine.mean().detach()

    def _gradient(self) -> Tensor:
        self._kept.clear()
        loss = super()._gradient()
        if self._shared_own is None:
            self._follower.gradients.copy_(torch.stack(list(self._kept.values())).mean(0))
        else:
            self._shared_own.gradient(self._own_part, 0.0)
            self._follower.gradients.div_(self.training.accumulate)
        return loss

    def _own_part(self, i: int) -> Tensor:
        self._follower.gradients.copy_(self._kept[i])
        return self._kept[i].new_zeros(())

    def _advance(self, rate: float) -> Tensor:
        # the denoisers are ahead of the student, from the first step
        factor = min(1.0, self.ending.rate(self._fraction(self.seconds)) / _LAST)
        loss = super()._advance(rate)
        norm = self._follower.norm()
        self._follower.gradients.mul_((self.training.clip / (norm + 1e-12)).clamp_max(1.0))
        self._own.step(factor)
        return loss

    def _losses_of(self, values: Tensor) -> HeldOut:
        """The energy distance that samples with other weights have to those of the teacher, as a mean over held-out samples."""
        kept = self.flat.values.clone()
        self.flat.read(values)
        self.denoiser.eval()
        try:
            losses = self._distances()
        finally:
            self.denoiser.train()
            self.flat.read(kept)
        return HeldOut(losses, losses.mean().expand(PARTS))

    @torch.no_grad()
    def _distances(self) -> Tensor:
        ends, found = self.held_out[:, 1], []
        for part in torch.arange(len(ends)).split(_AT_ONCE):  # type: ignore[no-untyped-call]
            context = None if self.context is None else self.context[part.to(self.context.device)]
            x, rng = self.held_out[part.to(ends.device), 0], Samples(self._seed, int(part[0]), len(part), "held-out")
            found.append(torch.stack(self.matching.drawn(self.denoiser.conditioned_on(context), x, rng)))
        drawn = torch.cat(found, 1)
        return torch.stack([_energy(ends, each) for each in drawn]).mean(0)

    def _numbers(self) -> dict[str, Tensor]:
        own = {"values": self._follower.values, **self._own.state()}
        return super()._numbers() | {f"own.{name}": each for name, each in own.items()}

    def load(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        super().load(tensors, about)
        own = {name.removeprefix("own."): each for name, each in tensors.items() if name.startswith("own.")}
        self._follower.read(own["values"])
        self._own.load(own)


def _energy(x: Tensor, y: Tensor) -> Tensor:
    """2 E‖x - y‖ - E‖y - y'‖ - E‖x - x'‖ for each of M samples x: their mean is an estimate of the energy distance."""
    a, b = _described(x), _described(y)
    others = max(len(a) - 1, 1)
    return 2 * torch.cdist(a, b).mean(1) - (torch.cdist(a, a).sum(1) + torch.cdist(b, b).sum(1)) / others


def _described(x: Tensor) -> Tensor:
    """Values and differences of neighbours `(M, n)`, over √n: the latter tell blurred samples from others."""
    x = x.double().cpu()
    differences = (x.diff(dim=axis).flatten(1) for axis in range(2, x.ndim))
    found = torch.cat((x.flatten(1), *differences), 1)
    return found / math.sqrt(found.shape[1])
