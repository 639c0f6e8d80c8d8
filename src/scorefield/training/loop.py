"""Training: an iterator over steps. Its caller logs, stops, draws and saves; it does none of these."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..context import drop_context, shuffle_sets
from ..denoisers import DenoiserModule
from ..distributed import each, size
from ..progress import mapped, part
from ..rng import Rng, Steps
from ..settings import Training
from .average import PowerAverage
from .ending import Ending
from .feed import Batches
from .flat import Flat
from .held_out import HeldOut, LevelLoss, excess, held_out_losses
from .optimizer import Optimizer
from .parts import SharedParts, check_parts, summed_gradients
from .prepared import can_prepare, prepared_losses
from .sharded import ShardedFlat, ShardedOptimizer, ShardedParts, each_in_step

__all__ = ["Progress", "Trainer"]

_SIGNIFICANT = 2.0  # standard errors
_INTERVAL = 20  # steps between measurements, at least


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step.

    Arguments:
        step: How many steps were made.
        fraction: How much of the budget is used, or of the part that will be, from 0 to 1.
        seconds: How long it took, earlier parts of a resumed run included.
        loss: The loss of this step, of shape `()`; reading it waits for the device.
        rate: The factor that the schedule gives all learning rates.
        held_out: The held-out loss, when it was measured after this step.
    """

    step: int
    fraction: float
    seconds: float
    loss: Tensor
    rate: float
    held_out: float | None = None


