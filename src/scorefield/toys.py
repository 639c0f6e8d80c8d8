"""Distributions with an exact density, against which learned densities are measured in nats.

Each one can be sampled from an addressed source and has a log-density and an entropy. The mean negative log-density of a
model exceeds the entropy by the Kullback-Leibler divergence from the truth.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .denoisers.exact import Gaussian, Mixture
from .deprecation import renamed_fields
from .rng import Samples

__all__ = ["Blobs", "Checkerboard", "Donut", "Field", "Helix", "Toy"]
__all__ += ["eight_gaussians", "two_modes", "two_moons", "unequal_modes"]

_LOG_TAU = math.log(2 * math.pi)


class Toy(abc.ABC):
    """A distribution with an exact log-density and entropy, in float64."""

    @abc.abstractmethod
    def sample(self, count: int, rng: Samples) -> Tensor:
        """Draws samples, of shape `(count, *D)`, from a source of `count` samples."""

    @abc.abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density in nats, `(B, *D)` to `(B,)`."""

    @abc.abstractmethod
    def entropy(self) -> float:
        """-E[log p(x)] in nats."""


@renamed_fields(law="mixture")
@dataclass(frozen=True)
class Blobs(Toy):
    """A mixture of Gaussians in the plane.

    Arguments:
        mixture: The mixture, as a denoiser that is exact at every level.

    Raises:
        ValueError: If the mixture is not in two dimensions.

    Example:
        >>> toy = eight_gaussians()
        >>> toy.sample(4, Samples(seed=0, count=4)).shape, round(toy.entropy(), 3)
        (torch.Size([4, 2]), 2.832)
    """

    mixture: Mixture

    def __post_init__(self) -> None:
        if self.mixture.means.shape[1] != 2:
            raise ValueError(f"Blobs needs a mixture in the plane, got one in {self.mixture.means.shape[1]} dimensions")

    def sample(self, count: int, rng: Samples) -> Tensor:
        return self.mixture.sample(count, rng)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.mixture.log_prob(x)

    def entropy(self) -> float:
        """-E[log p(x)] in nats, by the trapezoidal rule, very accurate for smooth densities that vanish at the border."""
        width = self.mixture.values.sqrt()
        step, margin = 0.75 * float(width.min()), 9 * float(width.max())
        low, high = self.mixture.means.amin(0) - margin, self.mixture.means.amax(0) + margin
        axes = [torch.arange(float(a), float(b) + step, step, dtype=torch.float64) for a, b in zip(low, high)]
        points = torch.cartesian_prod(*axes).to(low)
        log_p = torch.cat([self.mixture.log_prob(part) for part in torch.split(points, 4096)])
        return -float((torch.exp(log_p) * log_p).sum()) * step**2


def _blobs(means: Sequence[Sequence[float]], deviation: float, weights: Sequence[float]) -> Blobs:
    centres = torch.tensor(means, dtype=torch.float64)
    deviations = torch.full((len(centres),), deviation, dtype=torch.float64)
    return Blobs(Mixture(centres, deviations, torch.tensor(weights, dtype=torch.float64)))


def two_modes() -> Blobs:
    """A fifth of the mass at (3, 3), the rest at (-3, -3), with unit variance: an example of the USC summer school.

    Example:
        >>> round(two_modes().entropy(), 3)
        3.338
    """
    return _blobs([[3, 3], [-3, -3]], 1.0, [0.2, 0.8])


def unequal_modes() -> Blobs:
    """A fifth of the mass at (-5, -5), the rest at (5, 5), with unit variance (Song & Ermon, 2019, Figure 3)."""
    return _blobs([[-5, -5], [5, 5]], 1.0, [0.2, 0.8])


def eight_gaussians() -> Blobs:
    """Eight Gaussians of standard deviation 0.5 on a circle of radius 4, scaled by 1/1.414 (Grathwohl et al., 2019)."""
    angles = [i * math.pi / 4 for i in range(8)]
    return _blobs([[4 * math.cos(a) / 1.414, 4 * math.sin(a) / 1.414] for a in angles], 0.5 / 1.414, [1 / 8] * 8)


