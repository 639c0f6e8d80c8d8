"""The units of readings: each channel has its own mean and standard deviation, and times have those of all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from .base import Units

__all__ = ["ReadingUnits"]


class ReadingUnits(Units):
    """The units of rows of readings, `(B, 3 L)`: values, times and channels (`data.Readings`).

    A state holds values less the mean of their channel over its standard deviation, times from -1 to 1 where the data have
    theirs, and channels, counted from 1; 0 for times and channels where there is no reading.

    Arguments:
        longest: The largest number of readings of a row, L.
        mean: The mean of each channel.
        std: The standard deviation of each channel.
        span: The first and the last time.

    Raises:
        ValueError: If a standard deviation is not positive.

    Example:
        >>> units = ReadingUnits(2, (10.0,), (2.0,), (0.0, 4.0))
        >>> units(torch.tensor([[12.0, torch.nan, 1.0, torch.nan, 1.0, torch.nan]]))
        tensor([[ 1.0000,     nan, -0.5000,  0.0000,  1.0000,  0.0000]])
    """

    means: Tensor
    stds: Tensor

    def __init__(
        self, longest: int, mean: Sequence[float], std: Sequence[float], span: Sequence[float] = (-1, 1)
    ) -> None:
        super().__init__((3 * longest,))
        self.longest, self.mean, self.std = longest, tuple(mean), tuple(std)
        self.span = (float(span[0]), float(span[1]))
        if not all(each > 0 for each in self.std):
            raise ValueError(f"standard deviations must be positive, got {self.std}")
        self.variables = Variables(3 * longest, readings=longest)
        for name, values, nothing in (("means", self.mean, 0.0), ("stds", self.std, 1.0)):
            self.register_buffer(name, torch.tensor([nothing, *values], dtype=torch.float64), persistent=False)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values, times and channels, each `(B, L)`; the channels as whole numbers, 0 where there is no reading."""
        values, times, channels = x.reshape(len(x), 3, self.longest).unbind(1)
        return values, times, channels.nan_to_num().round().long().clamp(0, len(self.mean))

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        values, times, channel = self._parts(x)
        value = (values - self.means[channel]) / self.stds[channel]
        first, last = self.span
        time = torch.where(channel > 0, (2 * times - (first + last)) / (last - first), 0.0)
        return torch.cat((value.to(x), time.to(x), channel.to(x)), 1)

    def inverse(self, x: Tensor) -> Tensor:
        """Maps states `(B, 3 L)` to readings, NaN where there is none."""
        values, times, channel = self._parts(x)
        first, last = self.span
        found = torch.stack(
            (
                values.double() * self.stds[channel] + self.means[channel],
                times.double() * ((last - first) / 2) + (first + last) / 2,
                channel.double(),
            ),
            1,
        )
        return found.masked_fill((channel == 0)[:, None], torch.nan).flatten(1)

    def with_known(self, drawn: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Readings that were drawn, with known values, times and channels; NaN where there is no reading."""
        there = ~x[:, 2 * self.longest :].isnan()
        return torch.where(known, x, drawn).masked_fill(~there.repeat(1, 3), torch.nan)

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """log |det ∂ state / ∂ x| of the values that are there and counted, `(B,)`."""
        values, _, channel = self._parts(x)
        there = ~values.isnan() if counted is None else counted[:, : self.longest]
        return -torch.where(there, self.stds[channel].log(), 0.0).sum(1)

    def status(self, known: Tensor, x: Tensor, complete: bool = False) -> Tensor:
        """Readings are given where their value is known, and free where it is not; times and channels are always given."""
        there = x[:, 2 * self.longest :].nan_to_num() > 0
        value = torch.where(known[:, : self.longest], GIVEN, FREE)
        value = value.masked_fill(known[:, : self.longest] & x[:, : self.longest].isnan(), ABSENT)
        found = torch.cat((value, torch.full_like(value, GIVEN).repeat(1, 2)), 1)
        return found.masked_fill(~there.repeat(1, 3), ABSENT)

    def targets(self, wanted: Tensor, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The values that are there, wanted and not known."""
        chosen = wanted & ~known & ~x.isnan()
        chosen[:, self.longest :] = False
        return chosen, chosen
