"""The optimizer: normalized Muon for the matrices inside a network, AdamW for the rest."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..distributed import rank, size, stacked
from .flat import LANES, Flat

__all__ = ["NEWTON_SCHULZ", "POLAR_EXPRESS", "Optimizer", "multiplications", "orthogonalize"]


Polynomials = tuple[tuple[float, float, float], ...]
"""Coefficients (a, b, c) of iterations σ -> a σ + b σ³ + c σ⁵ of singular values, one after another."""

_SAFE = 1.01  # by which singular values are divided before each iteration but the last: rounding leaves some too large

POLAR_EXPRESS: Polynomials = (
    *(
        (a / _SAFE, b / _SAFE**3, c / _SAFE**5)
        for a, b, c in (
            (8.28721201814563, -23.595886519098837, 17.300387312530933),
            (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
            (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        )
    ),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
)
"""Four iterations, which move what is above a thousandth of the norm to between 0.43 and 1.56 (Amsel et al., 2025)."""

NEWTON_SCHULZ: Polynomials = ((3.4445, -4.7750, 2.0315),) * 5
"""Those of runs that earlier versions began: to between 0.47 and 1.20 (Jordan et al., 2024)."""

_LARGE = 96  # rows of a matrix, from which on products in bfloat16 are faster where a processor has them


def orthogonalize(
    matrices: Tensor, polynomials: Polynomials = POLAR_EXPRESS, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Divides matrices `(K, m, n)` by their norms and moves their singular values towards 1 by polynomials.

    Of wide and tall matrices on a CPU, only the product of the matrix with its transpose is iterated: the polynomials of it are
    multiplied, and their product is applied to the matrix once. In bfloat16, which is faster for large ones, that is done after
    two iterations, too: rounding may give the product negative eigenvalues, which more of them would blow up.

    Arguments:
        matrices: The matrices.
        polynomials: The iterations.
        dtype: The type in which other matrices are iterated.

    References:
        Amsel et al., 2025, The Polar Express: optimal matrix sign methods and their application to the Muon algorithm.
        Jordan et al., 2024, Muon: an optimizer for hidden layers in neural networks.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    parts = _multiplied(x.shape[-2], x.shape[-1], polynomials, dtype) if x.device.type == "cpu" else []
    if parts:
        found = _by_products(x.to(dtype) if x.shape[-2] >= _LARGE else x.float(), parts)
    else:
        found = _directly(x.to(dtype), polynomials)
    return (found.mT if tall else found).to(matrices.dtype)


def _multiplied(m: int, n: int, polynomials: Polynomials, dtype: torch.dtype) -> list[Polynomials]:
    """The iterations of m × n matrices, m ≤ n, that are multiplied before they are applied; none where each is by itself."""
    if n < (2 if dtype == torch.float32 else 4) * m:
        return []
    first = len(polynomials) if dtype == torch.float32 or m < _LARGE else 2
    return [some for some in (polynomials[:first], polynomials[first:]) if some]


def multiplications(
    rows: int, columns: int, dtype: torch.dtype = torch.bfloat16, polynomials: Polynomials = POLAR_EXPRESS
) -> int:
    """How many multiplications `orthogonalize` makes of a matrix on a CPU, in products of matrices.

    Arguments:
        rows, columns: The shape of the matrix.
        dtype, polynomials: As for `orthogonalize`.

    Example:
        >>> multiplications(192, 1728), multiplications(192, 192)
        (325582848, 84934656)
    """
    m, n = sorted((rows, columns))
    counts = [len(some) for some in _multiplied(m, n, polynomials, dtype)]
    if not counts:
        return len(polynomials) * (2 * m**2 * n + m**3)
    return sum(2 * m**2 * n + (4 * count - 3) * m**3 for count in counts)


def _directly(x: Tensor, polynomials: Polynomials) -> Tensor:
    x = x / (torch.linalg.matrix_norm(x.float(), keepdim=True).to(x.dtype) + 1e-7)
    for a, b, c in polynomials:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def _by_products(x: Tensor, parts: list[Polynomials]) -> Tensor:
    """The same by p_k(G_k) … p_1(G_1) x, with G_1 = x xᵀ and G_(k+1) = p_k(G_k) G_k p_k(G_k): less work for wide matrices."""
    x = x / (torch.linalg.matrix_norm(x.float(), keepdim=True) + 1e-7).to(x.dtype)
    for some in parts:
        gram = found = x @ x.mT
        for i, (a, b, c) in enumerate(some):
            factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            factor.diagonal(dim1=-2, dim2=-1).add_(a)
            found = factor @ found if i else factor
            gram = factor @ gram @ factor if i < len(some) - 1 else gram
        x = found @ x
    return x


_MOST = 32  # iterations that a state may ask for
_TOGETHER = 2**26  # numbers in the matrices that are orthogonalized at once, unless one has more


class _Group(NamedTuple):
    """Matrices of one shape: their values, or the rows of them that this process keeps, where these lie, and their names."""

    shape: tuple[int, int]
    values: list[Tensor]
    places: list[tuple[int, int]]
    names: list[str]


class Optimizer:
    """Muon with Nesterov's momentum where matrices are, AdamW elsewhere; both follow one schedule.

    Rows of an orthogonalized update are brought to equal size by a running average of their squares, the update as a whole
    keeps its norm (Li et al., 2025, NorMuon).

    Arguments:
        flat: The parameters.
        learning_rate: The learning rate of AdamW.
        muon_learning_rate: The learning rate of Muon; 0 leaves the matrices to AdamW.
        momentum: The momentum of Muon, which takes in the gradient of every step.
        every: In how many steps Muon moves the matrices once, √every times as far.
        dtype: The type in which Muon computes, unless matrices are wide: bfloat16, or float32 where that is as fast.
        weight_decay: That of AdamW.
    """

    def __init__(
        self,
        flat: Flat,
        learning_rate: float,
        muon_learning_rate: float,
        momentum: float = 0.95,
        every: int = 1,
        dtype: torch.dtype = torch.bfloat16,
        weight_decay: float = 0.0,
    ) -> None:
        self.flat, self.learning_rate, self.muon_learning_rate = flat, learning_rate, muon_learning_rate
        self.momentum, self.every, self.dtype, self.weight_decay = momentum, every, dtype, weight_decay
        self._made = 0  # steps, as `count`, which is on the device
        self.polynomials = POLAR_EXPRESS
        self._matrices = flat.matrices if muon_learning_rate > 0 else []
        boundary = flat.boundary if self._matrices else len(flat.values)
        self._boundary, padded = boundary, boundary + -boundary % LANES
        self._rest, self._gradients = flat.padded_values[:padded], flat.padded_gradients[:padded]
        self._first, self._second = torch.zeros_like(self._rest), torch.zeros_like(self._rest)
        self.count = torch.zeros((), device=self._rest.device)
        self._inner = flat.gradients[boundary:]
        self._velocity = torch.zeros_like(self._inner)
        self._groups = self._by_shape(boundary)
        device = self._inner.device
        self._squares = [torch.zeros(len(g.values), len(g.values[0]), 1, device=device) for g in self._groups]

    def _by_shape(self, boundary: int) -> list[_Group]:
        """Matrices of equal shape as one batch, or some if there are very many numbers."""
        groups: list[_Group] = []
        latest: dict[tuple[int, int], _Group] = {}
        place = 0
        for p, value in zip(self._matrices, self.flat.pieces(self.flat.values[boundary:], self._matrices)):
            shape = (p.shape[0], p.numel() // p.shape[0])
            group = latest.get(shape)
            if group is None or (len(group.values) + 1) * p.numel() > _TOGETHER:
                group = latest[shape] = _Group(shape, [], [], [])
                groups.append(group)
            group.values.append(value)
            group.places.append((place, place + value.numel()))
            group.names.append(self.flat.names[id(p)])
            place += value.numel()
        return groups

    def step(self, factor: float) -> None:
        """Steps along the gradients, with learning rates times `factor`.

        Several processes share the matrices. Nothing is changed before all of them have answered.
        """
        found = []
        if self._groups and (self._made + 1) % self.every == 0:
            velocity = torch.lerp(self._velocity, self._inner, 1 - self.momentum)
            found = self._updates(torch.lerp(self._inner, velocity, self.momentum))
            self._velocity = velocity
        elif self._groups:
            self._velocity.lerp_(self._inner, 1 - self.momentum)
        self._made += 1
        self.count += 1
        # AdamW steps over whole lanes, as the last few numbers would be rounded otherwise; matrices behind them are put back.
        beyond = self._rest[self._boundary :].clone() if self._groups else None
        torch._fused_adamw_(  # what torch.optim.AdamW(fused=True) calls, after three times as long
            *([self._rest], [self._gradients], [self._first], [self._second], [], [self.count]),
            lr=self.learning_rate * factor,
            beta1=0.9,
            beta2=0.99,
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        if beyond is not None:
            self._rest[self._boundary :] = beyond
        far = self.muon_learning_rate * factor * math.sqrt(self.every)
        for group, squares, (updates, latest) in zip(self._groups, self._squares, found):
            squares.copy_(latest)
            rate = far * math.sqrt(max(1.0, group.shape[0] / group.shape[1]))
            for value, update in zip(group.values, updates):
                value.add_(update.view(value.shape), alpha=-rate)

    def _update(self, direction: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        """The updates of matrices of one shape, `(K, m, n)`, and the running average of their squares, `(K, m, 1)`."""
        orthogonal = orthogonalize(direction, self.polynomials, self.dtype)
        squares = torch.lerp(squares, orthogonal.square().mean(2, keepdim=True), 0.05)
        norms = torch.linalg.matrix_norm(orthogonal)
        normalized = orthogonal.mul_(torch.rsqrt(squares + 1e-12))
        norms /= torch.linalg.matrix_norm(normalized) + 1e-6
        return normalized.mul_(norms.reshape(-1, 1, 1)), squares

    def _update_of(self, i: int, direction: Tensor) -> tuple[Tensor, Tensor]:
        """What `_update` gives for the matrices of a group."""
        group = self._groups[i]
        return self._update(torch.stack([direction[a:b].view(group.shape) for a, b in group.places]), self._squares[i])

    def _updates(self, direction: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What `_update` gives for each group, computed by one process and given to all."""
        if size() == 1:
            return [self._update_of(i, direction) for i in range(len(self._groups))]
        owners, lengths = self._owners(), [0] * size()
        mine = [self._update_of(i, direction) for i, owner in enumerate(owners) if owner == rank()]
        ends = []
        for group, squares, owner in zip(self._groups, self._squares, owners):
            middle = lengths[owner] + len(group.values) * math.prod(group.shape)
            ends.append((lengths[owner], middle, middle + squares.numel()))
            lengths[owner] = ends[-1][2]
        packed, sent = direction.new_zeros(max(lengths)), lengths[rank()]
        if mine:
            packed[:sent] = torch.cat([x.reshape(-1) for pair in mine for x in pair])
        got = stacked(packed)
        return [
            (got[owner, a:b].view(-1, *group.shape), got[owner, b:c].view_as(squares))
            for owner, (a, b, c), group, squares in zip(owners, ends, self._groups, self._squares)
        ]

    def _owners(self) -> list[int]:
        """Which process computes each group: whole groups, as the bits of a product depend on how many are computed at once."""
        work = [len(group.values) * math.prod(group.shape) * min(group.shape) for group in self._groups]
        loads, owners = [0] * size(), [0] * len(work)
        for i in sorted(range(len(work)), key=lambda i: -work[i]):
            owners[i] = loads.index(min(loads))
            loads[owners[i]] += work[i]
        return owners

    def numbers(self) -> dict[str, Tensor]:
        """What of the state is not as large as the parameters."""
        polynomials = {"polynomials": torch.tensor(self.polynomials, dtype=torch.float64)} if self._matrices else {}
        return {"count": self.count, **polynomials}

    def load_numbers(self, state: dict[str, Tensor]) -> None:
        """Takes what `numbers` gave; or what it gave in earlier versions, which had other polynomials and did not name them.

        Raises:
            ValueError: If the state holds no polynomials under their name.
        """
        self.count.copy_(state["count"])
        self._made = int(self.count)
        found = state.get("polynomials")
        if found is not None and (found.ndim != 2 or found.shape[1] != 3 or not 0 < len(found) <= _MOST):
            raise ValueError(f"the state has polynomials of shape {tuple(found.shape)}, not of (1 to {_MOST}, 3)")
        rows = NEWTON_SCHULZ if found is None else found.tolist()
        self.polynomials = tuple((float(a), float(b), float(c)) for a, b, c in rows)

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""
        squares = {f"squares.{i}": values for i, values in enumerate(self._squares)}
        moments = {"first": self._first[: self._boundary], "second": self._second[: self._boundary]}
        return squares | moments | self.numbers() | {"velocity": self._velocity}

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes what `state` gave.

        Raises:
            ValueError: As for `load_numbers`.
        """
        self._velocity.copy_(state["velocity"])
        for i, squares in enumerate(self._squares):
            squares.copy_(state[f"squares.{i}"])
        for name, mine in (("first", self._first), ("second", self._second)):
            mine[: self._boundary].copy_(state[name])
        self.load_numbers(state)

    def pieces(self) -> dict[str, Tensor]:
        """What of the state is as large as the parameters, by their names; it is read in place."""
        outside = self.flat.outside if self._matrices else self.flat.parameters
        first, second = self._first[: self._boundary], self._second[: self._boundary]
        found = self.flat.named("first", first, outside) | self.flat.named("second", second, outside)
        found |= self.flat.named("velocity", self._velocity, self._matrices)
        for group, squares in zip(self._groups, self._squares):
            shape = (group.shape[0], 1)
            found |= {f"squares.{name}": self.flat.placed(x, shape) for name, x in zip(group.names, squares)}
        return found
