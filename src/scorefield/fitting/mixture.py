"""Mixtures of Gaussians for small tables: as many components, and as much shrinkage, as held-out likelihood supports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..denoisers import Mixture
from ..progress import mapped, part, report
from ..rng import Samples, permutation

__all__ = ["MixtureFit", "Shrinkage", "fit_mixture", "fit_mixture_of_many"]

_COUNTS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20)  # components
_ROWS = 10  # that a component needs, at least
_PATIENCE = 2  # counts in a row that are no better, after which larger ones are not tried
_ROUNDS, _ENOUGH = 100, 2e-4  # of expectation and maximization, and the gain in nats a row that ends them
_STARTS = 4  # of the final fit
_LITTLE = 1.0  # row, which the common covariance counts as at least
_FIRST = 4  # rounds of k-means that start them
_MANY, _MANY_ROWS = (1, 3, 10, 30, 100), 100  # components of mixtures of many rows, and rows that each of these needs
_PART, _AT_ONCE, _LAST = 20_000, 4096, 4  # rows they are fitted to first, and at once later; rounds with all rows
_QUICK, _ROUGH, _RATHER = (
    15,
    5,
    1e-2,
)  # rounds of these, and of those compared with others; the gain in nats that ends them
_FEW = 2500  # rows, up to which there are five folds and two starts, three folds and one start above


class Shrinkage(NamedTuple):
    """What the covariances of components are shrunk towards.

    Arguments:
        rows: How many rows it counts as, in the covariance of each component.
        sized: Whether it is the common shape in the size of the component, and not the common covariance: for components
            of different widths.
    """

    rows: float
    sized: bool = False


class MixtureFit(NamedTuple):
    """A fitted mixture.

    Arguments:
        mixture: The mixture, fitted to all rows.
        components: How many components it has.
        shrinkage: What covariances were shrunk towards.
        held_out: The mean log-density in nats of rows that were left out, by cross-validation.
        folds: How many folds the rows were divided into.
    """

    mixture: Mixture
    components: int
    shrinkage: Shrinkage
    held_out: float
    folds: int


def fit_mixture(x: Tensor, seed: int = 0, width: float = 1e-2, groups: np.ndarray | None = None) -> MixtureFit:
    """Fits a mixture of Gaussians with full covariances by expectation and maximization.

    Covariances are shrunk towards their mean over components, or towards a common shape in the size of each. Which of them,
    how much, and the number of components have the largest log-density of left-out rows.

    Arguments:
        x: Standardized data, of shape `(N, n)`.
        seed: The seed of the folds and of the first components.
        width: The standard deviation that components have at least in every direction.
        groups: The group of each row, `(N,)`: whole groups are left out.

    Raises:
        ValueError: If there are fewer than 10 rows.

    References:
        Dempster, Laird & Rubin, 1977; Friedman, 1989, Regularized discriminant analysis; Smyth, 2000, Model selection for
        probabilistic clustering using cross-validated likelihood.

    Example:
        >>> z = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> z[:, 0] += torch.where(torch.arange(400) < 100, 6.0, -2.0)
        >>> fit_mixture(z).components
        2
    """
    count, n = x.shape
    if count < _ROWS:
        raise ValueError(f"a mixture needs {_ROWS} rows or more, got {count}: give more data")
    data = _Data.of(x.double(), width)
    folds, starts = (5, 2) if count <= _FEW else (3, 1)
    unit = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    folds = min(folds, int(unit.max()) + 1)
    fold = torch.from_numpy(permutation(int(unit.max()) + 1, seed, -20)[unit]) % folds
    kept = (torch.arange(folds)[:, None] != fold).double()

    def held_out(k: int, shrinkage: Shrinkage) -> tuple[float, int, Shrinkage]:
        """The mean log-density of each row by the mixture of the folds that it is not in."""
        _, log_density = data.best(kept, k, shrinkage, seed, starts)
        return float(log_density[fold, torch.arange(count)].mean()), k, shrinkage

    def rising(counts: list[int], shrinkage: Shrinkage) -> list[tuple[float, int, Shrinkage]]:
        """More and more components, until they are no better."""
        found = list[tuple[float, int, Shrinkage]]()
        for i, k in enumerate(counts):
            report(i / len(counts))
            found.append(held_out(k, shrinkage))
            if len(found) - found.index(max(found)) > _PATIENCE:
                break
        return found

    counts = [k for k in _COUNTS if k == 1 or _ROWS * k <= count]
    with part(0, 0.4):
        found = rising(counts, Shrinkage(n + 2.0))
    place = counts.index(max(found)[1])
    with part(0.4, 0.7):
        found += rising(counts[max(1, place) :], Shrinkage(n + 2.0, True))
    _, k, shrinkage = max(found)
    place = counts.index(k)
    with part(0.7, 0.9):
        little = shrinkage._replace(rows=_LITTLE)
        found += mapped(lambda k: held_out(k, little), counts[max(0, place - 1) : place + 2])
    score, k, shrinkage = max(found)
    state, _ = data.best(torch.ones(1, count, dtype=torch.float64), k, shrinkage, seed, _STARTS)
    parts = (state.means[0].float(), state.covariances[0].float(), state.weights[0].float())
    return MixtureFit(Mixture(*parts), k, shrinkage, score, folds)


def fit_mixture_of_many(x: Tensor, seed: int = 0, width: float = 1e-2, groups: np.ndarray | None = None) -> Mixture:
    """Fits a mixture of up to 100 Gaussians to many rows in a few seconds: roughly, where `fit_mixture` would take minutes.

    Arguments:
        x: The data, of shape `(N, n)`.
        seed: The seed of the rows that are left out and of the first components.
        width: The standard deviation that components have at least in every direction.
        groups: The group of each row, `(N,)`: whole groups are left out.

    Returns:
        The mixture, with as many components as describe a fifth of the first 20,000 rows best that was left out; fitted to
        these, and then a little to all rows.

    Example:
        >>> z = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
        >>> z[:, 0] += torch.where(torch.arange(2000) < 500, 6.0, -2.0)
        >>> len(fit_mixture_of_many(z).weights)
        3
    """
    part, shrinkage = x[:_PART].float(), Shrinkage(x.shape[1] + 2.0)
    data = _Data.of(part, width, _QUICK, _RATHER)
    rough = replace(data, rounds=_ROUGH)
    unit = np.arange(len(part)) if groups is None else np.unique(groups[:_PART], return_inverse=True)[1].reshape(-1)
    kept = torch.from_numpy(permutation(int(unit.max()) + 1, seed, -21)[unit] % 5 != 0)
    best, chosen = -math.inf, 1
    for k in _MANY:
        if not bool(kept.any()) or bool(kept.all()) or _MANY_ROWS * k > len(part):
            break
        _, log_density = rough.best(kept[None].float(), k, shrinkage, seed, 1)
        found = float(log_density[0, ~kept].mean())
        if found <= best:
            break
        best, chosen = found, k
    state, _ = data.best(torch.ones(1, len(part)), chosen, shrinkage, seed, 1)
    for _ in range(_LAST if len(x) > len(part) else 0):
        state = data.maximized([_Data.of(each.float(), width).sums(state) for each in x.split(_AT_ONCE)], shrinkage)  # type: ignore[no-untyped-call]
    return Mixture(state.means[0].float(), state.covariances[0].float(), state.weights[0].float())


class _State(NamedTuple):
    """Mixtures `(B, …)`: weights `(B, K)`, means `(B, K, n)`, covariances `(B, K, n, n)`."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def coefficients(self) -> Tensor:
        """The log-densities of components with their weights as linear functions of `_Data.products`: `(B, P, K)`."""
        n = self.means.shape[-1]
        root = torch.linalg.cholesky(self.covariances)
        precision = torch.cholesky_inverse(root)
        linear = (precision @ self.means[..., None])[..., 0]
        constant = self.weights.log() - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = constant - (n * math.log(2 * math.pi) + (self.means * linear).sum(-1)) / 2
        i, j = torch.triu_indices(n, n)
        square = -precision[..., i, j] * torch.where(i == j, 0.5, 1.0)
        return torch.cat([constant[..., None], linear, square], -1).mT


