"""The probability flow in coordinates in which Gaussian data stand still.

Every process is the variance-exploding one once its state is divided by α, so the flow is solved there, whatever the
process: with the level σ, du/dσ = (u - D(u, σ))/σ. What is known of the data's moments m and C = V diag(λ) Vᵀ is taken
out of it exactly: the coordinates w and the clock φ,

    u = m + V √(λ + σ²) w,    σ = s tan φ,    s² the mean of λ,

leave dw/dφ = 0 for Gaussian data, and numbers of order one at every level for others.
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
    """Coordinates in which Gaussian data of the moments of `law` stand still, and the scale of their clock.

    Example:
        >>> law = Gaussian(torch.zeros(2).double(), torch.tensor([[4.0, 1.0], [1.0, 1.0]]).double())
        >>> u, level = torch.ones(1, 2, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
        >>> frame = GaussianFrame.of(law, u, level)
        >>> w = frame.into(u, level)
        >>> bool(frame.slope(law, w, torch.atan(level / frame.scale)[None]).abs().max() < 1e-12)
        True
    """

    law: Gaussian
    scale: float

    @classmethod
    def of(cls, moments: Gaussian | None, x: Tensor, level: Tensor) -> GaussianFrame:
        """The frame of the data's moments, or the standard one, in the type of `x`, for levels from `level` on."""
        law = moments or Gaussian(torch.zeros_like(x[0]), torch.ones_like(x[0]))
        law = Gaussian(law.mean.to(x), law.covariance.to(x))
        return cls(law, max(float(law.values.mean().sqrt()), float(level)))

    def clock(self, level: Tensor) -> float:
        """φ at a level of shape `()`."""
        return math.atan(float(level) / self.scale)

    def widths(self, level: Tensor) -> Tensor:
        """√(λ + σ²), of shape `(n,)` or `(B, n)` for a level of shape `()` or `(B,)`."""
        return torch.sqrt(self.law.values + level.reshape(-1, *(1,) * level.ndim) ** 2)

    def _turn(self, u: Tensor) -> Tensor:
        """Vᵀ u for states u without their mean, `(B, *D)` to `(B, n)`."""
        flat = u.reshape(len(u), -1)
        return flat if self.law.vectors is None else flat @ self.law.vectors

    def into(self, u: Tensor, level: Tensor) -> Tensor:
        """w, of shape `(B, n)`, for u of shape `(B, *D)`."""
        return self._turn(u - self.law.mean) / self.widths(level)

    def back(self, w: Tensor, level: Tensor) -> Tensor:
        """u, of shape `(B, *D)`, for w of shape `(B, n)`."""
        y = w * self.widths(level)
        y = y if self.law.vectors is None else y @ self.law.vectors.mT
        return self.law.mean + y.reshape(len(w), *self.law.mean.shape)

    def slope(self, denoiser: Denoiser, w: Tensor, phi: Tensor) -> Tensor:
        """dw/dφ for `w` of shape `(B, n)` and `phi` of shape `(B,)`."""
        level = self.scale * torch.tan(phi)
        u = self.back(w, level)
        mean = denoiser(u, expand(level, u)).to(w.dtype)
        widths, column = self.widths(level), level[:, None]
        known = self.law.values * w / widths
        return (known - self._turn(mean - self.law.mean)) / widths * (column**2 + self.scale**2) / (column * self.scale)
