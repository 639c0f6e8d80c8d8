"""A denoiser that also learns its mean loss at each level."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from ..nn.embed import FourierEmbedding
from .base import Denoiser

__all__ = ["WithUncertainty"]


class WithUncertainty(Denoiser):
    """A denoiser with a head for the logarithm u(σ) of its mean loss at each level (Karras et al., 2024, EDM2).

    It denoises as the denoiser that it wraps, which is all that is needed after training (`.denoiser`). The head starts at 0,
    and is trained by `objectives.LearnedUncertainty`, together with the rest and by the same optimizer.

    Arguments:
        denoiser: The denoiser.
        frequencies: How many frequencies of ln σ the head takes.
    """

    def __init__(self, denoiser: Denoiser, frequencies: int = 16) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.frequencies = frequencies
        self.label = FourierEmbedding(frequencies)
        self.head = nn.Linear(2 * frequencies, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.denoiser(x, level)  # type: ignore[no-any-return]

    def log_loss(self, level: Tensor) -> Tensor:
        """u(σ), of the shape of `level`."""
        c = (torch.log(level) / 4).reshape(-1).to(self.head.weight)
        return self.head(self.label(c))[:, 0].reshape(level.shape).to(level)  # type: ignore[no-any-return]
