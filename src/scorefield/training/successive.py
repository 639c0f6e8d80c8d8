"""One training after another, as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from ..denoisers import DenoiserModule
from ..settings import Training
from .loop import Progress, Trainer

__all__ = ["Resumable", "Successive"]


class Resumable(Protocol):
    """A training that a folder keeps: a `Trainer`, or several in succession."""

    training: Training

    @property
    def step(self) -> int:
        """How many steps were made."""

    @property
    def stopped(self) -> str:
        """Why it has ended; empty before."""

    def run(self) -> Iterator[Progress]:
        """Trains, and yields after every step."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed run needs."""

    def pieces(self) -> dict[str, Tensor]:
        """What is divided over processes, to be read in place."""

    def load(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Resumes where `state` was taken."""


class Successive:
    """Two trainings of a denoiser, of which the second begins with the weights that the first has left.

    Arguments:
        first: The first one.
        second: Gives the second one for what the first has left.
        share: The part of the whole that the first one is, between 0 and 1.
    """

    def __init__(self, first: Trainer, second: Callable[[DenoiserModule], Trainer], share: float) -> None:
        self.first, self.share, self._second = first, share, second
        self.training = first.training
        self.then: Trainer | None = None
        self.left: tuple[str, float] = ("", 0.0)

    @property
    def now(self) -> Trainer:
        """The one that is under way, or was the last."""
        return self.then or self.first

    @property
    def step(self) -> int:
        return self.first.step + (0 if self.then is None else self.then.step)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.first.seconds + (0.0 if self.then is None else self.then.seconds)

    @property
    def stopped(self) -> str:
        return "" if self.then is None else self.then.stopped

    @property
    def denoiser(self) -> DenoiserModule:
        """What is trained."""
        found: DenoiserModule = self.now.denoiser
        return found

    @property
    def held_out(self) -> Tensor:
        """What the first one measures its losses on."""
        return self.first.held_out

    @property
    def context(self) -> Tensor | None:
        """The contexts of these."""
        return self.first.context

    @property
    def parts(self) -> list[tuple[int, list[float]]]:
        """The steps of the first one, and its held-out losses by level after them."""
        return self.first.parts

    @property
    def history(self) -> list[tuple[int, float]]:
        """The steps of the one that is under way, and its held-out losses after them."""
        return self.now.history

    def run(self) -> Iterator[Progress]:
        """Trains: first the one, then the other.

        Raises:
            RuntimeError, ValueError: As `Trainer.run`.
        """
        if self.then is None:
            for progress in self.first.run():
                yield replace(progress, fraction=self.share * progress.fraction)
            self.left = self.first.finish()
            self._begin()
        steps, seconds = self.first.step, self.first.seconds
        for progress in self.now.run():
            fraction = self.share + (1 - self.share) * progress.fraction
            yield replace(progress, step=steps + progress.step, fraction=fraction, seconds=seconds + progress.seconds)

    def _begin(self) -> None:
        self.then = self._second(self.first.denoiser.requires_grad_(True))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state of the one that is under way, and what is known of the one before."""
        tensors, about = self.now.state()
        if self.then is None:
            return tensors, about
        first = self.first
        known = {"step": first.step, "seconds": first.seconds, "left": list(self.left)}
        return tensors, {**about, "before": known | {"history": first.history, "parts": first.parts}}

    def pieces(self) -> dict[str, Tensor]:
        """Those of the one that is under way."""
        return self.now.pieces()

    def load(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Resumes where `state` was taken.

        Raises:
            ValueError: If the state is of another network, or its plain data are of another kind.
        """
        before = about.get("before")
        if before is not None:
            self._resume(before)
        self.now.load(tensors, about)

    def _resume(self, before: Any) -> None:
        """Takes the first one for ended."""
        try:
            step, seconds, (name, loss) = int(before["step"]), float(before["seconds"]), before["left"]
            history = [(int(at), float(each)) for at, each in before["history"]]
            parts = [(int(at), [float(each) for each in losses]) for at, losses in before["parts"]]
            left = str(name), float(loss)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError(f"the state does not say what came before, but {str(before)[:80]}") from None
        first, self.left = self.first, left
        first.step, first.seconds, first.history, first.parts = step, seconds, history, parts
        first.flat.release()
        first.denoiser = first.flat.module
        self._begin()

    def finish(self) -> tuple[str, float]:
        """Leaves the best weights of the second one in its denoiser.

        Returns:
            Which weights these are, and their held-out loss.
        """
        return self.now.finish()