def two_moons(noise: float = 0.1) -> Blobs:
    """Two interlocking half circles of radius 1 with Gaussian noise: the distribution of scikit-learn's `make_moons`.

    The integral over the angle is a Gauss-Legendre sum whose nodes are closer than the noise is wide. The distribution is
    therefore a mixture of Gaussians, to about twelve digits.

    Arguments:
        noise: The standard deviation of the noise, from 0.02 to 1.

    Raises:
        ValueError: If `noise` is outside of this range.

    Example:
        >>> round(two_moons(0.1).entropy(), 3)
        1.008
    """
    if not 0.02 <= noise <= 1:
        raise ValueError(f"two_moons needs 0.02 <= noise <= 1, got noise={noise:g}: rescale the data for other widths")
    nodes, weights = np.polynomial.legendre.leggauss(math.ceil(6 / noise) + 16)
    angle = math.pi * (nodes + 1) / 2
    outer = np.stack([np.cos(angle), np.sin(angle)], 1)
    inner = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    both = np.concatenate([weights, weights]) / weights.sum() / 2
    return _blobs(np.concatenate([outer, inner]).tolist(), noise, both.tolist())


@dataclass(frozen=True)
class Checkerboard(Toy):
    """Uniform on eight of the sixteen squares of side 2 that tile [-4, 4)² (Grathwohl et al., 2019).

    Example:
        >>> round(Checkerboard().entropy(), 4), round(math.log(32), 4)
        (3.4657, 3.4657)
    """

    def sample(self, count: int, rng: Samples) -> Tensor:
        u = rng.uniform((count, 2), torch.float64)
        column = torch.floor(4 * u[:, 0])
        row = torch.floor(4 * u[:, 1] / 2)  # one of the two dark squares of the column
        y = 4 * u[:, 1] - 2 * row  # the position in the square, from 0 to 2
        return torch.stack([8 * u[:, 0] - 4, y + 4 * row + 2 * (column % 2) - 4], 1)

    def log_prob(self, x: Tensor) -> Tensor:
        square = torch.floor((x + 4) / 2)
        inside = (square >= 0).all(1) & (square <= 3).all(1) & (square.sum(1) % 2 == 0)
        return torch.where(inside, torch.full_like(x[:, 0], -math.log(32)), -math.inf)

    def entropy(self) -> float:
        return math.log(32)


@dataclass(frozen=True)
class Helix(Toy):
    """A noisy helix around the z axis in three dimensions: an example of the USC summer school.

    z is uniform on [0, length), x = radius cos z + noise, y = radius sin z + noise; z has no noise.

    Arguments:
        length: The length along z; one turn has the length 2π.
        radius: The radius.
        noise: The standard deviation of the noise in x and y.

    Raises:
        ValueError: If an argument is not positive.

    Example:
        >>> round(Helix().entropy(), 4)
        4.2242
    """

    length: float = 100.0
    radius: float = 1.0
    noise: float = 0.2

    def __post_init__(self) -> None:
        if not (self.length > 0 and self.radius > 0 and self.noise > 0):
            got = f"length={self.length:g}, radius={self.radius:g}, noise={self.noise:g}"
            raise ValueError(f"Helix needs a positive length, radius and noise, got {got}")

    def sample(self, count: int, rng: Samples) -> Tensor:
        z = self.length * rng.child("z").uniform((count,), torch.float64)
        noise = self.noise * rng.normal((count, 2), torch.float64)
        return torch.cat([self._centre(z) + noise, z[:, None]], 1)

    def _centre(self, z: Tensor) -> Tensor:
        return self.radius * torch.stack([torch.cos(z), torch.sin(z)], 1)

    def log_prob(self, x: Tensor) -> Tensor:
        square = (x[:, :2] - self._centre(x[:, 2])).square().sum(1)
        value = -square / (2 * self.noise**2) - _LOG_TAU - 2 * math.log(self.noise) - math.log(self.length)
        return torch.where((x[:, 2] >= 0) & (x[:, 2] < self.length), value, -math.inf)

    def entropy(self) -> float:
        return math.log(self.length) + 2 * math.log(self.noise) + _LOG_TAU + 1


@dataclass(frozen=True)
class Donut(Toy):
    """A ring in the plane, p(x) ∝ exp(-(|x| - radius)² / 2 width²).

    Arguments:
        radius: The radius, at least eight widths, so that the hole is empty.
        width: The approximate standard deviation across the ring.

    Raises:
        ValueError: If `width` is not positive, or `radius` is below eight widths.

    Example:
        >>> round(Donut().entropy(), 3)
        2.16
    """

    radius: float = 2.6
    width: float = math.sqrt(0.0165)

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.radius >= 8 * self.width):
            raise ValueError(f"Donut needs radius >= 8 width > 0, got radius={self.radius:g}, width={self.width:g}")

    def sample(self, count: int, rng: Samples) -> Tensor:
        u, v = rng.uniform((count, 2), torch.float64).unbind(1)
        low, high = torch.full_like(u, -8.0), torch.full_like(u, 12.0)
        for _ in range(60):  # the distribution function of r = (|x| - radius) / width is Φ(r) - width φ(r) / radius
            middle = (low + high) / 2
            density = torch.exp(-(middle**2) / 2 - _LOG_TAU / 2)
            above = torch.special.ndtr(middle) - self.width * density / self.radius > u
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        r, angle = self.radius + self.width * low, 2 * math.pi * v
        return torch.stack([r * torch.cos(angle), r * torch.sin(angle)], 1)

    def _log_norm(self) -> float:
        return _LOG_TAU + math.log(self.radius * self.width) + _LOG_TAU / 2

    def log_prob(self, x: Tensor) -> Tensor:
        square: Tensor = (x.norm(dim=1) - self.radius) ** 2
        return -square / (2 * self.width**2) - self._log_norm()

    def entropy(self) -> float:
        return self._log_norm() + 0.5


