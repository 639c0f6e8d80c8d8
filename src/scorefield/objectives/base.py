"""What training minimizes."""

from __future__ import annotations

import abc

from torch import Tensor

from ..denoisers.base import Denoiser
from ..rng import Rng

__all__ = ["Objective"]


class Objective(abc.ABC):
    """A loss that the true denoiser minimizes."""

    @abc.abstractmethod
    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        """The loss of each datum: `x0` of shape `(B, *D)` to `(B,)`."""
