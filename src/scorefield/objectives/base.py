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
        """The loss of each sample.

        Arguments:
            denoiser: The denoiser.
            x0: Data, of shape `(B, *D)`.
            rng: The source of the noise levels and the noise.

        Returns:
            The losses, of shape `(B,)`.
        """
