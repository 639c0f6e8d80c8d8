"""The probability flow in coordinates in which Gaussian data do not move.

If the data were Gaussian with mean m and covariance C = V diag(λ) Vᵀ, the probability flow could be solved by hand: a state
would only be rescaled along the eigenvectors of C. This part of the motion is removed exactly. What a solver has to integrate
is only how the data differ from a Gaussian, in whitened coordinates of order one at every noise level.

In detail: the state of any process, divided by α, is that of the variance-exploding process, whose flow at the level σ is
du/dσ = (u - D(u, σ))/σ. The coordinates w and the angle φ are defined by

    u = m + V √(λ + σ²) w,    σ = s tan φ,    s² = the mean of λ,

and dw/dφ = 0 for Gaussian data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoisers import Denoiser, Gaussian
from .tensors import expand

__all__ = ["GaussianFrame"]


@dataclass(frozen=True)
class GaussianFrame:
    """Whitened coordinates in which Gaussian data do not move along the probability flow.

    Arguments:
        gaussian: The Gaussian with the moments of the data.
        scale: The scale s of the angle φ = arctan(σ / s).

    Example:
        >>> gaussian = Gaussian(torch.zeros(2).double(), torch.tensor([[4.0, 1.0], [1.0, 1.0]]).double())
        >>> u, level = torch.ones(1, 2, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
        >>> frame = GaussianFrame.of(gaussian, u, level)
        >>> w = frame.into(u, level)
        >>> bool(frame.slope(gaussian, w, torch.atan(level / frame.scale)[None]).abs().max() < 1e-12)
        True
    """

    gaussian: Gaussian
    scale: float

    @classmethod
    def of(cls, moments: Gaussian | None, x: Tensor, level: Tensor) -> GaussianFrame:
        """The coordinates for data of given moments.

        Arguments:
            moments: The mean and the covariance of the data; standard normal by default.
            x: A state, of shape `(B, *D)`, whose type and device are used.
            level: The smallest noise level, of shape `()`.
        """
        gaussian = moments or Gaussian(torch.zeros_like(x[0]), torch.ones_like(x[0]))
        gaussian = Gaussian(gaussian.mean.to(x), gaussian.covariance.to(x))
        return cls(gaussian, max(float(gaussian.values.mean().sqrt()), float(level)))

    def clock(self, level: Tensor) -> float:
        """The angle φ of a level of shape `()`."""
        return math.atan(float(level) / self.scale)

    def widths(self, level: Tensor) -> Tensor:
        """The standard deviations √(λ + σ²), of shape `(n,)` or `(B, n)` for a level of shape `()` or `(B,)`."""
        return torch.sqrt(self.gaussian.values + level.reshape(-1, *(1,) * level.ndim) ** 2)

    def _rotate(self, u: Tensor) -> Tensor:
        """Vᵀ u for centred states u, `(B, *D)` to `(B, n)`."""
        flat = u.flatten(1)
        return flat if self.gaussian.vectors is None else flat @ self.gaussian.vectors

    def into(self, u: Tensor, level: Tensor) -> Tensor:
        """The coordinates w, `(B, n)`, of states u, `(B, *D)`."""
        return self._rotate(u - self.gaussian.mean) / self.widths(level)

    def back(self, w: Tensor, level: Tensor) -> Tensor:
        """The states u, `(B, *D)`, of coordinates w, `(B, n)`."""
        y = w * self.widths(level)
        y = y if self.gaussian.vectors is None else y @ self.gaussian.vectors.mT
        return self.gaussian.mean + y.reshape(len(w), *self.gaussian.mean.shape)

    def slope(self, denoiser: Denoiser, w: Tensor, phi: Tensor) -> Tensor:
        """dw/dφ under a denoiser.

        Arguments:
            denoiser: The denoiser of the data.
            w: Coordinates, of shape `(B, n)`.
            phi: Angles, of shape `(B,)`.

        Returns:
            The derivative, of shape `(B, n)`.
        """
        level = self.scale * torch.tan(phi)
        u = self.back(w, level)
        mean = denoiser(u, expand(level, u)).to(w.dtype)
        widths, column = self.widths(level), level[:, None]
        known = self.gaussian.values * w / widths  # of Gaussian data
        return (
            (known - self._rotate(mean - self.gaussian.mean))
            / widths
            * (column**2 + self.scale**2)
            / (column * self.scale)
        )
