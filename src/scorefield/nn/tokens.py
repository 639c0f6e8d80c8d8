"""A transformer over the variables of a row: one token for each number or category."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embed import FourierEmbedding
from .pieces import Pieces

__all__ = ["TokenBlocks", "TokenTransformer"]

_LABEL = 64  # the width of the embedding of the noise label and the context
_HIDDEN = -1e4  # what is added to the logit of a token that must not be attended to


class TokenBlocks(nn.Module):
    """Layers of attention between tokens and of a perceptron on each: a stream of tokens `(B, V, width)` to another.

    Tokens are treated alike: a permutation of them permutes the result. The blocks are the identity at first.

    Arguments:
        width: The width of a token, a multiple of `heads`.
        depth: The number of blocks.
        heads: The number of heads of attention.
        known: The width of what all tokens of a row know, such as the noise level.
        expansion: The width of the inner layer of the perceptron, in widths of a token.

    Raises:
        ValueError: If a size is not positive, or the heads do not divide the width.
    """

    def __init__(self, width: int, depth: int, heads: int = 4, known: int = _LABEL, expansion: int = 2) -> None:
        super().__init__()
        if min(width, depth, heads, known, expansion) < 1 or width % heads:
            got = f"width={width}, depth={depth}, heads={heads}, expansion={expansion}"
            raise ValueError(f"tokens need positive sizes, and heads that divide the width, got {got}")
        self.width, self.depth, self.heads = width, depth, heads
        self.blocks = nn.ModuleList(_Block(width, heads, known, expansion * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, known: Tensor, bias: Tensor | None = None) -> Tensor:
        """The tokens after all blocks, normalized.

        Arguments:
            h: Tokens, `(B, V, width)`.
            known: What all tokens of a row know, `(B, known)`.
            bias: What is added to the logits of attention, broadcast to `(B, 1, V, V)`: queries, then keys.
        """
        for block in self.blocks:
            h = block(h, known, bias)
        normalized: Tensor = self.norm(h)
        return normalized


class _Block(nn.Module):
    """h + attention(norm(h)), then h + W_2 silu(W_1 norm(h) + W_3 e)."""

    def __init__(self, width: int, heads: int, known: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, inner), nn.Linear(inner, width)
        self.shift = nn.Linear(known, inner, bias=False)
        for layer in (self.joined, self.second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h: Tensor, known: Tensor, bias: Tensor | None) -> Tensor:
        parts = self.mixed(self.before(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], bias)
        h = h + self.joined(found.transpose(1, 2).flatten(2))
        changed: Tensor = h + self.second(F.silu(self.first(self.norm(h)) + self.shift(known)[:, None]))
        return changed


class TokenTransformer(nn.Module):
    """A network F(x, c) of mixed states with one token for each variable, which attend to each other.

    Each variable has an embedding of its own for its value (numbers by pieces, as in `ResidualMLP`), for whether it is given
    or absent, and for what it is. Absent variables are not attended to. Answers are read off the token of their variable.
    The output is 0 at initialization.

    Arguments:
        numbers: The number of variables that are numbers, the first ones.
        levels: The number of levels of each category.
        width: The width of a token.
        depth: The number of blocks.
        heads: The number of heads of attention.
        context: The number of context values; 0 for none.
        pieces: The number of pieces of the encoding of a number.
        links: Pairs of variables, counted from 0, that attend to each other, as a graphical model has them; by default all
            do. Each attends to itself.

    Raises:
        ValueError: If a size is not positive, or a link names a variable that there is not.

    References:
        Gloeckler et al., 2024, All-in-one simulation-based inference.

    Example:
        >>> network = TokenTransformer(2, (3,), width=16)
        >>> network(torch.zeros(4, 5 + 2 * 3), torch.zeros(4)).shape
        torch.Size([4, 5])
    """

    places: Tensor
    answers: Tensor
    allowed: Tensor

    def __init__(
        self,
        numbers: int,
        levels: Sequence[int] = (),
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
        context: int = 0,
        pieces: int = 7,
        links: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.numbers, self.levels, self.width, self.depth = numbers, tuple(levels), width, depth
        self.heads, self.context, self.pieces = heads, context, pieces
        self.links = None if links is None else tuple(tuple(pair) for pair in links)
        self.count, self.size = numbers + len(self.levels), numbers + sum(self.levels)
        if self.count < 1 or numbers < 0 or context < 0 or any(k < 2 for k in self.levels):
            got = f"numbers={numbers}, levels={self.levels}, context={context}"
            raise ValueError(f"a transformer needs a variable, and two levels of a category or more, got {got}")
        self.pieces_of = Pieces(numbers, pieces)
        self.blocks = TokenBlocks(width, depth, heads)
        self.label = FourierEmbedding(16)
        self.embed = nn.Sequential(nn.Linear(32, _LABEL), nn.SiLU(), nn.Linear(_LABEL, _LABEL))
        if context:
            self.embed_context = nn.Sequential(nn.Linear(context, _LABEL), nn.SiLU(), nn.Linear(_LABEL, _LABEL))
        self.common = nn.Linear(_LABEL, width, bias=False)
        self._arrange()

    def _arrange(self) -> None:
        """Where the inputs of each token stand among all inputs, and its answers among those of all tokens; their weights."""
        n, size, pieces = self.numbers, self.size, self.pieces
        blocks = [[v] for v in range(n)]
        for k in self.levels:
            start = blocks[-1][-1] + 1 if blocks else 0
            blocks.append(list(range(start, start + k)))
        after = size + 2 * self.count  # where encodings begin: `pieces` for each number, then a 0
        zero = after + n * pieces
        rows = [[*own, size + v, size + self.count + v] for v, own in enumerate(blocks)]
        for v in range(n):
            rows[v] += range(after + v * pieces, after + (v + 1) * pieces)
        most, longest = max(map(len, rows)), max(map(len, blocks))
        places = [row + [zero] * (most - len(row)) for row in rows]
        answers = [v * longest + i for v, own in enumerate(blocks) for i in range(len(own))]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.register_buffer("answers", torch.tensor(answers), persistent=False)
        allowed = (
            torch.eye(self.count, dtype=torch.bool) if self.links is not None else torch.ones(1, 1, dtype=torch.bool)
        )
        for a, b in self.links or ():
            if not (0 <= a < self.count and 0 <= b < self.count):
                raise ValueError(f"there are {self.count} variables, counted from 0, got the link {(a, b)}")
            allowed[a, b] = allowed[b, a] = True
        self.register_buffer("allowed", allowed, persistent=False)
        self.values = nn.Parameter(torch.randn(self.count, most, self.width) / math.sqrt(pieces))
        self.names = nn.Parameter(torch.randn(self.count, self.width))
        self.read = nn.Parameter(torch.zeros(self.count, self.width, longest))
        self.output = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts: states and flags `(B, size + 2 count)`, labels `(B,)` and contexts `(B, context)` to `(B, size)`.

        Raises:
            ValueError: If the network has a context and none is passed.
        """
        known = self.embed(self.label(c))
        if self.context:
            if context is None:
                raise ValueError(f"this network needs a context of {self.context} values and got none: pass context")
            known = known + self.embed_context(context)
        known = F.silu(known)
        inputs = torch.cat((x, self.pieces_of(x[:, : self.numbers]), x.new_zeros(len(x), 1)), 1)[:, self.places]
        tokens = (
            torch.bmm(inputs.transpose(0, 1), self.values).transpose(0, 1) + self.names + self.common(known)[:, None]
        )
        absent = x[:, self.size + self.count :]
        bias = (_HIDDEN * (absent[:, None, None] + ~self.allowed)).to(x.dtype)
        found = self.blocks(tokens, known, bias.expand(-1, 1, self.count, -1))
        read = torch.bmm(found.transpose(0, 1), self.read).transpose(0, 1).flatten(1)
        return read[:, self.answers] + self.output
