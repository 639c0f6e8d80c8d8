"""Preconditioning along the directions in which vectors vary little.

A network sees states divided by √(σ² + scale²), and its answers count in units of σ scale / √(σ² + scale²). In a direction in
which data vary a hundred times less, it would see nothing, and an error that is small in all others would be larger than what
varies there: nearly equal columns would differ too much in samples. So thin directions, whose standard deviation is less than
a quarter of the scale, have coefficients of their own. With eigenvectors V of the covariance and standard deviations s along
them (the scale, where they are not thin),

    D(x, σ) = m + V [c_skip y + c_out Vᵀ F(V c_in y, c)],    y = Vᵀ (x - m),
    c_skip = s² / (s² + σ²),    c_out = σ s / √(s² + σ²),    c_in = 1 / √(s² + σ²),

which are the coefficients of EDM (Karras et al., 2022, Table 1), a direction at a time. The network keeps the axes of the data
(symmetric, or ZCA, whitening), and where a network answers 0, data are Gaussian along thin directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..data.variables import FREE, GIVEN

__all__ = ["PrincipalMaps", "Whitening"]

_THIN = 0.25  # of the scale: directions with a smaller standard deviation have coefficients of their own
_THINNEST = 1e-3  # of the scale: the least standard deviation
_RIDGE = 1e-6  # added to the variances of given values, so that those of equal columns can be given
_KEPT = 4096  # patterns of given and absent values whose maps are kept


@dataclass(frozen=True)
class PrincipalMaps:
    """The maps between vectors and their coordinates along principal directions, of all states, or one of each.

    Arguments:
        center: What is subtracted from states, `(n,)` or `(B, n)`.
        vectors: The directions, orthonormal columns, `(n, n)` or `(B, n, n)`.
        deviations: The standard deviations along them, `(n,)` or `(B, n)`.
    """

    center: Tensor
    vectors: Tensor
    deviations: Tensor

    def coordinates(self, x: Tensor) -> Tensor:
        """y = Vᵀ (x - m), of shape `(B, n)`."""
        return self.turned(x - self.center)

    def turned(self, x: Tensor) -> Tensor:
        """Vᵀ x, of shape `(B, n)`."""
        return _product(x, self.vectors)

    def turned_back(self, y: Tensor) -> Tensor:
        """V y, of shape `(B, n)`."""
        return _product(y, self.vectors.mT)

    def states(self, y: Tensor) -> Tensor:
        """m + V y, of shape `(B, n)`."""
        return self.center + self.turned_back(y)

    def inputs(self, y: Tensor, level: Tensor) -> Tensor:
        """V c_in y, what a network sees, of shape `(B, n)`, at levels `()` or `(B, 1)`."""
        return self.turned_back(torch.rsqrt(level**2 + self.deviations**2) * y)

    def coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """(c_skip, c_out) along the directions, which broadcast against `(B, n)`, at levels `()` or `(B, 1)`."""
        square = self.deviations**2
        total = level**2 + square
        return square / total, level * self.deviations * torch.rsqrt(total)


def _product(x: Tensor, matrix: Tensor) -> Tensor:
    """Rows times one matrix, or one matrix each."""
    return x @ matrix if matrix.ndim == 2 else (x[:, None] @ matrix)[:, 0]


class Whitening(nn.Module):
    """The moments of vectors, for the preconditioning of the directions in which they vary little.

    Directions whose standard deviation is a quarter of the scale or more have the coefficients that all have without it.

    Arguments:
        mean: The mean, of shape `(n,)`.
        covariance: The covariance, of shape `(n, n)`.
        scale: The standard deviation of the data, root mean square.

    Raises:
        ValueError: If shapes do not fit, or the scale is not positive.

    Example:
        >>> whitening = Whitening(torch.zeros(2), torch.tensor([[1.0, 0.999], [0.999, 1.0]]))
        >>> whitening.count, whitening.maps(torch.zeros(1, 2)).deviations.round(decimals=4)
        (1, tensor([0.0316, 1.0000]))
    """

    mean: Tensor
    covariance: Tensor
    vectors: Tensor
    deviations: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor, scale: float = 1.0) -> None:
        super().__init__()
        n = mean.numel()
        if mean.shape != (n,) or covariance.shape != (n, n) or not scale > 0:
            got = f"{tuple(mean.shape)}, {tuple(covariance.shape)} and scale={scale:g}"
            raise ValueError(f"whitening needs a mean (n,), a covariance (n, n) and a positive scale, got {got}")
        self.scale = scale
        self.register_buffer("mean", mean)
        self.register_buffer("covariance", covariance)
        for name, part in zip(("vectors", "deviations"), self._directions(covariance.double().cpu())):
            self.register_buffer(name, part.to(mean), persistent=False)
        self._known: dict[bytes, tuple[Tensor, Tensor, Tensor]] = {}

    def _load_from_state_dict(self, *state: Any) -> None:
        """What follows from the covariance is computed again where another one is loaded."""
        before = self.covariance.clone()
        super()._load_from_state_dict(*state)
        if not torch.equal(before, self.covariance.to(before)):
            vectors, deviations = self._directions(self.covariance.double().cpu())
            self.vectors, self.deviations = vectors.to(self.mean), deviations.to(self.mean)
            self._known.clear()

    @property
    def count(self) -> int:
        """How many thin directions there are."""
        between = (
            (1 + _THIN) / 2 * self.scale
        )  # thin ones and all others, whose deviation is the scale but for rounding
        return int((self.deviations < between).sum())

    def maps(self, x: Tensor) -> PrincipalMaps:
        """The maps of whole vectors, in the type of states `(B, n)`."""
        return PrincipalMaps(self.mean.to(x), self.vectors.to(x), self.deviations.to(x))

    def maps_given(self, x: Tensor, status: Tensor) -> PrincipalMaps:
        """The maps of the free values of vectors, by their Gaussian distribution given the values that are given.

        Arguments:
            x: States, `(B, n)`: clean where values are given.
            status: FREE, GIVEN or ABSENT for each value, `(B, n)`.
        """
        if not len(status):
            return self.maps(x)
        patterns, index = torch.unique(status, dim=0, return_inverse=True)
        if len(patterns) == 1 and bool((patterns == FREE).all()):
            return self.maps(x)
        vectors, deviations, regression = (part.to(x) for part in self._of_patterns(patterns))
        if len(patterns) > 1:
            vectors, deviations, regression = vectors[index], deviations[index], regression[index]
        else:
            vectors, deviations, regression = vectors[0], deviations[0], regression[0]
        mean = self.mean.to(x)
        center = mean + _product(((x - mean) * (status == GIVEN)), regression)
        return PrincipalMaps(center, vectors, deviations)

    def _directions(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """The eigenvectors of covariances `(…, n, n)`, and the standard deviations along them that count, `(…, n)`."""
        values, vectors = torch.linalg.eigh(covariance)
        found = values.clamp_min((_THINNEST * self.scale) ** 2).sqrt()
        return vectors, torch.where(found < _THIN * self.scale, found, self.scale)

    def _of_patterns(self, patterns: Tensor) -> tuple[Tensor, ...]:
        """The directions `(K, n, n)`, the deviations `(K, n)` and the regressions on what is given `(K, n, n)` of patterns."""
        rows = patterns.to("cpu", torch.uint8)
        names = [row.numpy().tobytes() for row in rows]
        new = [i for i, name in enumerate(names) if name not in self._known]
        if len(self._known) + len(new) > _KEPT:
            self._known.clear()
            new = [*range(len(names))]
        if new:
            for i, *found in zip(new, *self._solved(rows[new])):
                self._known[names[i]] = (found[0], found[1], found[2])
        return tuple(torch.stack(part) for part in zip(*(self._known[name] for name in names)))

    def _solved(self, patterns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `_of_patterns`, computed in double precision; what is given times a regression is added to the mean."""
        covariance = self.covariance.double().cpu()
        given, free = (patterns == GIVEN).double(), (patterns == FREE).double()
        known = covariance * given[:, :, None] * given[:, None] + torch.diag_embed(1 - given + _RIDGE * given)
        both = covariance * given[:, :, None] * free[:, None]
        regression = torch.linalg.solve(known, both)
        left = covariance * free[:, :, None] * free[:, None] - both.mT @ regression
        left = (left + left.mT) / 2 + torch.diag_embed((1 - free) * self.scale**2)
        vectors, deviations = self._directions(left)
        return tuple(part.to(self.mean.dtype) for part in (vectors, deviations, regression))  # type: ignore[return-value]
