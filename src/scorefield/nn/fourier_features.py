"""Fourier features: inputs that let a smooth network resolve fine structure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .backpropagation import Backpropagates, Backpropagation, WithInputs, hooked
from .counted import Counted
from .shared_labels import SharesLabel

__all__ = ["FourierFeatures"]


class FourierFeatures(nn.Module):
    """A network whose input also contains sines and cosines of the state, as far as the noise preserves them.

    The density of data on a fine lattice, such as 8-bit images, varies within 1 % of a standard deviation, which a
    network of smooth layers does not resolve; the same holds for vectors on a narrow coil. The features are functions of the
    unscaled state, x √(1 + σ²) with σ = e^4c, and are multiplied by the factor e^(-k²σ²/2) to which noise of that level
    shrinks them on average. Frequencies that are lost in the noise are therefore 0.

    Arguments:
        network: A network F(x, c) whose input has `1 + 2 · len(periods)` times as many channels as its output, and `smooth`
            more.
        periods: The periods, in standard deviations of the data.
        smooth: The number of further channels of the input, after those of the state, that are passed on as they are.

    Raises:
        ValueError: If there is no period, or one is not positive and finite, or `smooth` is negative.

    References:
        Kingma et al., 2021, Variational diffusion models, Appendix C (there with the same weight at every level).

    Example:
        >>> from scorefield.nn import UNet
        >>> network = FourierFeatures(UNet(2, 1, (8,), extra=4), (0.05, 0.2))
        >>> network(torch.zeros(3, 1, 8, 8), torch.zeros(3)).shape
        torch.Size([3, 1, 8, 8])
    """

    def __init__(self, network: nn.Module, periods: Sequence[float], smooth: int = 0) -> None:
        super().__init__()
        if smooth < 0:
            raise ValueError(f"FourierFeatures needs smooth >= 0, a number of channels, got {smooth}")
        if not periods or not all(0 < period < math.inf for period in periods):
            raise ValueError(f"FourierFeatures needs positive, finite periods, got {tuple(periods)}")
        self.network = network
        self.periods, self.smooth = tuple(periods), smooth

    @property
    def shares_label(self) -> bool:
        """Whether the network takes one noise label, `(1,)`, for all states."""
        changed = type(self).forward is not FourierFeatures.forward or type(self).inputs is not FourierFeatures.inputs
        return not changed and isinstance(self.network, SharesLabel) and self.network.shares_label

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts: states `(B, C, *S)`, noise labels `(B,)` and an optional context to `(B, C, *S)`. Vectors have no S."""
        arguments = (c,) if context is None else (c, context)
        prediction: Tensor = self.network(self.inputs(x, c), *arguments)
        return prediction

    def inputs(self, x: Tensor, c: Tensor) -> Tensor:
        """The input of the network: the state, its sines and cosines, `(B, C · (1 + 2 · len(periods)), *S)`, and the rest."""
        x, rest = x.tensor_split([x.shape[1] - self.smooth], 1)
        level = torch.exp(4 * c).reshape(-1, *(1,) * (x.ndim - 1))
        state = x * torch.sqrt(1 + level**2)
        k = 2 * math.pi / torch.tensor(self.periods, dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
        size, angle = torch.exp(-((k * level[:, None]) ** 2) / 2), k * state[:, None]
        waves = torch.stack((torch.sin(angle) * size, torch.cos(angle) * size), 2)  # (B, periods, 2, C, *S)
        return torch.cat((x, waves.flatten(1, 3), rest), 1)

    def multiplications(self, size: Sequence[int]) -> int | None:
        """How many multiplications the network makes of one state, if it can say."""
        return self.network.multiplications(size) if isinstance(self.network, Counted) else None

    def backpropagation(self) -> Backpropagation | None:
        """The gradients of the network, if it has its own."""
        changed = type(self).forward is not FourierFeatures.forward or type(self).inputs is not FourierFeatures.inputs
        if changed or hooked(self) or not isinstance(self.network, Backpropagates):
            return None
        inner = self.network.backpropagation()
        return None if inner is None else WithInputs(inner, self.inputs)