@dataclass(frozen=True)
class _Data:
    """Data `(N, n)` with all products of two columns, `(N, P)`: each round is then two products of matrices.

    Their type is that of all that is as long as the data; mixtures are in float64.
    """

    x: Tensor
    products: Tensor
    width: float
    rounds: int = _ROUNDS
    enough: float = _ENOUGH

    @classmethod
    def of(cls, x: Tensor, width: float, rounds: int = _ROUNDS, enough: float = _ENOUGH) -> _Data:
        count, n = x.shape
        products = x.new_empty(count, 1 + n + n * (n + 1) // 2)
        products[:, 0], products[:, 1 : n + 1], place = 1, x, n + 1
        for i in range(n):  # in the order of triu_indices, and in place: there are many
            torch.mul(x[:, i:], x[:, i : i + 1], out=products[:, place : place + n - i])
            place += n - i
        return cls(x, products, width, rounds, enough)

    def best(self, rows: Tensor, k: int, shrinkage: Shrinkage, seed: int, starts: int) -> tuple[_State, Tensor]:
        """The best mixtures of several starts for some rows each, `(F, N)` of 0 and 1, and all log-densities `(F, N)`."""
        starts = 1 if k == 1 else starts
        rows = rows.repeat(starts, 1)
        state, log_density = self._fitted(rows, self._start(rows, k, seed), shrinkage)
        mean = ((rows * log_density).sum(1) / rows.sum(1)).reshape(starts, -1)
        chosen = mean.argmax(0) * mean.shape[1] + torch.arange(mean.shape[1])
        return _State(*(part[chosen] for part in state)), log_density[chosen]

    def _start(self, rows: Tensor, k: int, seed: int) -> Tensor:
        """Which component each row belongs to at first, `(B, N, K)`: k-means from distant rows."""
        u = Samples(seed, 0, len(rows), f"mixture of {k}").uniform((len(rows), k), torch.float64)
        square, centres = torch.ones_like(rows), []
        for i in range(k):
            mass = (rows * square).cumsum(1) + 1e-9 * rows.cumsum(1)
            place = torch.searchsorted(mass, u[:, i : i + 1] * mass[:, -1:]).clamp_max(len(self.x) - 1)
            centres.append(self.x[place[:, 0]])
            distance = (self.x - centres[-1][:, None]).square().sum(-1)
            square = distance if i == 0 else torch.minimum(square, distance)
        centre = torch.stack(centres, 1)
        for _ in range(_FIRST):
            near = (self.x @ centre.mT - centre.square().sum(-1)[:, None] / 2).argmax(-1)
            member = torch.nn.functional.one_hot(near, k).to(self.x)
            held = (member * rows[..., None]).mT
            centre = torch.where(held.sum(-1, keepdim=True) > 0, held @ self.x / held.sum(-1, keepdim=True), centre)
        return member

    def _fitted(self, rows: Tensor, member: Tensor, shrinkage: Shrinkage) -> tuple[_State, Tensor]:
        before = torch.full((len(rows),), -math.inf, dtype=rows.dtype)
        for _ in range(self.rounds):
            state = self._maximized((member * rows[..., None]).mT @ self.products, shrinkage)
            joint = self.products @ state.coefficients().to(self.products)
            log_density = joint.logsumexp(-1)
            member = (joint - log_density[..., None]).exp()
            now = (rows * log_density).sum(1) / rows.sum(1)
            if float((now - before).max()) < self.enough:
                break
            before = now
        return state, log_density

    def sums(self, state: _State) -> Tensor:
        """The sums of products over the rows of each component of mixtures, `(B, K, P)`."""
        joint = self.products @ state.coefficients().to(self.products)
        member: Tensor = joint.softmax(-1)
        return member.mT @ self.products

    def maximized(self, sums: Sequence[Tensor], shrinkage: Shrinkage) -> _State:
        """The mixtures of the sums of several parts of all rows."""
        return self._maximized(torch.stack([*sums]).sum(0), shrinkage)

    def _maximized(self, sums: Tensor, shrinkage: Shrinkage) -> _State:
        """The mixtures of sums of products over the rows of each component, `(B, K, P)`."""
        n, k, sums = self.x.shape[1], sums.shape[1], sums.double()
        count = sums[..., 0].clamp_min(1e-6)
        means = sums[..., 1 : n + 1] / count[..., None]
        i, j = torch.triu_indices(n, n)
        scatter = sums.new_zeros(*means.shape, n)
        scatter[..., i, j] = scatter[..., j, i] = sums[..., n + 1 :]
        scatter = scatter - count[..., None, None] * means[..., None] * means[..., None, :]
        total = count.sum(1)[:, None, None]
        common = (scatter.sum(1) / total)[:, None]
        if shrinkage.sized:
            common = self._sized(scatter, count, common)
        covariances = (scatter + shrinkage.rows * common) / (count[..., None, None] + shrinkage.rows)
        covariances = covariances + self.width**2 * torch.eye(n, dtype=torch.float64)
        return _State((count + 0.5) / (total[..., 0] + 0.5 * k), means, (covariances + covariances.mT) / 2)

    def _sized(self, scatter: Tensor, count: Tensor, common: Tensor) -> Tensor:
        """The common shape in the size of each component, `(B, K, n, n)`: its mean variance relative to `common`."""
        n = self.x.shape[1]
        little = self.width**2 * torch.eye(n, dtype=torch.float64)
        inverse = torch.linalg.inv(common + little)
        size = ((scatter * inverse).sum((-2, -1)) / n + 1.0) / (count + 1.0)  # a row of the common covariance
        shape = (scatter / size[..., None, None]).sum(1) / count.sum(1)[:, None, None]
        found: Tensor = size[..., None, None] * shape[:, None]
        return found
