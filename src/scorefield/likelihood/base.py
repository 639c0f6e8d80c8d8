"""What a log-density comes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["LogProb"]


@dataclass(frozen=True)
class LogProb:
    """Log-densities in nats and what is known of their errors, each of shape `(B,)`, in float64.

    Arguments:
        value: The log-densities.
        standard_error: The standard error of each over what was random (probes, draws); 0 where nothing was.
        solver_error: How far the numerical solution is off, an estimate that lies above the error nearly always.
        end_error: How far the law at the largest level is off the Gaussian that stands for it, a number that it hardly
            exceeds; what is left of that, and of the truncation, where they were removed.
        truncation: What noise of the smallest level adds to the log-density, an estimate: it is part of `value`, unless
            it was removed.
        evaluations: How often the denoiser was evaluated for each (int64).
    """

    value: Tensor
    standard_error: Tensor
    solver_error: Tensor
    end_error: Tensor
    truncation: Tensor
    evaluations: Tensor

    @property
    def error(self) -> Tensor:
        """Two standard errors and the other two errors, of shape `(B,)`: nearly all values are closer to the truth."""
        return 2 * self.standard_error + self.solver_error + self.end_error

    def __len__(self) -> int:
        return len(self.value)

    def plus(self, shift: Tensor | float) -> LogProb:
        """The same with a known number added to the values: a change of units."""
        return replace(self, value=self.value + shift)

    def at(self, index: Tensor | slice) -> LogProb:
        """Those of some data."""
        return LogProb(*(getattr(self, field.name)[index] for field in fields(self)))

    def put(self, index: Tensor, other: LogProb) -> LogProb:
        """The same with those of some data replaced."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return LogProb(*(mine.index_copy(0, index, new) for mine, new in pairs))

    def cpu(self) -> LogProb:
        """The same in the memory of the processor."""
        return LogProb(*(getattr(self, field.name).cpu() for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[LogProb]) -> LogProb:
        """Those of several batches, one after another."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))
