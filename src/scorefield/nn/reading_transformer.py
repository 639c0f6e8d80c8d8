"""A transformer over readings: one token for each value with its time and its channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embed import FourierEmbedding
from .pieces import Pieces
from .tokens import TokenBlocks

__all__ = ["ReadingTransformer"]

_LABEL = 64  # the width of the embedding of the noise label
_HIDDEN = -1e4  # what is added to the logit of a token that must not be attended to
_LONGER = 1.5  # how many times as long as the shortest row the longest one may be that it is computed with
_RATES = 30.0  # the fastest decay of attention with the distance of times, over the half of their range


class ReadingTransformer(nn.Module):
    """A network F(x, c) of rows of readings, which attend to each other: a permutation of them permutes the result.

    A token is made of its value (by pieces), of its status, its channel, and of its time at frequencies in geometric
    progression. Attention of each head decays with the distance of times, at a rate that is learned, and readings of one time,
    or of one member of a set, attend to each other more or less, as is learned. Readings that are absent take no part and
    cost little: rows of about the same length are computed together. The output is 0 at initialization.

    Arguments:
        longest: The largest number of readings of a row, L.
        channels: The number of channels.
        frequencies: The number of frequencies of the time; 0 for sets, without times.
        highest: The highest frequency, in radians per half of the range of times.
        width: The width of a token.
        depth: The number of blocks.
        heads: The number of heads of attention.
        pieces: The number of pieces of the encoding of a value.

    Raises:
        ValueError: If a size is not positive.

    References:
        Zaheer et al., 2017, Deep sets; Tashiro et al., 2021, CSDI; Press et al., 2022, Train short, test long.

    Example:
        >>> network = ReadingTransformer(5, 2, width=16)
        >>> network(torch.zeros(4, 9 * 5), torch.zeros(4)).shape
        torch.Size([4, 15])
    """

    lengths: Tensor

    def __init__(
        self,
        longest: int,
        channels: int = 1,
        frequencies: int = 16,
        highest: float = 100.0,
        width: int = 48,
        depth: int = 3,
        heads: int = 4,
        pieces: int = 7,
    ) -> None:
        super().__init__()
        if min(longest, channels, pieces) < 1 or frequencies < 0 or not highest > 0.5:
            got = f"longest={longest}, channels={channels}, frequencies={frequencies}, highest={highest:g}"
            raise ValueError(f"readings need positive sizes, and a highest frequency above 0.5, got {got}")
        self.longest, self.channels, self.frequencies, self.highest = longest, channels, frequencies, highest
        self.width, self.depth, self.heads, self.pieces = width, depth, heads, pieces
        lengths = [1]
        while lengths[-1] < longest:
            lengths.append(min(longest, math.ceil(_LONGER * lengths[-1])))
        self.register_buffer("lengths", torch.tensor(lengths), persistent=False)
        self.pieces_of = Pieces(1, pieces)
        self.blocks = TokenBlocks(width, depth, heads)
        self.label = FourierEmbedding(16)
        self.embed = nn.Sequential(nn.Linear(32 + 2, _LABEL), nn.SiLU(), nn.Linear(_LABEL, _LABEL))
        self.common = nn.Linear(_LABEL, width, bias=False)
        if frequencies:
            self.time = FourierEmbedding(frequencies, 0.5, highest)
            self.times = nn.Linear(2 * frequencies, width, bias=False)
            rates = torch.logspace(-1, math.log10(_RATES), heads)
            self.rates = nn.Parameter(rates.expm1().log().where(rates < 20, rates))  # softplus gives them back
        self.together = nn.Parameter(torch.zeros(heads))
        self.value = nn.Linear(2 * (pieces + 1) + 1, width)
        self.gain = nn.Embedding(channels + 1, width)
        self.name = nn.Embedding(channels + 1, width)
        self.read = nn.Embedding(channels + 1, width)
        self.output = nn.Embedding(channels + 1, 1)
        for layer in (self.gain, self.read, self.output):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts: states and flags `(B, 9 L)`, and labels `(B,)`, to `(B, 3 L)`: 0 for times and channels."""
        values, times, channels, given, _, _, absent, _, _ = x.reshape(len(x), 9, self.longest).unbind(1)
        kind = torch.bucketize((absent < 0.5).sum(1), self.lengths)
        order, whole = absent.argsort(dim=1, stable=True), torch.zeros_like(values)
        for i in sorted(set(kind.tolist())):
            rows = (kind == i).nonzero()
            places = rows, order[rows[:, 0], : int(self.lengths[i])]
            answers = self._answers([each[places] for each in (values, times, channels, given, absent)], c[rows[:, 0]])
            whole = whole.index_put(places, answers)
        return torch.cat((whole, x.new_zeros(len(x), 2 * self.longest)), 1)

    def _answers(self, parts: Sequence[Tensor], c: Tensor) -> Tensor:
        """The answer for each value, `(B, V)`, from values, times, channels and the flags given and absent, each `(B, V)`."""
        value, time, channel, given, absent = parts
        code = channel.round().long().clamp(0, self.channels)
        counts = torch.log1p(torch.stack((given.sum(1), (1 - given - absent).sum(1)), 1))
        known = F.silu(self.embed(torch.cat((self.label(c), counts), 1)))
        pieces = self.pieces_of(value.reshape(-1, 1)).reshape(*value.shape, -1)
        number = torch.cat((value[..., None], pieces), 2)
        inputs = torch.cat((number, given[..., None] * number, given[..., None]), 2)
        h = self.value(inputs) * (1 + self.gain(code)) + self.name(code) + self.common(known)[:, None]
        apart = (time[:, None, :, None] - time[:, None, None, :]).abs()
        bias = (_HIDDEN * absent)[:, None, None] + self.together[:, None, None] * (apart == 0)
        if self.frequencies:
            h = h + self.times(self.time(time.reshape(-1)).reshape(*time.shape, -1))
            bias = bias - F.softplus(self.rates)[:, None, None] * apart
        found = self.blocks(h, known, bias)
        answers: Tensor = (found * self.read(code)).sum(2) + self.output(code)[..., 0]
        return answers * (1 - absent)