class Trainer:
    """The training of a denoiser, in place.

    Every step is a function of the weights and of its number alone, so that an interrupted run resumes from `state` to the
    same numbers. Several processes (`distributed`) share the batches of a step, and have the same numbers, too.

    Arguments:
        denoiser: The denoiser, or the conditional denoiser, which is trained.
        feed: The batches.
        held_out: Standardized data that no step sees, of shape `(M, *D)`.
        objective: The loss.
        training: The settings, with batch, learning rates and one budget given.
        seed: The seed of noise and levels.
        context: The contexts of the held-out data, of shape `(M, size, …)`, for a conditional model.
        sets: How many rows a context has whose order means nothing, and is drawn anew each time.

    Raises:
        ValueError: If a learning rate or the budget is missing, or the processes cannot share the batches of a step.
    """

    def __init__(
        self,
        denoiser: DenoiserModule,
        feed: Batches,
        held_out: Tensor,
        objective: LevelLoss,
        training: Training,
        seed: int = 0,
        context: Tensor | None = None,
        sets: int = 1,
    ) -> None:
        if training.learning_rate is None or training.muon_learning_rate is None:
            got = f"{training.learning_rate} and {training.muon_learning_rate}"
            raise ValueError(f"a trainer needs learning_rate and muon_learning_rate, got {got}")
        self.denoiser, self.feed, self.held_out, self.context = denoiser, feed, held_out, context
        self.sets, self.objective, self.training = sets, objective, training
        self.step = 0
        self.seconds = 0.0
        self.stopped = ""
        self.ending = Ending(bool(training.end_early))
        self.history: list[tuple[int, float]] = []
        self.parts: list[tuple[int, list[float]]] = []  # steps, and the held-out losses by level after them
        self.steps = self._steps()
        self._divide(denoiser, training.learning_rate, training.muon_learning_rate)
        self.averages = [PowerAverage(self.flat.values, width) for width in training.averages]
        self.best = self.flat.values.clone()
        self.best_losses = torch.full((1,), math.inf, dtype=torch.float64)
        self._rng = Steps(seed, feed.device)
        self._groups: dict[int, tuple[int, list[Callable[[], Tensor]]]] = {}
        together = max(1, min(32, 2**17 // (feed.batch * held_out[0].numel())))
        prepares, network = can_prepare(objective, denoiser), self.denoiser.preconditioned
        self._together = together if prepares else 1
        self._backpropagation = network.backpropagation() if prepares and network is not None else None
        self._copies = max(64, min(512, 2**18 // held_out[0].numel())) if held_out.ndim > 2 else 2048
        self._worse = 0
        self._start = 0.0

    def _divide(self, denoiser: DenoiserModule, rate: float, muon_rate: float) -> None:
        """Lays the parameters side by side: all of them, or those of this process where they are divided."""
        self._shared: SharedParts | ShardedParts | None = None
        self._each = each
        whole = self.training.precision == "float32" and self.feed.device.type == "cpu"  # where bfloat16 is not faster
        how: Any = {"every": self.training.muon_every or 1, "dtype": torch.float32 if whole else torch.bfloat16}
        if size() > 1:
            check_parts(self.training.accumulate)
        if self.training.shard and size() > 1:
            if not can_prepare(self.objective, denoiser):
                what = f"{type(self.objective).__name__} of {type(denoiser).__name__} cannot be learned by a divided network"
                raise ValueError(f"{what}: shard is for denoising score matching of numbers; fit without it")
            flat = ShardedFlat(denoiser, self.feed.device)
            self.flat: Flat = flat
            self.optimizer: Optimizer = ShardedOptimizer(flat, rate, muon_rate, **how)
            self._shared, self._each = ShardedParts(flat, self.training.accumulate), each_in_step
        else:
            self.flat = Flat(denoiser)
            self.optimizer = Optimizer(self.flat, rate, muon_rate, **how)
            if size() > 1:
                ordered = self.training.gradient_sum == "ordered"
                self._shared = SharedParts(self.flat, self.training.accumulate, ordered)
        self.denoiser = self.flat.module

    def _steps(self) -> int | None:
        """The budget in steps; None if it is in minutes."""
        if self.training.minutes is not None:
            return None
        if self.training.epochs is not None:
            a_step = self.feed.batch * self.training.accumulate
            return max(1, math.ceil(self.training.epochs * len(self.feed.rows) / a_step))
        if self.training.steps is None:
            raise ValueError("training needs a budget: set minutes, steps or epochs")
        return self.training.steps

    def _fraction(self, seconds: float) -> float:
        if self.steps is not None:
            return min(1.0, self.step / self.steps)
        return min(1.0, seconds / (60 * (self.training.minutes or 0)))

    def _done(self, fraction: float) -> float:
        """How much of what will be used of the budget is used."""
        return min(1.0, fraction / self.ending.end)

    def run(self) -> Iterator[Progress]:
        """Trains until the budget is used or the held-out loss stops falling, and yields after every step.

        Raises:
            RuntimeError: If a gradient becomes non-finite (NaN or inf); a `ProcessLostError`, if another process has ended.
            ValueError: If several processes do not begin with the same numbers.
        """
        if self._shared is not None:
            self._shared.check_start([*self._numbers().values(), self.held_out])
        self.denoiser.train()
        self._start = time.perf_counter() - self.seconds
        while not self.stopped and (fraction := self._fraction(self.seconds)) < self.ending.end:
            rate = min(1.0, (self.step + 1) / (self.training.warmup + 1)) * self.ending.rate(fraction)
            loss = self._advance(rate)
            self.step += 1
            for average in self.averages:
                average.update(self.flat.values, self.step)
            fraction = self._fraction(self.seconds)
            held_out = self._evaluate() if self._due(fraction) else None
            yield Progress(self.step, self._done(fraction), self.seconds, loss, rate, held_out)
        early = "the held-out loss no longer fell, and the learning rates were lowered to 0"
        self.stopped = self.stopped or ("the budget is used" if self.ending.begun is None else early)

    def _due(self, fraction: float) -> bool:
        """Whether it is time to measure the held-out loss, which costs as much as some steps."""
        since = self.step - (self.history[-1][0] if self.history else 0)
        return since >= _INTERVAL and int(fraction * self.training.evaluations) > len(self.history)

    def _advance(self, rate: float) -> Tensor:
        """One step of the optimizer; returns the loss."""
        loss = self._gradient()
        self._clip(loss)
        self.optimizer.step(rate)
        if self._shared is None or self.training.minutes is None:  # otherwise the clock of process 0 counts
            self.seconds = time.perf_counter() - self._start
        return loss

    def _gradient(self) -> Tensor:
        """Leaves the mean of the gradients of the batches of a step in `flat.gradients`; returns that of their losses, `()`."""
        if self._shared is not None:
            losses, clock = self._shared.gradient(self._loss, time.perf_counter() - self._start)
            self.seconds = self.seconds if self.training.minutes is None else float(clock)
        elif self.training.accumulate == 1:
            self.flat.gradients.zero_()
            return self._loss(0)
        else:
            losses = summed_gradients(self.flat, self._loss, range(self.training.accumulate))
        if len(losses) > 1:
            self.flat.gradients.div_(len(losses))
        return losses.mean()

    def _clip(self, loss: Tensor) -> None:
        """Scales the gradient down to the allowed norm. Reading the norm waits for a GPU: there it is read now and then."""
        norm = self.flat.norm()
        size = float(norm) if norm.device.type == "cpu" or self.step % 25 == 0 else 0.0
        if not math.isfinite(size):
            where = self._shared.non_finite() if self._shared is not None else ""
            what = (
                f"the gradient became non-finite (NaN or inf) at step {self.step + 1}{where} (loss {float(loss):.4g})"
            )
            raise RuntimeError(f"{what}: try a smaller learning rate, a longer warmup, or precision='float32'")
        if norm.device.type != "cpu":
            self.flat.gradients.mul_((self.training.clip / (norm + 1e-12)).clamp_max(1.0))
        elif size > self.training.clip:
            self.flat.gradients.mul_(self.training.clip / size)

    def _loss(self, i: int) -> Tensor:
        """The mean loss of the i-th batch of a step, which is prepared together with the i-th ones of the next steps.

        Its gradient is left in `flat.gradients`, which must be 0.
        """
        group, place = divmod(self.step, self._together)
        group = group * self.training.accumulate + i
        known = self._groups.get(i)
        if known is None or known[0] != group:
            x0 = self.feed.batches(group * self._together, self._together)
            rng = self._rng.at(group)
            reference = self.feed.reference(group * self._together, self._together, self.training.reference_batch or 0)
            context = self._contexts(group, rng)
            data = (x0, self._together, rng, reference.data, reference.complete, context)
            losses = prepared_losses(self.objective, self.denoiser, *data, self._backpropagation, reference.same)
            known = self._groups[i] = group, losses
        return known[1][place]()

    def _contexts(self, group: int, rng: Rng) -> Tensor | None:
        """The contexts of a group of batches, the rows of sets in random order, dropped for some examples."""
        context = self.feed.contexts(group * self._together, self._together)
        if context is not None and self.sets > 1:
            context = shuffle_sets(context, self.sets, rng.child("order"))
        if context is None or not self.training.unconditional:
            return context
        u = rng.child("context").uniform((len(context),), torch.float32, context.device)
        return drop_context(context, u < self.training.unconditional)

    def _candidates(self) -> dict[str, Tensor]:
        """The weights to choose from: the last ones and their averages, from narrow to wide ones."""
        averages = {f"average of width {a.width:g}": a.values for a in self.averages}
        return {"last step": self.flat.values, **averages}

    def _losses_of(self, values: Tensor) -> HeldOut:
        """The held-out losses with other weights; those of training stay as they are."""
        kept = self.flat.values.clone()
        self.flat.read(values)
        self.denoiser.eval()
        try:
            data = (self.held_out, self.objective, self._copies, 0, self.context)
            return held_out_losses(self.denoiser, *data, self._each)
        finally:
            self.denoiser.train()
            self.flat.read(kept)

    def _evaluate(self) -> float:
        """Measures the narrowest average on held-out data, and keeps it if it is the best so far."""
        values = self.averages[0].values if self.averages else self.flat.values
        here = self._fraction(self.seconds)
        with part(
            self._done(here), self._done(here), "training"
        ):  # what it reports itself is not the progress of training
            losses, parts = self._losses_of(values)
        if float(losses.mean()) < float(self.best_losses.mean()):
            self.best.copy_(values)
            self.best_losses, self._worse = losses, 0
        else:
            self._worse = self._worse + 1 if excess(losses, self.best_losses) > _SIGNIFICANT else 0
        self.ending.measured(here, losses)
        if self._worse >= self.training.patience:
            rose = f"{self._worse} measurements in a row lie significantly above the best"
            self.stopped = f"the held-out loss rose: {rose}"
        self.history.append((self.step, float(losses.mean())))
        self.parts.append((self.step, parts.tolist()))
        return float(losses.mean())

    def finish(self) -> tuple[str, float]:
        """Leaves the best weights in the denoiser: the last or one of their averages, by held-out loss.

        Weights from an earlier step take their place if they are significantly better: then the network has begun to
        memorize its data.

        Returns:
            Which weights these are, and their held-out loss.
        """
        candidates = self._candidates()
        measured = mapped(lambda values: self._losses_of(values).data, list(candidates.values()))
        losses = dict(zip(candidates, measured, strict=True))
        chosen = min(losses, key=lambda name: float(losses[name].mean()))
        if self.history and excess(losses[chosen], self.best_losses) > _SIGNIFICANT:
            chosen = "best during training"
            candidates[chosen], losses[chosen] = self.best, self.best_losses
        self.flat.read(candidates[chosen].clone())
        self.flat.release()
        self.denoiser = self.flat.module
        self.denoiser.eval().requires_grad_(False)
        return chosen, float(losses[chosen].mean())

    def _numbers(self) -> dict[str, Tensor]:
        """The tensors of the state, without those that `pieces` gives."""
        tensors = {"best_losses": self.best_losses}
        tensors |= {f"optimizer.{k}": v for k, v in self.optimizer.numbers().items()}
        tensors |= {"ending.losses": self.ending.losses} if self.ending.early else {}
        tensors |= {f"buffer.{k}": v for k, v in self.denoiser.named_buffers()}
        if self.training.shard:
            return tensors
        tensors |= {"values": self.flat.values, "best": self.best}
        tensors |= {f"average.{i}": a.values for i, a in enumerate(self.averages)}
        return tensors | {f"optimizer.{k}": v for k, v in self.optimizer.state().items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed run needs: tensors, and plain data; where the network is divided, `pieces` has the rest."""
        about = {"step": self.step, "seconds": self.seconds, "stopped": self.stopped, "history": self.history}
        about |= {"ending": self.ending.state()} if self.ending.early else {}
        return self._numbers(), about | {"worse": self._worse, "parts": self.parts}

    def pieces(self) -> dict[str, Tensor]:
        """What is as large as the parameters, by their names, where `shard` is set. A checkpoint is read into it in place."""
        kept = {"values": self.flat.values, "best": self.best}
        kept |= {f"average.{i}": a.values for i, a in enumerate(self.averages)}
        found = self.optimizer.pieces()
        for what, values in kept.items():
            found |= self.flat.named(what, values, self.flat.parameters)
        return found

    def load(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Resumes where `state` was taken.

        Raises:
            ValueError: If the state is of another network, or its plain data are of another kind.
        """
        _check_state(about)
        self.best_losses, self._worse = tensors["best_losses"].double(), about["worse"]
        if self.ending.early:
            self.ending.load(about["ending"], tensors["ending.losses"])
        optimizer = {k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")}
        if self.training.shard:
            self.optimizer.load_numbers(optimizer)
        else:
            self._read(tensors)
            self.optimizer.load(optimizer)
        for name, buffer in self.denoiser.named_buffers():
            buffer.copy_(tensors[f"buffer.{name}"])
        self.step, self.seconds, self.stopped = about["step"], about["seconds"], about["stopped"]
        self.history = [(step, loss) for step, loss in about["history"]]
        self.parts = [(step, losses) for step, losses in about.get("parts", ())]

    def _read(self, tensors: dict[str, Tensor]) -> None:
        """Takes weights and their averages."""
        if tensors["values"].shape != self.flat.values.shape:
            have, need = tensors["values"].numel(), self.flat.values.numel()
            raise ValueError(f"the state is of a network with {have} parameters, this one has {need}: start a new run")
        self.flat.read(tensors["values"])
        self.best.copy_(tensors["best"])
        for i, average in enumerate(self.averages):
            average.values.copy_(tensors[f"average.{i}"])


def _check_state(about: dict[str, Any]) -> None:
    """Raises a ValueError unless plain data that were read are those of a state."""
    found = {name: about.get(name) for name in ("step", "seconds", "worse", "stopped", "history")}
    numbers = all(_number(found[name]) for name in ("seconds", "worse"))
    history = isinstance(found["history"], list) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_number, pair)) for pair in found["history"]
    )
    step = isinstance(found["step"], int) and 0 <= found["step"] < 2**63
    if not (numbers and history and step and isinstance(found["stopped"], str | None)):
        raise ValueError(f"the state does not say where training stood, but {str(found)[:80]}")


def _number(value: Any) -> bool:
    """Whether a value is a number that computations take."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)
