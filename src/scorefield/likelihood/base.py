"""Log-densities together with their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..display import Facts, displayed

__all__ = ["LogProb"]


@displayed
@dataclass(frozen=True)
class LogProb:
    """Log-densities in nats with estimates of their errors, each of shape `(B,)`, in float64.

    Arguments:
        value: The log-densities.
        standard_error: The standard error over what was random (probes, draws); 0 where nothing was.
        solver_error: The error of the numerical solution: an estimate that is nearly always above the true error.
        end_error: The error of replacing the distribution at the largest level by the Gaussian prior: a bound that is
            rarely exceeded. With `extrapolate`, what remains of it and of the truncation after both were removed.
        truncation: An estimate of what noise of the smallest level changes in the log-density. It is part of `value`,
            unless it was removed.
        evaluations: The number of evaluations of the denoiser (int64).
    """

    value: Tensor
    standard_error: Tensor
    solver_error: Tensor
    end_error: Tensor
    truncation: Tensor
    evaluations: Tensor

    @property
    def error(self) -> Tensor:
        """Two standard errors plus solver and end error, of shape `(B,)`: nearly all values are within it of the truth."""
        return 2 * self.standard_error + self.solver_error + self.end_error

    def _facts(self) -> Facts:
        if not len(self):
            return "LogProb of no rows", {}
        names = ("value", "error", "truncation", "evaluations")
        columns = {name: getattr(self, name).double().cpu() for name in names}
        return f"LogProb of {len(self):,} {'row' if len(self) == 1 else 'rows'}, in nats", {
            name: f"mean {float(x.mean()):.4g}, from {float(x.min()):.4g} to {float(x.max()):.4g}"
            for name, x in columns.items()
        }

    def __len__(self) -> int:
        return len(self.value)

    def plus(self, shift: Tensor | float) -> LogProb:
        """A copy with a known number added to the values, such as a change of units."""
        return replace(self, value=self.value + shift)

    def minus(self, other: LogProb) -> LogProb:
        """The difference of two log-densities, with the errors of both; -inf, without errors, where this one is."""
        return LogProb(
            self.value - other.value,
            torch.hypot(self.standard_error, other.standard_error),
            self.solver_error + other.solver_error,
            self.end_error + other.end_error,
            self.truncation - other.truncation,
            self.evaluations + other.evaluations,
        ).excluding(self.value.isneginf())

    def excluding(self, outside: Tensor) -> LogProb:
        """A copy with -inf, without errors, where rows have probability 0: true in `outside`, `(B,)`."""
        none = LogProb.impossible(len(self))
        pairs = zip(none._tensors(), self._tensors())
        return LogProb(*(torch.where(outside.to(mine.device), new.to(mine), mine) for new, mine in pairs))

    @classmethod
    def impossible(cls, count: int) -> LogProb:
        """The log-densities of rows of probability 0: -inf, which is exact."""
        zero = torch.zeros(count, dtype=torch.float64)
        return cls(zero - torch.inf, zero, zero, zero, zero, torch.zeros(count, dtype=torch.int64))

    def _tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def at(self, index: Tensor | slice) -> LogProb:
        """The entries at `index`."""
        return LogProb(*(mine[index] for mine in self._tensors()))

    def put(self, index: Tensor, other: LogProb) -> LogProb:
        """A copy with the entries at `index` replaced by those of `other`."""
        pairs = zip(self._tensors(), other._tensors())
        return LogProb(*(mine.index_copy(0, index, new) for mine, new in pairs))

    def cpu(self) -> LogProb:
        """A copy in CPU memory."""
        return LogProb(*(mine.cpu() for mine in self._tensors()))

    @classmethod
    def join(cls, parts: Sequence[LogProb]) -> LogProb:
        """The results of several batches, concatenated."""
        return cls(*map(torch.cat, zip(*(part._tensors() for part in parts))))

    def stacked(self) -> Tensor:
        """All numbers as one tensor, of shape `(B, 6)` in float64."""
        return torch.stack([x.double() for x in self._tensors()], 1)

    @classmethod
    def unstacked(cls, numbers: Tensor) -> LogProb:
        """The inverse of `stacked`."""
        value, standard_error, solver_error, end_error, truncation, evaluations = numbers.unbind(1)
        return cls(value, standard_error, solver_error, end_error, truncation, evaluations.long())
