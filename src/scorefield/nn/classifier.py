"""A network that classifies noisy data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embed import FourierEmbedding
from .renamed import load_under_old_names

__all__ = ["ClassifierNetwork"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class ClassifierNetwork(nn.Module):
    """A network G(x, c): noisy data `(B, *D)` and their noise label c, `(B,)`, to class logits, `(B, classes)`.

    Linear layers for vectors; for grids strided convolutions with a global mean at the end. The noise label scales and
    shifts the features of each layer. All logits are 0 at initialization.

    Arguments:
        shape: The shape D of a sample: `(F,)`, or `(C, *S)` with one to three spatial axes.
        classes: The number of classes.
        width: The width of the layers. For grids it is that of the first layer; it doubles with each halving of the grid, up
            to a factor of four.
        depth: The number of layers.

    Raises:
        ValueError: If a size is not positive, there are fewer than two classes, or `shape` has more than four axes.
    """

    def __init__(self, shape: Sequence[int], classes: int, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        if classes < 2 or min(width, depth, *shape) < 1 or not 1 <= len(shape) <= 4:
            got = f"shape={tuple(shape)}, classes={classes}, width={width}, depth={depth}"
            need = "data of one to four axes, 2 classes and positive sizes"
            raise ValueError(f"ClassifierNetwork needs {need}, got {got}")
        self.shape = tuple(shape)
        self.classes, self.width, self.depth = classes, width, depth
        dims = len(shape) - 1

        def width_of(i: int) -> int:
            return width * (min(2**i, 4) if dims else 1)

        self.label = FourierEmbedding(16)
        self.modulate = nn.ModuleList(nn.Linear(32, 2 * width_of(i)) for i in range(depth))
        ends = ((width_of(i - 1) if i else shape[0], width_of(i), 2 if i else 1) for i in range(depth))
        self.layers = nn.ModuleList(
            _CONV[dims](a, b, 3, stride, padding=1) if dims else nn.Linear(a, b) for a, b, stride in ends
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width_of(i)) for i in range(depth))
        self.output = nn.Linear(width_of(depth - 1), classes)
        load_under_old_names(self, {"leave": "output"})
        with torch.no_grad():
            for layer in (*self.modulate, self.output):
                layer.weight.zero_()
                layer.bias.zero_()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """The logits, `(B, classes)`."""
        label, h = self.label(c), x
        for layer, norm, modulate in zip(self.layers, self.norms, self.modulate):
            scale, shift = modulate(label).reshape(len(x), -1, *(1,) * (x.ndim - 2)).chunk(2, dim=1)
            h = F.silu(norm(layer(h)) * (1 + scale) + shift)
        logits: Tensor = self.output(h.flatten(2).mean(2) if h.ndim > 2 else h)
        return logits
