"""Standardization: models work on data of mean 0 and standard deviation 1, users on data in their own units."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Units

__all__ = ["Standardize"]


def _fits(inner: Sequence[int], outer: Sequence[int]) -> bool:
    """Whether a tensor of shape `inner` broadcasts to the shape `outer`."""
    ends = zip(reversed(inner), reversed(outer))
    return len(inner) <= len(outer) and all(a in (1, b) for a, b in ends)


class Standardize(Units):
    """The affine map (x - mean) / std.

    Arguments:
        shape: The shape `D` of a sample.
        mean: The mean to subtract, which broadcasts against `D`; 0 by default.
        std: The standard deviation to divide by, which broadcasts against `D`; 1 by default.

    Raises:
        ValueError: If a standard deviation is not positive and finite, or a shape does not broadcast.

    Example:
        >>> units = Standardize((2,), torch.tensor([100.0, -20.0]), torch.tensor([7.0, 2.0]))
        >>> units(torch.tensor([[107.0, -20.0]]))
        tensor([[1., 0.]])
        >>> round(units.log_det, 6) == round(-math.log(14), 6)
        True
    """

    affine = True
    mean: Tensor
    std: Tensor

    def __init__(self, shape: Sequence[int], mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__(shape)
        mean = torch.zeros(()) if mean is None else mean
        std = torch.ones(()) if std is None else std
        for name, value in (("mean", mean), ("std", std)):
            if not _fits(value.shape, self.shape):
                raise ValueError(f"{name} of shape {tuple(value.shape)} does not broadcast against {self.shape}")
        if not bool((std > 0).all()) or not bool(torch.isfinite(std).all()):
            raise ValueError(f"standard deviations must be positive and finite, got {std.flatten().tolist()[:5]}")
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data, `(B, *D)`, to standard units."""
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Maps standard units, `(B, *D)`, to the units of the data."""
        return x * self.std.to(x.dtype) + self.mean.to(x.dtype)

    def __repr__(self) -> str:
        """The shape, and mean and standard deviation, averaged where there are several."""
        mean, std = float(self.mean.double().mean()), float(self.std.double().mean())
        about = "" if self.mean.numel() == self.std.numel() == 1 else " on average"
        return f"Standardize({self.shape}, mean {mean:.4g}, std {std:.4g}{about})"

    def state_errors(self, x: Tensor, errors: Tensor) -> Tensor:
        return errors / self.std.to(errors)

    def step_of_data(self, step: Tensor) -> Tensor:
        return step * self.std.to(step.dtype)

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """The log-determinant, of shape `(B,)`: the same everywhere."""
        if counted is not None:
            return -torch.where(counted, self.std.double().log(), 0.0).flatten(1).sum(1)
        return torch.full((len(x),), self.log_det, dtype=torch.float64, device=x.device)

    @property
    def log_det(self) -> float:
        """The log-determinant of `forward`, to be added to a log-density in standard units."""
        return -float(self.std.double().log().expand(self.shape).sum()) if self.shape else -math.log(float(self.std))
