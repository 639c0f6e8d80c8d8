"""A residual multilayer perceptron, for states of tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embed import FourierEmbedding
from .pieces import Pieces

__all__ = ["ResidualMLP"]

_LABEL = 64  # the width of the embedding of the noise label, the context and what is given
_FINE = 32  # pieces of given numbers


class ResidualMLP(nn.Module):
    """A network F(x, c): states x of shape `(B, features + extra)` and their noise label c, `(B,)`, to `(B, features)`.

    Blocks of two layers are added to a stream of constant width, as in the feed-forward half of a transformer: each
    normalizes the stream, and the noise label and the context shift its inner layer. The output is 0 at initialization.
    Numbers, which are expected to have unit variance, also enter as piecewise linear encodings: the part of each piece
    between two quantiles of a normal distribution that lies below the number (Gorishniy et al., 2022). A smooth network
    bends at these places without having to learn large weights.

    In mixed states (`denoisers.MixedNetwork`) some variables are given. They say little where a noisy state already says much,
    and all where noise is strong, which a network learns slowly if they enter as noisy numbers do. With `owners` they also
    shift the inner layers of all blocks, as the noise label does, numbers by finer pieces.

    Arguments:
        features: The number of outputs.
        width: The width of the stream.
        depth: The number of blocks.
        context: The number of context values; 0 for none.
        extra: The number of further inputs in x that have no output; 0 for none.
        expansion: The width of the inner layer of a block, in widths of the stream.
        numbers: How many of the inputs in x, the first ones, are encoded by pieces.
        pieces: The number of pieces.
        owners: For mixed states, the variable that each feature belongs to, from 0: the further inputs are then two flags
            for each variable, given and absent.

    Raises:
        ValueError: If a size is not positive, there are fewer inputs than numbers, or owners do not fit.

    References:
        Gorishniy et al., 2022, On embeddings for numerical features in tabular deep learning.

    Example:
        >>> import torch
        >>> network = ResidualMLP(5, width=32, extra=4)
        >>> network(torch.zeros(3, 9), torch.zeros(3)).shape
        torch.Size([3, 5])
    """

    owner: Tensor

    def __init__(
        self,
        features: int,
        width: int = 256,
        depth: int = 3,
        context: int = 0,
        extra: int = 0,
        expansion: int = 2,
        numbers: int = 0,
        pieces: int = 7,
        owners: Sequence[int] = (),
    ) -> None:
        super().__init__()
        sizes = {"features": features, "width": width, "depth": depth, "context": context, "extra": extra}
        sizes |= {"expansion": expansion, "numbers": numbers, "pieces": pieces}
        if min(features, width, depth, expansion, pieces) < 1 or min(context, extra, numbers) < 0:
            raise ValueError(f"ResidualMLP needs positive sizes, got {', '.join(f'{k}={v}' for k, v in sizes.items())}")
        if numbers > features + extra:
            raise ValueError(f"of {features + extra} inputs, {numbers} cannot be numbers: choose fewer")
        self.owners = tuple(owners)
        if owners and (len(self.owners) != features or numbers > features or extra != 2 * (max(self.owners) + 1)):
            need = f"one variable for each of {features} features, and two flags for each variable"
            raise ValueError(f"owners need {need}: got {self.owners} and extra={extra}")
        self.features, self.width, self.depth, self.context = features, width, depth, context
        self.extra, self.expansion, self.numbers, self.pieces = extra, expansion, numbers, pieces
        self.pieces_of = Pieces(numbers, pieces)
        self.label = FourierEmbedding(16)
        self.embed = nn.Sequential(nn.Linear(32, _LABEL), nn.SiLU(), nn.Linear(_LABEL, _LABEL))
        if context:
            self.embed_context = nn.Sequential(nn.Linear(context, _LABEL), nn.SiLU(), nn.Linear(_LABEL, _LABEL))
        if owners:
            self.register_buffer("owner", torch.tensor(self.owners, dtype=torch.long), persistent=False)
            self.fine_pieces_of = Pieces(numbers, _FINE)
            self.embed_given = nn.Linear(features + extra + numbers * _FINE, _LABEL)
            nn.init.zeros_(self.embed_given.weight)
            nn.init.zeros_(self.embed_given.bias)
        self.input = nn.Linear(features + extra + numbers * pieces, width)
        self.blocks = nn.ModuleList(_Block(width, expansion * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, features)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @property
    def shares_label(self) -> bool:
        """Whether it takes one noise label, `(1,)`, for all states."""
        return type(self).forward is ResidualMLP.forward

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts: states `(B, features + extra)`, labels `(B,)` or `(1,)` and contexts `(B, context)` to `(B, features)`.

        Raises:
            ValueError: If the network has a context and none is passed.
        """
        known = self.embed(self.label(c))
        if self.context:
            if context is None:
                raise ValueError(f"this network needs a context of {self.context} values and got none: pass context")
            known = known + self.embed_context(context)
        if self.owners:
            known = known + self.embed_given(self._of_given(x))
        known, h = F.silu(known), self.input(self._encoded(x))
        for block in self.blocks:
            h = block(h, known)
        prediction: Tensor = self.output(self.norm(h))
        return prediction

    def _of_given(self, x: Tensor) -> Tensor:
        """The given variables, 0 for all others, the flags, and fine pieces of given numbers, which have no noise."""
        flags = x[:, self.features : self.features + self.extra // 2]
        given = flags.index_select(1, self.owner)
        pieces = self.fine_pieces_of(x[:, : self.numbers]) * given[:, : self.numbers].repeat_interleave(_FINE, 1)
        return torch.cat((x[:, : self.features] * given, x[:, self.features :], pieces), 1)

    def _encoded(self, x: Tensor) -> Tensor:
        """The inputs with the encodings of numbers, from -1 to 1 in each piece."""
        if not self.numbers:
            return x
        return torch.cat((x, self.pieces_of(x[:, : self.numbers])), 1)


class _Block(nn.Module):
    """h + W_2 silu(W_1 norm(h) + W_3 e): the zero function at first."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, inner)
        self.second = nn.Linear(inner, width)
        self.shift = nn.Linear(_LABEL, inner, bias=False)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, h: Tensor, known: Tensor) -> Tensor:
        changed: Tensor = h + self.second(F.silu(self.first(self.norm(h)) + self.shift(known)))
        return changed
