"""What a network of readings is asked in training: which values of each row are free, given or absent."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from ..rng import Rng

__all__ = ["ReadingQuestions"]


class ReadingQuestions(nn.Module):
    """Random questions about rows of readings, as status of their variables. Times and channels are always given.

    In joint rows all values are free. Of conditional rows, a third are forecasts: what comes after a random time is free,
    and the rest given. In a third whole channels are free or given, each at random, and in a third single readings. In half
    of the conditional rows some readings are absent, as if they had never been taken.

    Arguments:
        variables: How states are made of readings.
    """

    def __init__(self, variables: Variables) -> None:
        super().__init__()
        self.longest = variables.readings

    def draw(self, x0: Tensor, share: float, rng: Rng) -> tuple[Tensor, Tensor]:
        """Draws what is asked about rows.

        Arguments:
            x0: States `(B, 3 L)`, NaN where values are missing.
            share: The fraction of conditional rows.
            rng: The source.

        Returns:
            The status of each variable, `(B, 3 L)`, and states without NaN, `(B, 3 L)`.
        """
        values, times, channels = x0.reshape(len(x0), 3, self.longest).unbind(1)
        there, missing = channels > 0, values.isnan()
        u = rng.uniform((len(x0), 3 * self.longest + 4), x0.dtype, x0.device)
        row, of_value = u[:, :4], u[:, 4:].reshape(len(x0), 3, self.longest)
        kind, part = row[:, 1:2], row[:, 2:3]
        known = of_value[:, 0] < part
        of_channel = of_value[:, 0].gather(1, channels.long() % self.longest)
        known = torch.where(kind < 2 / 3, of_channel < part, known)
        ranks = torch.where(there, times + 1e-6 * of_value[:, 1], torch.inf).argsort(1).argsort(1)
        known = torch.where(kind < 1 / 3, ranks < part * there.sum(1, keepdim=True), known)
        lost = of_value[:, 2] < (2 * row[:, 3:] - 1).clamp_min(0.0)
        asked = torch.where(known, GIVEN, FREE).masked_fill(lost, ABSENT)
        status = torch.where(row[:, :1] < share, asked, FREE).masked_fill(missing | ~there, ABSENT)
        fixed = torch.where(there, GIVEN, ABSENT)
        return torch.cat((status, fixed, fixed), 1), x0.nan_to_num()

    def are_factors(self, status: Tensor) -> Tensor:
        """Whether rows ask for a factor of the chain rule of categories, `(B, 1)`: readings have none."""
        return torch.zeros_like(status[:, :1], dtype=torch.bool)
