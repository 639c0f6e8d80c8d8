"""How an example lies in memory: the user's axes outside, `(F,)` or `(C, *S)` inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

__all__ = ["Layout", "Structure"]

Structure = Literal["vector", "grid"]


@dataclass(frozen=True)
class Layout:
    """The mapping between an example of the user's `shape` and the one that networks take.

    A vector is flattened to `(F,)`; a grid becomes `(C, *S)` with one to three spatial axes.

    Arguments:
        shape: The shape of an example as the user has it.
        structure: `vector` or `grid`.
        channel_axis: The position of the channels in `shape`; None where a grid has no such axis.

    Raises:
        ValueError: If a grid is left with no spatial axis, or with more than three.

    Example:
        >>> layout = Layout((32, 24, 3), "grid", channel_axis=2)
        >>> layout.inner_shape
        (3, 32, 24)
        >>> import torch
        >>> layout.outward(layout.inward(torch.zeros(5, 32, 24, 3))).shape
        torch.Size([5, 32, 24, 3])
    """

    shape: tuple[int, ...]
    structure: Structure = "vector"
    channel_axis: int | None = None

    def __post_init__(self) -> None:
        if self.structure not in ("vector", "grid"):
            raise ValueError(f'structure must be "vector" or "grid", got {self.structure!r}')
        if self.structure == "vector" and self.channel_axis is not None:
            raise ValueError(f"a vector has no channels, got channel_axis={self.channel_axis}: set it to None")
        if self.channel_axis is not None and not 0 <= self.channel_axis < len(self.shape):
            raise ValueError(f"channel_axis={self.channel_axis} is not an axis of an example of shape {self.shape}")
        axes = len(self.shape) - (self.channel_axis is not None)
        if self.structure == "grid" and not 1 <= axes <= 3:
            raise ValueError(
                f"a grid needs 1 to 3 spatial axes, an example of shape {self.shape} has {axes}: "
                'reshape the data or set structure="vector"'
            )

    @classmethod
    def inner(cls, shape: tuple[int, ...]) -> Layout:
        """The layout of an example that is stored as networks take it: `()`, `(F,)` or `(C, *S)`."""
        return cls(shape) if len(shape) < 2 else cls(shape, "grid", 0)

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The shape of an example inside: `(F,)` or `(C, *S)`."""
        if self.structure == "vector":
            return (math.prod(self.shape),)
        if self.channel_axis is None:
            return (1, *self.shape)
        rest = self.shape[: self.channel_axis] + self.shape[self.channel_axis + 1 :]
        return (self.shape[self.channel_axis], *rest)

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """The axes of an example outside that are spatial, counted from 0; none of a vector.

        Example:
            >>> Layout((32, 24, 3), "grid", channel_axis=2).spatial_axes
            (0, 1)
        """
        return tuple(a for a in range(len(self.shape)) if a != self.channel_axis) if self.structure == "grid" else ()

    def inward(self, x: Tensor) -> Tensor:
        """From `(B, *shape)` to `(B, *inner_shape)`; a view where it can be."""
        if self.channel_axis is not None:
            return x.movedim(self.channel_axis + 1, 1)
        return x.reshape(x.shape[0], *self.inner_shape)

    def outward(self, x: Tensor) -> Tensor:
        """From `(B, *inner_shape)` to `(B, *shape)`; a view where it can be."""
        if self.channel_axis is not None:
            return x.movedim(1, self.channel_axis + 1)
        return x.reshape(x.shape[0], *self.shape)
