"""The units of the data: a model works on data of mean 0 and standard deviation 1, nobody else has to know."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

__all__ = ["Standardize"]


def _fits(inner: Sequence[int], outer: Sequence[int]) -> bool:
    """Whether a tensor of the shape `inner` broadcasts against `outer` without making it larger."""
    ends = zip(reversed(inner), reversed(outer))
    return len(inner) <= len(outer) and all(a in (1, b) for a, b in ends)


class Standardize(nn.Module):
    """The affine map (x - mean) / std.

    Arguments:
        shape: The shape `D` of a datum.
        mean: What to subtract, broadcasting against `D`; 0 by default.
        std: What to divide by, broadcasting against `D`; 1 by default.

    Raises:
        ValueError: If a standard deviation is not positive, or a shape does not broadcast.

    Example:
        >>> units = Standardize((2,), torch.tensor([100.0, -20.0]), torch.tensor([7.0, 2.0]))
        >>> units(torch.tensor([[107.0, -20.0]]))
        tensor([[1., 0.]])
        >>> round(units.log_det, 6) == round(-math.log(14), 6)
        True
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: Sequence[int], mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.shape = tuple(shape)
        mean = torch.zeros(()) if mean is None else mean
        std = torch.ones(()) if std is None else std
        for name, value in (("mean", mean), ("std", std)):
            if not _fits(value.shape, self.shape):
                raise ValueError(f"{name} of shape {tuple(value.shape)} does not broadcast against {self.shape}")
        if not bool((std > 0).all()) or not bool(torch.isfinite(std).all()):
            raise ValueError(f"standard deviations must be positive and finite, got {std.flatten().tolist()[:5]}")
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        """From the units of the data to standard ones, `(B, *D)`."""
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """From standard units to those of the data, `(B, *D)`."""
        return x * self.std.to(x.dtype) + self.mean.to(x.dtype)

    @property
    def log_det(self) -> float:
        """The logarithm of the volume that `forward` takes a unit volume to: add it to a log-density."""
        return -float(self.std.double().log().expand(self.shape).sum()) if self.shape else -math.log(float(self.std))
