"""A network that sees fine steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

__all__ = ["FourierFeatures"]


class FourierFeatures(nn.Module):
    """A network that also sees its input through sines and cosines of it, where these outlast the noise.

    Data on a fine lattice, such as images of 8 bits, are told apart to a hundredth of their deviation by densities; a network
    of smooth layers hardly sees so little; nor does one for vectors see the turns of a narrow coil. The waves are those of the
    state before it was scaled, x √(1 + σ²) with σ = e^4c, and as large as noise of that level leaves them on average: those
    that it has washed out are 0, and do no harm.

    Arguments:
        network: A network F(x, c), whose x has `1 + 2 · len(periods)` times the channels that it answers.
        periods: The periods of the waves, in standard deviations of the data.

    References:
        Kingma et al., 2021, Variational diffusion models, Appendix C (Fourier features, there at every level alike)

    Example:
        >>> from scorefield.nn import UNet
        >>> network = FourierFeatures(UNet(2, 1, (8,), more=4), (0.05, 0.2))
        >>> network(torch.zeros(3, 1, 8, 8), torch.zeros(3)).shape
        torch.Size([3, 1, 8, 8])
    """

    def __init__(self, network: nn.Module, periods: Sequence[float]) -> None:
        super().__init__()
        if not periods or not all(0 < period < math.inf for period in periods):
            raise ValueError(f"Waves needs periods above 0, got {tuple(periods)}")
        self.network = network
        self.periods = tuple(periods)

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts, `(B, C, *S)`, labels `(B,)` and what is given beside, to `(B, C, *S)`; vectors have no S."""
        level = torch.exp(4 * c).reshape(-1, *(1,) * (x.ndim - 1))
        state = x * torch.sqrt(1 + level**2)
        k = 2 * math.pi / torch.tensor(self.periods, dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
        size, angle = torch.exp(-((k * level[:, None]) ** 2) / 2), k * state[:, None]
        waves = torch.stack((torch.sin(angle) * size, torch.cos(angle) * size), 2)  # (B, periods, 2, C, *S)
        given = () if context is None else (context,)
        return self.network(torch.cat((x, waves.flatten(1, 3)), 1), c, *given)
