"""Operators for data of any shape: masks, matrices, functions, simulators, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..user_values import real_tensor
from .base import LinearOperator, Operator, kept_parts

__all__ = ["Compose", "Function", "Linear", "Mask", "Simulator"]


@dataclass(frozen=True, eq=False)
class Mask(LinearOperator):
    """The measured components: y = x[keep].

    Arguments:
        keep: True where a component is measured, of the shape `D` of a data point, or broadcasting against it.

    Example:
        >>> Mask(torch.tensor([True, False, True]))(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[1., 3.]])
    """

    keep: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", kept_parts(self.keep, "Mask", ("component", "components")))

    def __call__(self, x: Tensor) -> Tensor:
        try:
            keep = self.keep.to(x.device).expand(x.shape[1:])
        except RuntimeError:
            have = f"a data point has the shape {tuple(x.shape[1:])}"
            raise ValueError(f"Mask has the shape {tuple(self.keep.shape)}, and {have}: give them the same") from None
        return x.flatten(1)[:, keep.flatten()]


@dataclass(frozen=True, eq=False)
class Linear(LinearOperator):
    """y = M x for the flattened data point x.

    Arguments:
        matrix: M, of shape `(m, n)`.
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "matrix", real_tensor(self.matrix, "matrices", "numpy.vstack([matrix.real, matrix.imag])")
        )
        if self.matrix.ndim != 2 or not bool(torch.isfinite(self.matrix).all()):
            got = f"shape {tuple(self.matrix.shape)}"
            raise ValueError(f"Linear needs a matrix of finite numbers of shape (m, n), got {got}")

    def __call__(self, x: Tensor) -> Tensor:
        if x[0].numel() != self.matrix.shape[1]:
            have = f"a data point of shape {tuple(x.shape[1:])} has {x[0].numel()} numbers"
            raise ValueError(f"the matrix of Linear has {self.matrix.shape[1]} columns, and {have}: they must agree")
        return x.flatten(1) @ self.matrix.to(x).T


@dataclass(frozen=True, eq=False)
class Function(Operator):
    """Any function that torch can differentiate.

    Arguments:
        f: `(B, *D)` to `(B, *E)`, each data point by itself.
        linear: Whether it is linear, which saves work and is taken at its word.
    """

    f: Callable[[Tensor], Tensor]
    linear: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        y = self.f(x)
        if not isinstance(y, Tensor) or y.shape[:1] != x.shape[:1]:
            got = f"the shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(f"a function measures data (B, *D) as a tensor (B, *E), got {got} for B = {len(x)}")
        if y.is_complex():
            raise TypeError("a function measures real numbers, got complex ones: return torch.view_as_real(y)")
        return y


@dataclass(frozen=True, eq=False)
class Simulator(Operator):
    """A black box with its vector-Jacobian product: an adjoint code, a finite-element solver, a compiled library.

    Both functions take and give arrays of numpy in float64.

    Arguments:
        run: x ↦ A(x), `(B, *D)` to `(B, *E)`.
        pull: (x, v) ↦ vᵀ ∂A/∂x, `(B, *D)` and `(B, *E)` to `(B, *D)`.
        push: (x, u) ↦ ∂A/∂x u, `(B, *D)` and `(B, *D)` to `(B, *E)`; without it, each such product takes one `pull` for
            each number that is measured. `posterior.DPS` needs none.
        linear: Whether it is linear.
    """

    run: Callable[[np.ndarray], np.ndarray]
    pull: Callable[[np.ndarray, np.ndarray], np.ndarray]
    push: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    linear: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "costly", True)

    def __call__(self, x: Tensor) -> Tensor:
        return _Run.apply(x, self)  # type: ignore[no-any-return, no-untyped-call]


def _numbers(f: Callable[..., np.ndarray], like: Tensor, *given: Tensor) -> Tensor:
    found = f(*(t.detach().cpu().double().numpy() for t in given))
    return real_tensor(found, "what a simulator returns", "numpy.stack([y.real, y.imag], -1)").to(like)


class _Run(torch.autograd.Function):
    """A simulator's forward run, and backwards its `pull`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, simulator: Simulator) -> Tensor:
        ctx.save_for_backward(x)
        ctx.simulator = simulator
        return _numbers(simulator.run, x, x)

    @staticmethod
    def backward(ctx: Any, *v: Tensor) -> tuple[Tensor, None]:
        return _Pull.apply(ctx.saved_tensors[0], v[0], ctx.simulator), None  # type: ignore[no-untyped-call]


class _Pull(torch.autograd.Function):
    """A simulator's `pull`; its derivative in v is `push`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, simulator: Simulator) -> Tensor:
        ctx.save_for_backward(x)
        ctx.simulator = simulator
        ctx.shape = v.shape
        return _numbers(simulator.pull, x, x, v)

    @staticmethod
    def backward(ctx: Any, *u: Tensor) -> tuple[None, Tensor, None]:
        x, simulator = ctx.saved_tensors[0], ctx.simulator
        if simulator.push is not None:
            return None, _numbers(simulator.push, u[0], x, u[0]), None
        axes = torch.eye(ctx.shape[1:].numel(), dtype=u[0].dtype).reshape(-1, *ctx.shape[1:])
        pulled = (_numbers(simulator.pull, u[0], x, axis.expand(ctx.shape)) for axis in axes)
        products = [(p * u[0]).flatten(1).sum(1) for p in pulled]
        return None, torch.stack(products, 1).reshape(ctx.shape), None


@dataclass(frozen=True, eq=False)
class Compose(Operator):
    """Operators one after another: a blur and then a coarser grid.

    Arguments:
        operators: In the order in which they act.

    Example:
        >>> from scorefield.measurement import Blur, Downsample
        >>> Compose((Blur(1.0), Downsample(2)))(torch.ones(1, 8, 8)).shape
        torch.Size([1, 4, 4])
    """

    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        if not self.operators:
            raise ValueError("Compose needs at least one operator")
        object.__setattr__(self, "operators", tuple(self.operators))
        object.__setattr__(self, "linear", all(operator.linear for operator in self.operators))
        object.__setattr__(self, "costly", any(operator.costly for operator in self.operators))

    def spatial_axes(self, spatial: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], int] | None:
        found: tuple[tuple[int, ...], int] | None = (spatial, rank)
        for operator in self.operators:
            found = operator.spatial_axes(*found) if found is not None else None
        return found

    def __call__(self, x: Tensor) -> Tensor:
        for operator in self.operators:
            x = operator(x)
        return x
