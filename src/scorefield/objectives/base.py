"""The interface of training objectives."""

from __future__ import annotations

import abc

from torch import Tensor

from ..denoisers.base import Denoiser
from ..rng import Rng

__all__ = ["Objective"]


class Objective(abc.ABC):
    """A loss that the exact denoiser minimizes."""

    @abc.abstractmethod
    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        """The losses of data `(B, *D)`, of shape `(B,)`; levels and noise are from `rng`."""
