"""The levels of categories of a mixed state: how frequent they are, and the units in which a network sees and answers them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from .blocks import Blocks

__all__ = ["CategoryLevels"]

_MOST = 10.0  # the scale of a level of 1 %: rarer ones have no larger one


class CategoryLevels(nn.Module):
    """The levels of all categories of a mixed state, C coordinates in all.

    A level of frequency π is 1 with probability π, and has the variance π (1 - π). The network sees it less π, in units of its
    standard deviation, as it sees numbers. Its answer F changes log π by F over the standard deviation, and so the probability
    by about F standard deviations: what depends on a rare level is as large as what depends on a number.

    Arguments:
        levels: The number of levels of each category.
        frequencies: How frequent each level is, C numbers; if left out, all levels of a category alike, and answers are logits.

    Raises:
        ValueError: If there is not one frequency between 0 and 1 for each level.

    Example:
        >>> levels = CategoryLevels((2,), (0.8, 0.2))
        >>> levels.log_probs(torch.zeros(1, 2)).exp()
        tensor([[0.8000, 0.2000]])
        >>> levels.standardized(torch.tensor([[0.0, 1.0]]))
        tensor([[-2.,  2.]])
    """

    logs: Tensor
    center: Tensor
    scale: Tensor
    gain: Tensor

    def __init__(self, levels: Sequence[int], frequencies: Sequence[float] = ()) -> None:
        super().__init__()
        self.blocks = Blocks(levels)
        sizes = self.blocks.sizes.double()
        center, scale, gain = 1 / sizes, sizes.sqrt(), torch.ones_like(sizes)
        if frequencies:
            center = torch.tensor(tuple(frequencies), dtype=torch.float64)
            if len(center) != len(sizes) or not bool(((center > 0) & (center < 1)).all()):
                need = f"one number between 0 and 1 for each of {len(sizes)} levels"
                raise ValueError(
                    f"frequencies are {need}, got {len(center)}: {', '.join(f'{f:g}' for f in center[:8])}"
                )
            scale = gain = torch.rsqrt(center * (1 - center)).clamp_max(_MOST)
        for name, tensor in {"logs": center.log(), "center": center, "scale": scale, "gain": gain}.items():
            self.register_buffer(name, tensor.float(), persistent=False)

    def log_probs(self, evidence: Tensor, answer: Tensor | None = None) -> Tensor:
        """Log-probabilities of levels, `(B, C)`, from what their own coordinates say, and what the network says of the rest."""
        logits = evidence + self.logs.to(evidence)
        return self.blocks.log_softmax(logits if answer is None else logits + self.gain.to(answer) * answer)

    def standardized(self, probabilities: Tensor) -> Tensor:
        """Probabilities of levels less their frequencies, in units of a standard deviation, `(B, C)`."""
        return (probabilities - self.center.to(probabilities)) * self.scale.to(probabilities)
