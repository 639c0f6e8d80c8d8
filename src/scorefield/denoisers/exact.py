"""Denoisers known in closed form: Gaussian data, mixtures of Gaussians, and finite data sets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..rng import Rng
from ..tensors import per_sample
from .base import Denoiser

__all__ = ["Empirical", "Gaussian", "Mixture", "PrincipalMixture"]

_LOG_TAU = math.log(2 * math.pi)


def _factor(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues `(…, n)` and eigenvectors `(…, n, n)` of covariances `(…, n, n)`."""
    if covariance.shape[-1] != covariance.shape[-2] or not torch.allclose(covariance, covariance.mT, atol=1e-6):
        raise ValueError(f"a covariance must be a symmetric matrix, got shape {tuple(covariance.shape)}")
    values, vectors = torch.linalg.eigh(covariance)
    if bool((values < -1e-6 * values.abs().amax(-1, keepdim=True)).any()):
        raise ValueError(f"a covariance must have no negative eigenvalue, got {float(values.min()):g}")
    return values.clamp_min(0), vectors


class Gaussian(Denoiser):
    """Gaussian data, of any shape: D(x, σ) = m + C (C + σ²)⁻¹ (x - m).

    Arguments:
        mean: The mean, of shape `D`.
        covariance: The covariance of the flattened data, of shape `(n, n)`; or the variances, of shape `D`, if data are
            independent.

    Raises:
        ValueError: If the covariance has another shape, is not symmetric, or has a negative eigenvalue.
    """

    has_log_prob = True
    gaussian = True

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        n = mean.numel()
        self.diagonal = covariance.shape == mean.shape and covariance.shape != (n, n)
        if not self.diagonal and covariance.shape != (n, n):
            need = f"({n}, {n}), or {tuple(mean.shape)} for variances alone"
            raise ValueError(f"the covariance must have shape {need}, got {tuple(covariance.shape)}")
        if self.diagonal and bool((covariance < 0).any()):
            raise ValueError(f"variances must not be negative, got {float(covariance.min()):g}")
        values, vectors = (covariance.reshape(-1), None) if self.diagonal else _factor(covariance)
        buffers = {"mean": mean, "covariance": covariance, "values": values, "vectors": vectors}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)

    mean: Tensor
    covariance: Tensor
    values: Tensor
    vectors: Tensor | None

    def _to_eigenbasis(self, x: Tensor) -> Tensor:
        """Centred coordinates along the eigenvectors, of shape `(B, n)`."""
        y = (x - self.mean).reshape(len(x), -1)
        return y if self.vectors is None else y @ self.vectors.to(y.dtype)

    def _from_eigenbasis(self, y: Tensor) -> Tensor:
        y = y if self.vectors is None else y @ self.vectors.to(y.dtype).mT
        return self.mean + y.reshape(len(y), *self.mean.shape)

    def _variance(self, level: Tensor | float, x: Tensor) -> Tensor:
        square = torch.as_tensor(level, dtype=x.dtype, device=x.device) ** 2
        return self.values + (square if square.ndim == 0 else square.reshape(-1, 1))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self._from_eigenbasis(self._to_eigenbasis(x) * self.values / self._variance(level, x))

    def log_prob(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """The log-density in nats of the data plus noise, `(B, *D)` to `(B,)`."""
        variance = self._variance(level, x)
        return -(self._to_eigenbasis(x) ** 2 / variance + torch.log(variance) + _LOG_TAU).sum(1) / 2

    def sample(self, count: int, rng: Rng, level: Tensor | float = 0.0) -> Tensor:
        """Draws data plus noise of the standard deviation `level`, of shape `(count, *D)`."""
        return self.colour(rng.normal((count, *self.mean.shape), self.mean.dtype, self.mean.device), level)

    def colour(self, z: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """Turns standard normal numbers into data plus noise: m + √(C + σ²) z, with the symmetric root."""
        z = z.reshape(len(z), -1)
        z = z if self.vectors is None else z @ self.vectors.to(z.dtype)
        return self._from_eigenbasis(z * self._variance(level, z).sqrt())

    def whiten(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """The inverse of `colour`: turns data plus noise into standard normal numbers, `(B, *D)` to `(B, *D)`."""
        y = self._to_eigenbasis(x)
        y = y * self._variance(level, y).rsqrt()
        return (y if self.vectors is None else y @ self.vectors.to(y.dtype).mT).reshape(x.shape)


class Mixture(Denoiser):
    """A mixture of K Gaussians on vectors of size n, with full covariances.

    Arguments:
        means: The means, of shape `(K, n)`.
        covariances: The covariances, of shape `(K, n, n)`; or standard deviations, of shape `(K,)`.
        weights: The weights, of shape `(K,)`, which sum to one.

    Raises:
        ValueError: If shapes do not match, a covariance is not one, or weights are not positive or do not sum to one.
    """

    has_log_prob = True

    def __init__(self, means: Tensor, covariances: Tensor, weights: Tensor) -> None:
        super().__init__()
        k, n = means.shape
        if covariances.shape == (k,):
            covariances = covariances[:, None, None] ** 2 * torch.eye(n, dtype=means.dtype, device=means.device)
        if covariances.shape != (k, n, n) or weights.shape != (k,):
            need, got = (
                f"covariances ({k}, {n}, {n}) or ({k},)",
                f"{tuple(covariances.shape)} and {tuple(weights.shape)}",
            )
            raise ValueError(f"a mixture of {k} needs {need} and weights ({k},), got {got}")
        if bool((weights <= 0).any()) or abs(float(weights.sum()) - 1) > 1e-5:
            raise ValueError(f"weights must be positive and sum to 1, got {weights.tolist()}")
        values, vectors = _factor(covariances)
        buffers = {"means": means, "covariances": covariances, "weights": weights, "values": values, "vectors": vectors}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)
        _side_by_side(self)
        self.register_load_state_dict_post_hook(_side_by_side)  # type: ignore[no-untyped-call]

    means: Tensor
    covariances: Tensor
    weights: Tensor
    values: Tensor
    vectors: Tensor

    def _joint(self, x: Tensor, level: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """Coordinates along the eigenvectors and variances `(B, K, n)`, log-densities with weights `(B, K)`."""
        square = torch.as_tensor(level, dtype=x.dtype, device=x.device) ** 2
        variance = self.values + (square if square.ndim == 0 else square.reshape(-1, 1, 1))
        y = (x @ self._columns(x.dtype)).reshape(len(x), *self.means.shape)
        y = y - torch.einsum("kn,knm->km", self.means, self.vectors).to(y.dtype)
        log_p = -(y**2 / variance + torch.log(variance) + _LOG_TAU).sum(-1) / 2
        return y, variance, log_p + self.weights.log()

    def _columns(self, dtype: torch.dtype) -> Tensor:
        """The eigenvectors of all components as columns of one matrix, `(n, K n)`: one product serves all of them."""
        return self.vectors.transpose(0, 1).flatten(1).to(dtype)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        y, variance, joint = self._joint(x, level)
        weights = joint.softmax(-1)
        shrunk = weights[..., None] * (y * (self.values / variance))
        wide = shrunk.dtype
        return weights.to(wide) @ self.means.to(wide) + shrunk.flatten(1) @ self._columns(wide).mT

    def log_prob(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """The log-density in nats of the data plus noise, `(B, n)` to `(B,)`."""
        return self._joint(x, level)[2].logsumexp(-1)

    def sample(self, count: int, rng: Rng) -> Tensor:
        """Draws data, of shape `(count, n)`."""
        u = rng.child("component").uniform((count,), self.means.dtype, self.means.device)
        k = torch.searchsorted(self.weights.cumsum(0), u).clamp_max(len(self.weights) - 1)
        z = rng.normal((count, self.means.shape[1]), self.means.dtype, self.means.device)
        return self.means[k] + torch.einsum("bm,bnm->bn", z * self.values[k].sqrt(), self.vectors[k])

    def moments(self) -> Gaussian:
        """The Gaussian of the same mean and covariance."""
        mean = self.weights @ self.means
        offsets = self.means - mean
        between = torch.einsum("k,kn,km->nm", self.weights, offsets, offsets)
        return Gaussian(mean, between + torch.einsum("k,knm->nm", self.weights, self.covariances))


def _side_by_side(mixture: Mixture, *_: object) -> None:
    """Keeps the eigenvectors of all components side by side in memory, also those of a file: products need no copy then."""
    mixture.vectors = mixture.vectors.transpose(0, 1).contiguous().transpose(0, 1)


class PrincipalMixture(Denoiser):
    """A distribution of high-dimensional data: a mixture of Gaussians in some directions, independent Gaussians in all others.

    Along orthonormal directions v_1, …, v_q the first k coordinates y_i = v_iᵀ (x - m) of data are a mixture of Gaussians, the
    others independent Gaussians with mean 0, and so is everything that they leave out.

    Arguments:
        mean: The mean m, of shape `D`.
        vectors: The directions, as orthonormal columns, of shape `(n, q)` with n numbers in a sample.
        mixture: The mixture of the first k coordinates, `k <= q`.
        values: The variances of the other q - k, of shape `(q - k,)`.
        rest: The variance of all other directions, of shape `()`.

    Raises:
        ValueError: If shapes do not match, directions are not orthonormal, or a variance is negative.

    References:
        Tipping & Bishop, 1999, Mixtures of probabilistic principal component analysers.

    Example:
        >>> mixture = Mixture(torch.tensor([[-2.0], [2.0]]), torch.ones(2), torch.tensor([0.5, 0.5]))
        >>> vectors = torch.tensor([[1.0], [0.0]])
        >>> known = PrincipalMixture(torch.zeros(2), vectors, mixture, torch.zeros(0), torch.tensor(3.0))
        >>> known(torch.tensor([[0.0, 2.0]]), torch.tensor(1.0))
        tensor([[0.0000, 1.5000]])
    """

    has_log_prob = True

    def __init__(self, mean: Tensor, vectors: Tensor, mixture: Mixture, values: Tensor, rest: Tensor) -> None:
        super().__init__()
        n, k, q = mean.numel(), mixture.means.shape[1], vectors.shape[-1]
        if vectors.shape != (n, q) or values.shape != (q - k,) or rest.shape != ():
            need = f"vectors ({n}, q), values (q - {k},) and rest ()"
            got = f"{tuple(vectors.shape)}, {tuple(values.shape)} and {tuple(rest.shape)}"
            raise ValueError(
                f"a mixture of {k} coordinates of data of shape {tuple(mean.shape)} needs {need}, got {got}"
            )
        if bool((vectors.mT @ vectors - torch.eye(q).to(vectors)).abs().max() > 1e-3):
            raise ValueError("directions must be orthonormal: vectorsᵀ vectors is not the identity")
        if bool((values < 0).any()) or float(rest) < 0:
            raise ValueError(f"variances must not be negative, got {[*values.tolist(), float(rest)]}")
        self.mixture = mixture
        for name, tensor in {"mean": mean, "vectors": vectors, "values": values, "rest": rest}.items():
            self.register_buffer(name, tensor, persistent=False)  # a file has them as arguments

    mean: Tensor
    vectors: Tensor
    values: Tensor
    rest: Tensor

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Centred states `(B, n)`, their coordinates that are a mixture and the others, and the directions."""
        centred, vectors = (x - self.mean.to(x.dtype)).flatten(1), self.vectors.to(x.dtype)
        mixed, others = (centred @ vectors).tensor_split([self.mixture.means.shape[1]], 1)
        return centred, mixed, others, vectors

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        centred, mixed, others, vectors = self._parts(x)
        square = level.to(x.dtype).reshape(-1, 1) ** 2
        kept = self.rest / (self.rest + square)  # of all directions, and then corrected for those that are known
        others = (self.values / (self.values + square) - kept) * others
        shift = torch.cat((self.mixture(mixed, level) - kept * mixed, others), 1).to(x.dtype)
        return self.mean.to(x.dtype) + (kept.to(x.dtype) * centred + shift @ vectors.mT).reshape(x.shape)

    def log_prob(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """The log-density in nats of the data plus noise, `(B, *D)` to `(B,)`."""
        centred, mixed, others, vectors = self._parts(x)
        level = torch.as_tensor(level, dtype=x.dtype, device=x.device)
        square = level.reshape(-1, 1) ** 2
        outside = centred - torch.cat((mixed, others), 1) @ vectors.mT
        variance, rest, left = self.values + square, self.rest + square, centred.shape[1] - vectors.shape[1]
        others = (others**2 / variance + torch.log(variance) + _LOG_TAU).sum(1)
        found = self.mixture.log_prob(mixed, level) - others / 2
        if left == 0:
            return found
        return found - (outside.square().sum(1) / rest[:, 0] + left * (torch.log(rest[:, 0]) + _LOG_TAU)) / 2


class Empirical(Denoiser):
    """The distribution of a finite data set: what a network that has memorized it would know.

    D(x, σ) = Σ w_i x_i with w_i ∝ exp(-‖x - x_i‖² / 2σ²), summed in chunks of data, so that memory stays bounded.

    Arguments:
        data: The data, of shape `(N, *D)`.
        chunk: How many data points are compared with a batch at once.

    Raises:
        ValueError: If there are no data, or `chunk` is below 1.
    """

    has_log_prob = True

    def __init__(self, data: Tensor, chunk: int = 4096) -> None:
        super().__init__()
        if len(data) < 1 or chunk < 1:
            raise ValueError(f"Empirical needs at least one data point and chunk >= 1, got {len(data)} and {chunk}")
        self.register_buffer("data", data)
        self.chunk = chunk

    data: Tensor

    def _sweep(self, x: Tensor, level: Tensor | float) -> tuple[Tensor, Tensor]:
        """The weighted mean `(B, n)` and log Σ exp(-‖x - x_i‖² / 2σ²) `(B,)`, in one pass (a running softmax)."""
        square = per_sample(torch.as_tensor(level, dtype=torch.float64, device=x.device) ** 2, x)[:, None]
        points = x.reshape(len(x), -1).double()
        largest = torch.full((len(x), 1), -math.inf, dtype=torch.float64, device=x.device)
        total, mean = torch.zeros_like(largest), torch.zeros_like(points)
        for part in self.data.split(self.chunk):  # type: ignore[no-untyped-call]
            part = part.reshape(len(part), -1).double()
            center = part.mean(0)  # differences of squares keep their digits near the origin
            left, right = points - center, part - center
            distance = left.square().sum(1, keepdim=True) - 2 * left @ right.T + right.square().sum(1)
            logits = -distance.clamp_min(0) / (2 * square)
            new = torch.maximum(largest, logits.amax(1, keepdim=True))
            weight, keep = torch.exp(logits - new), torch.exp(largest - new)
            mean = mean * keep + weight @ part
            total, largest = total * keep + weight.sum(1, keepdim=True), new
        return mean / total, (largest + torch.log(total))[:, 0]

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self._sweep(x, level)[0].reshape(x.shape).to(x.dtype)

    def log_prob(self, x: Tensor, level: Tensor | float) -> Tensor:
        """The log-density in nats of the data plus noise of a level above 0, `(B, *D)` to `(B,)`."""
        square = per_sample(torch.as_tensor(level, dtype=torch.float64, device=x.device) ** 2, x)
        constant = math.log(len(self.data)) + (torch.log(square) + _LOG_TAU) * x[0].numel() / 2
        return (self._sweep(x, level)[1] - constant).to(x.dtype)

    def sample(self, count: int, rng: Rng) -> Tensor:
        """Draws data with replacement, of shape `(count, *D)`."""
        u = rng.child("datum").uniform((count,), torch.float64)
        return self.data[(u * len(self.data)).long().to(self.data.device)]

    def moments(self) -> Gaussian:
        """The Gaussian of the same mean and variances, with independent coordinates."""
        return Gaussian(self.data.mean(0), self.data.var(0, correction=0))
