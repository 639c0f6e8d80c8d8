"""Denoisers made of NCSN and NCSNv2 score networks, published or trained in the same way."""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn.refinenet import RefineNet
from ..tensors import expand, per_sample
from .base import Denoiser

__all__ = ["NCSNDenoiser"]

_SAME = 1e-4  # a level this close to one of the ladder, in steps of it, counts as that one


class NCSNDenoiser(Denoiser):
    """A denoiser made of an NCSN network, which takes the state without scaling: D(x, σ) = x + σ² s(x, σ).

    The score s is what the authors' networks return for the index of a level. NCSNv2 has s = h(2x - 1) / σ and serves every
    level. NCSN has s = h(2x - 1, i), whose norms know only the levels of the ladder: between two of them σ s is
    interpolated in ln σ, by two evaluations; beyond its ends, that of the last level is used.

    Its `state_dict` is that of the authors, with `network.` before the names of parameters.

    Arguments:
        network: The network h.
        sigmas: The levels of the ladder, of shape `(L,)`, decreasing, in the units of the state.
        centred: Whether states are of images from -1 to 1, which h takes as they are; else from 0 to 1.

    Raises:
        ValueError: If the levels do not decrease, or are not those that the network knows.

    References:
        Song & Ermon, 2019; Song & Ermon, 2020, Technique 3.

    Example:
        >>> denoiser = NCSNDenoiser(RefineNet(1, 8), torch.tensor([1.0, 0.1, 0.01]))
        >>> denoiser(torch.ones(2, 1, 8, 8), torch.tensor(0.5)).shape
        torch.Size([2, 1, 8, 8])
    """

    sigmas: Tensor

    def __init__(self, network: RefineNet, sigmas: Tensor, centred: bool = False) -> None:
        super().__init__()
        if sigmas.ndim != 1 or len(sigmas) < 2:
            got = f"the shape {tuple(sigmas.shape)}"
            raise ValueError(f"NCSNDenoiser needs a ladder of two noise levels or more, got {got}")
        if not sigmas.is_meta and not bool((sigmas[:-1] > sigmas[1:]).all() and sigmas[-1] > 0):
            got = f"{sigmas[:3].tolist()} … {sigmas[-1]:g}"
            raise ValueError(f"the noise levels of NCSNDenoiser decrease and are positive, got {got}")
        if network.classes not in (0, len(sigmas)):
            raise ValueError(f"the network knows {network.classes} noise levels, got {len(sigmas)}: give it its own")
        self.network = network
        self.register_buffer("sigmas", sigmas)
        self.centred = centred

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return x + level * self._scaled(x, level).to(x.dtype)

    def score(self, x: Tensor, index: Tensor) -> Tensor:
        """The score at levels of the ladder, as the authors define it.

        Arguments:
            x: States, of shape `(B, C, H, W)`.
            index: The index of each state's level, of shape `(B,)`.

        Returns:
            ∇ log p at that level, of shape `(B, C, H, W)`.
        """
        if self.network.classes:
            return self.network.at(self._input(x), index)
        return self.network.at(self._input(x)) / expand(self.sigmas[index], x)

    def _input(self, x: Tensor) -> Tensor:
        """The state as the network takes it."""
        return (x if self.centred else 2 * x - 1).to(next(self.network.parameters()).dtype)

    def _scaled(self, x: Tensor, level: Tensor) -> Tensor:
        """σ s(x, σ)."""
        inputs = self._input(x)
        if not self.network.classes:
            return self.network.at(inputs)
        place = self._place(per_sample(level, x))
        index = place.floor().long()
        answer = expand(self.sigmas[index], x) * self.network.at(inputs, index)
        part = expand(place - index, x).to(answer.dtype)
        if not bool((part > 0).any()):
            return answer
        index = (index + 1).clamp_max(len(self.sigmas) - 1)
        return torch.lerp(answer, expand(self.sigmas[index], x) * self.network.at(inputs, index), part)

    def _place(self, level: Tensor) -> Tensor:
        """Where on the ladder levels are, 0 to L - 1, linear in ln σ between its steps: `(B,)` to `(B,)`."""
        steps, at = -self.sigmas.double().log(), -level.double().log()
        index = (torch.searchsorted(steps, at) - 1).clamp(0, len(steps) - 2)
        place = index + ((at - steps[index]) / (steps[index + 1] - steps[index])).clamp(0, 1)
        return torch.where((place - place.round()).abs() < _SAME, place.round(), place)
