"""Operators: maps from data to what is measured."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..user_values import real_tensor

__all__ = ["LinearOperator", "Operator", "axes_of", "kept_parts"]


class Operator(abc.ABC):
    """A map A from data to what an instrument shows of them, in the units and the axes of the data.

    To add one, write `__call__` with operations of torch: adjoints and derivatives follow from it.
    """

    linear: bool = False
    """Whether A(a x + b y) = a A(x) + b A(y)."""

    costly: bool = False
    """Whether measuring takes long, as a simulation does: methods then ask it seldom."""

    @abc.abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Measures data of shape `(B, *D)`, each by itself: `(B, *E)`."""

    def spatial_axes(self, spatial: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], int] | None:
        """The spatial axes of what it gives, and how many axes that has; None where it does not say.

        Arguments:
            spatial: The spatial axes of a data point, counted from 0.
            rank: How many axes a data point has.

        Raises:
            ValueError: If it acts along spatial axes that were left open, and takes others than these.
        """
        return None


class LinearOperator(Operator):
    """An operator that is linear: to add one, write `__call__`."""

    linear = True

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """Aᵀ y for y of shape `(B, *E)`, by the derivative of A: `(B, *D)` for data points of the shape `D`."""
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros(len(y), *shape, dtype=y.dtype, device=y.device, requires_grad=True)
            return torch.autograd.grad(self(x), x, y)[0]


def kept_parts(keep: Any, who: str, what: tuple[str, str]) -> Tensor:
    """What a user gave as a mask of what is measured, in bools.

    Arguments:
        keep: True or 1 where something is measured, False or 0 elsewhere.
        who: The operator, for messages.
        what: What of the data it keeps, "component" say, and in the plural.

    Raises:
        TypeError: If numbers are complex.
        ValueError: If there are other values than 0 and 1, masked ones among them, or nothing is kept.
    """
    found = real_tensor(keep, f"masks of {who}")
    if not bool(((found == 0) | (found == 1)).all()):
        got = f"{who} needs True where a {what[0]} is measured, and False elsewhere; got other numbers"
        raise ValueError(f"{got}: of the indices i of n {what[1]}, np.isin(np.arange(n), i) is the mask")
    if not bool(found.any()):
        raise ValueError(f"{who} keeps nothing: at least one {what[0]} must be measured")
    return found.bool()


def axes_of(x: Tensor, axes: Sequence[int], who: object) -> tuple[int, ...]:
    """The positions in `(B, *D)` of axes of a data point, which may count from its end.

    Raises:
        ValueError: If there is no such axis.
    """
    rank = x.ndim - 1
    bad = [a for a in axes if not -rank <= a < rank]
    if bad:
        have = f"a data point of shape {tuple(x.shape[1:])} has {rank} axes"
        raise ValueError(f"{type(who).__name__} works along axis {bad[0]}, and {have}: give axes=(…)")
    return tuple(a % rank + 1 for a in axes)