@dataclass(frozen=True)
class Field(Toy):
    """A stationary Gaussian random field of unit variance and Matérn type on a periodic grid.

    Its spectrum is exact: white noise is filtered by the square root of S(k) ∝ (1 + (length |k|)²)^-(smoothness + d/2), with
    the angular wave number k and the number d of axes longer than one. On a fine and long grid, a smoothness of ½ gives the
    covariance exp(-r / length) at a distance r.

    Arguments:
        shape: The shape of a sample: one to three axes longer than one, and any number of axes of length 1 (channels).
        length: The correlation length, in grid cells.
        smoothness: The Matérn smoothness, roughly how often the field can be differentiated.

    Raises:
        ValueError: If the shape does not have one to three axes longer than one, or another argument is not positive.

    Example:
        >>> field = Field((1, 16, 16), length=3.0)
        >>> x = field.sample(500, Samples(seed=0, count=500))
        >>> x.shape, bool((x.var() - 1).abs() < 0.1)
        (torch.Size([500, 1, 16, 16]), True)
    """

    shape: tuple[int, ...]
    length: float
    smoothness: float = 1.5

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1 or not 1 <= self._rank() <= 3:
            raise ValueError(f"Field needs a shape with one to three axes longer than 1, got shape={self.shape}")
        if not (self.length > 0 and self.smoothness > 0):
            got = f"length={self.length:g}, smoothness={self.smoothness:g}"
            raise ValueError(f"Field needs a positive correlation length and smoothness, got {got}")

    def _rank(self) -> int:
        return sum(size > 1 for size in self.shape)

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.shape), 0))

    def spectrum(self) -> Tensor:
        """The variances of the orthonormal discrete Fourier modes, of shape `shape`; their mean is 1."""
        waves = (2 * math.pi * torch.fft.fftfreq(size, dtype=torch.float64) for size in self.shape)
        square = torch.stack(torch.meshgrid(*waves, indexing="ij")).square().sum(0)
        power = (1 + self.length**2 * square) ** -(self.smoothness + self._rank() / 2)
        return power / power.mean()

    def covariance(self) -> Tensor:
        """The covariance of a cell with the cell at the origin, of shape `shape`."""
        covariance: Tensor = torch.fft.ifftn(self.spectrum()).real
        return covariance

    def gaussian(self) -> Gaussian:
        """The field as a denoiser that is exact at every level, with the covariance matrix of its n cells, `(n, n)`.

        Raises:
            ValueError: If the field has more than 4096 cells.
        """
        n = math.prod(self.shape)
        if n > 4096:
            most = "at most 4096 cells are possible: use a smaller grid"
            raise ValueError(f"a field of {n} cells has too large a covariance matrix, {most}")
        points = torch.eye(n, dtype=torch.float64).reshape(n, *self.shape)
        matrix = self._filter(points, self.spectrum()).reshape(n, n)
        return Gaussian(torch.zeros(self.shape, dtype=torch.float64), (matrix + matrix.T) / 2)

    def _filter(self, x: Tensor, response: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.ifftn(torch.fft.fftn(x, dim=self._axes()) * response, dim=self._axes()).real
        return filtered

    def sample(self, count: int, rng: Samples) -> Tensor:
        return self._filter(rng.normal((count, *self.shape), torch.float64), self.spectrum().sqrt())

    def log_prob(self, x: Tensor) -> Tensor:
        power = self.spectrum().to(x.device)
        modes = torch.fft.fftn(x, dim=self._axes(), norm="ortho").abs().square() / power
        square: Tensor = modes.reshape(len(x), -1).sum(1)
        return -(square + torch.log(power).sum() + power.numel() * _LOG_TAU) / 2

    def entropy(self) -> float:
        power = self.spectrum()
        return float(torch.log(power).sum() + power.numel() * (_LOG_TAU + 1)) / 2
