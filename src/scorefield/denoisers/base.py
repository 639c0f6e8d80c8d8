"""The denoiser: the one quantity that is learned."""

from __future__ import annotations

import abc

import torch.nn as nn
from torch import Tensor

__all__ = ["Denoiser"]


class Denoiser(nn.Module, abc.ABC):
    """The posterior mean  D(x, σ) = E[x_0 | x_0 + σ z = x]  at every noise level σ.

    It knows no noise process: a state x_t of any process is one division away,
    E[x_0 | x_t] = D(x_t / α_t, σ_t / α_t).
    """

    @abc.abstractmethod
    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Denoises.

        Arguments:
            x: Data plus noise, of shape `(B, *D)`.
            level: The noise level σ > 0, in the units of `x`, which broadcasts against it.

        Returns:
            The mean of the data given `x`, of shape `(B, *D)`.
        """
