"""Denoisers made of networks, unconditional and conditional.

Whatever a network predicts (the mean, the noise, the score, a velocity, …) is an affine map away from the denoised
mean, with coefficients that depend on the noise level σ alone:

    D(x, σ) = c_skip x + c_out F(c_in x, c),    c_in = 1/√(σ² + scale²),    c = ¼ ln(σ / scale).

To add a parametrization, write c_skip and c_out.

With a baseline, the denoiser B of a simple distribution of the same data, the network sees its answer, too, and corrects it:
with u = B(x, σ),

    D(x, σ) = u + w (x - u) + c_out F((c_in x, u), c),    w = 1 / (1 + (σ / crossing)⁴),

where below the level `crossing` it is x that is corrected: there the details matter that a simple distribution does not have.
Above the level `trusted` the answer is B's alone, and below it the network fades in: where noise is that strong, a network that
was trained knows no more.

Of vectors, thin directions have coefficients of their own (`whitening`).
"""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar, get_args

import torch
import torch.nn as nn
from torch import Tensor

from ..nn.backpropagation import Backpropagates, Backpropagation, Rotated
from ..nn.shared_labels import shared_label
from ..tensors import per_sample
from .base import ConditionalDenoiser, Denoiser, PreconditionedNetwork, shallow_copy
from .whitening import PrincipalMaps, Whitening

__all__ = [
    "Coefficients",
    "ConditionalPreconditioned",
    "Conditioned",
    "DataPrediction",
    "EDMPrediction",
    "FlowPrediction",
    "NoisePrediction",
    "Parametrization",
    "Preconditioned",
    "ScorePrediction",
    "VPrediction",
    "share_of_network",
]


class Coefficients(NamedTuple):
    """The factors of the state and of the network's output."""

    skip: Tensor
    out: Tensor


@dataclass(frozen=True)
class Parametrization(abc.ABC):
    """What the network predicts.

    Arguments:
        scale: The standard deviation of the data, in the units of the state.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            name = type(self).__name__
            raise ValueError(f"{name} needs scale > 0, the standard deviation of data, got {self.scale:g}")

    @abc.abstractmethod
    def coefficients(self, level: Tensor) -> Coefficients:
        """The coefficients (c_skip, c_out), each of the shape of `level`."""


class DataPrediction(Parametrization):
    """F = E[x_0 | x]."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(torch.zeros_like(level), torch.ones_like(level))


class NoisePrediction(Parametrization):
    """F = E[z | x], the ε of DDPM (Ho et al., 2020)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(torch.ones_like(level), -level)


class ScorePrediction(Parametrization):
    """F = σ ∇ log p_σ(x), the scaled score of NCSN (Song & Ermon, 2019)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(torch.ones_like(level), level)


class VPrediction(Parametrization):
    """F = α E[z | x] - σ E[x_0 | x] with α² + σ² = 1, the v of Salimans & Ho (2022)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(1 / (1 + level**2), -level * torch.rsqrt(1 + level**2))


class FlowPrediction(Parametrization):
    """F = E[z - x_0 | x], the velocity of flow matching (Lipman et al., 2023)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(1 / (1 + level), -level / (1 + level))


class EDMPrediction(Parametrization):
    """F has unit variance at every level, and -F is the velocity in arctan(σ/scale) (Karras et al., 2022, Table 1)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        total = level**2 + self.scale**2
        return Coefficients(self.scale**2 / total, level * self.scale * torch.rsqrt(total))


Precision = Literal["float32", "bfloat16"]
_FADING = math.log(1.3)  # the part of the log-levels below the trusted one in which the network fades in
_Self = TypeVar("_Self", bound="WithNetwork")


def share_of_network(level: Tensor, trusted: Tensor | float) -> Tensor:
    """The weight of a network next to the baseline that it corrects: 0 from the trusted level on, 1 below three quarters of it.

    It is smooth, so that solvers which choose their steps do not stop at the trusted level.

    Arguments:
        level: Noise levels, of any shape.
        trusted: The trusted level, or several that broadcast against `level`.

    Example:
        >>> share_of_network(torch.tensor([1.0, 2.0, 2.5, 3.0, 9.0]), 3.0)
        tensor([1.0000, 1.0000, 0.7776, 0.0000, 0.0000])
    """
    left = (torch.log(trusted / level) / _FADING).clamp(0, 1)
    return left**2 * (3 - 2 * left)


def check_answer(answer: Tensor, x: Tensor, name: str) -> None:
    """Raises unless a network has answered states `(B, *D)` with as many numbers: others might broadcast in silence.

    Raises:
        ValueError: If it has another shape, or is not real.
    """
    if not isinstance(answer, Tensor) or answer.shape != x.shape or not answer.is_floating_point():
        got = f"shape {tuple(answer.shape)} and {answer.dtype}" if isinstance(answer, Tensor) else type(answer).__name__
        need = f"real numbers of the shape of the state, {tuple(x.shape)}"
        raise ValueError(f"{name} must answer with {need}, got {got}: its last layer must fit the data")


def check_whitening(
    whitening: Whitening | None, parametrization: Parametrization, baseline: Denoiser | None = None
) -> None:
    """Raises unless the coefficients along principal directions are those of a parametrization, of vectors.

    Raises:
        ValueError: If there is a baseline, or the network predicts something else.
    """
    if whitening is None or (baseline is None and isinstance(parametrization, EDMPrediction)):
        return
    what = "a baseline" if baseline is not None else type(parametrization).__name__
    raise ValueError(f"whitening needs EDMPrediction and no baseline, got {what}: leave one of them out")


class WithNetwork(nn.Module):
    """A network, its parametrization and its precision: what all denoisers made of networks hold."""

    def __init__(
        self, network: nn.Module, parametrization: Parametrization | None = None, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        if precision not in get_args(Precision):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        self.network = network
        self.parametrization = parametrization or EDMPrediction()
        self.precision = precision

    def answer(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """The output of the network, which computes in its own type or in bfloat16, of shape `(B, *D)`."""
        dtype = self._type(x)
        c = shared_label(self.network, c)
        inputs = (x.to(dtype), c.to(dtype), *(() if context is None else (context.to(dtype),)))
        if self.precision == "float32":
            return self.network(*inputs)  # type: ignore[no-any-return]
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(*inputs).float()  # type: ignore[no-any-return]

    def _type(self, x: Tensor) -> torch.dtype:
        """The type of the network's inputs: that of its parameters, or float32, from which PyTorch goes to bfloat16."""
        full = self.precision == "float32"
        return next((p.dtype for p in self.network.parameters()), x.dtype) if full else torch.float32

    def full_precision(self: _Self) -> _Self:
        whole = super().full_precision()  # type: ignore[misc]
        if whole.precision == "float32":
            return whole  # type: ignore[no-any-return]
        other = shallow_copy(whole)
        other.precision = "float32"
        return other  # type: ignore[no-any-return]

    def single_precision(self: _Self) -> _Self:
        whole = super().single_precision()  # type: ignore[misc]
        if not any(p.dtype == torch.float64 for p in whole.network.parameters()):
            return whole  # type: ignore[no-any-return]
        other = shallow_copy(whole)
        other.network = copy.deepcopy(whole.network).float()
        return other  # type: ignore[no-any-return]


class _Network(WithNetwork, PreconditionedNetwork):
    """A network between affine maps."""

    def __init__(
        self,
        network: nn.Module,
        parametrization: Parametrization | None = None,
        precision: Precision = "float32",
        baseline: Denoiser | None = None,
        crossing: float = 0.3,
        trusted: float | None = None,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__(network, parametrization, precision)
        check_whitening(whitening, self.parametrization, baseline)
        if not 0 < crossing < math.inf:
            raise ValueError(f"the level where a baseline takes over must be positive, got crossing={crossing:g}")
        if trusted is not None and not trusted > 0:
            raise ValueError(f"the level above which a baseline is trusted must be positive, got trusted={trusted:g}")
        self.baseline, self.crossing, self.trusted, self.whitening = baseline, crossing, trusted, whitening

    @property
    def preconditioned(self) -> PreconditionedNetwork:
        return self

    def coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if self.whitening is None:
            return self.parametrization.coefficients(level)
        return self.whitening.maps(level).coefficients(level)

    def coordinates(self, x: Tensor) -> Tensor:
        return x if self.whitening is None else self.whitening.maps(x).coordinates(x)

    def center(self, context: Tensor | None) -> Tensor | None:
        return None

    def known(self, x: Tensor, level: Tensor, skip: Tensor, guess: Tensor | None) -> Tensor:
        if guess is None:
            return skip * x
        return guess + (x - guess) / (1 + (level / self.crossing) ** 4)

    def guess(self, x: Tensor, level: Tensor) -> Tensor | None:
        if self.baseline is None:
            return None
        dtype = self._type(x)  # that of the network, which takes its digits: float64 would cost twice as much
        guess: Tensor = self.baseline(x.to(dtype), level.to(dtype))
        return guess.to(x.dtype)

    def question(self, x: Tensor, level: Tensor, guess: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scale = self.parametrization.scale
        white = None if self.whitening is None else self.whitening.maps(x)
        inputs = torch.rsqrt(level**2 + scale**2) * x if white is None else white.inputs(x, level)
        inputs = inputs if guess is None else torch.cat((inputs, guess), 1)
        return inputs, per_sample(torch.log(level / scale) / 4, x)

    def trusting(self: _Self, level: float) -> _Self:
        if self.baseline is None:
            return self
        other = shallow_copy(self)
        other.__dict__["trusted"] = level
        return other

    def backpropagation(self) -> Backpropagation:
        trained = all(p.grad is not None for p in self.network.parameters())
        usual = self.precision == "float32" and type(self).answer is WithNetwork.answer
        own = self.network.backpropagation() if usual and trained and isinstance(self.network, Backpropagates) else None
        found = own or super().backpropagation()
        return found if self.whitening is None else Rotated(found, self.whitening.vectors)

    def _denoise(self, x: Tensor, level: Tensor, context: Tensor | None = None) -> Tensor:
        center = self.center(context)
        u = x if center is None else x - (center := center.to(x.dtype))
        if self.whitening is not None:
            found = self._whitened(u, level, self.whitening.maps(x), context)
            return found if center is None else center + found
        (skip, out), guess = self.coefficients(level), self.guess(u, level)
        if guess is not None and self.trusted is not None and bool((level >= self.trusted).all()):
            return guess if center is None else center + guess
        known = self.known(u, level, skip, guess)
        known = known if center is None else center + known  # in this order: runs are resumed to the same bits
        answer = self.answer(*self.question(u, level, guess), context)
        check_answer(answer, x, type(self.network).__name__)
        found = known + out * answer.to(x.dtype)
        if guess is None or self.trusted is None:
            return found
        # the network is asked about all states, so that the bits of one do not depend on the others
        alone = guess if center is None else center + guess
        return torch.lerp(alone.to(found.dtype), found, share_of_network(level, self.trusted).to(found.dtype))

    def _whitened(self, x: Tensor, level: Tensor, maps: PrincipalMaps, context: Tensor | None) -> Tensor:
        """The answer for states without their center, by coordinates along principal directions."""
        y, (skip, out) = maps.coordinates(x), maps.coefficients(level)
        answer = self.answer(*self.question(y, level), context)
        check_answer(answer, x, type(self.network).__name__)
        return maps.states(skip * y + out * maps.turned(answer.to(x.dtype)))


class Preconditioned(_Network, Denoiser):
    """A denoiser made of a network, which computes in its own type or in bfloat16; all else keeps the type of the state.

    Arguments:
        network: A network F(x, c) with x of shape `(B, *D)` and c, the noise label, of shape `(B,)`.
        parametrization: What F predicts; by default that of EDM.
        precision: "float32", or "bfloat16" for automatic mixed precision.
        baseline: The denoiser of a simple distribution of the data, whose answer the network sees as twice as many channels,
            `(B, 2 C, *S)`, and corrects.
        crossing: The level below which the state is corrected, and no longer the answer of the baseline.
        trusted: The level above which the answer is that of the baseline, and the network is not asked; None: no level.
        whitening: The moments of vectors, whose thin directions then have coefficients of their own, those of EDM.

    Raises:
        ValueError: If there is no such precision, `crossing` or `trusted` is not positive, or `whitening` is given with a
            baseline or another parametrization.

    Example:
        >>> from ..nn import UNet
        >>> from .exact import Gaussian
        >>> simple = Gaussian(torch.zeros(1, 8, 8), torch.full((1, 8, 8), 3.0))
        >>> before = Preconditioned(UNet(2, 1, (8,), extra=1), baseline=simple)  # its last layer is 0 at first
        >>> before(torch.ones(1, 1, 8, 8), torch.tensor(3.0)).mean().detach()
        tensor(0.2501)
    """

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self._denoise(x, level)


class ConditionalNetwork(WithNetwork, ConditionalDenoiser):
    """A network that takes contexts of a `shape`; the last channel of a context is 1 where there is none, all others are 0.

    To add one, write `conditioned`.
    """

    shape: tuple[int, ...]

    @abc.abstractmethod
    def conditioned(self, context: Tensor) -> Denoiser:
        """The denoiser for contexts `(M, *shape)`, M >= 1."""

    def given(self, context: Tensor) -> Denoiser:
        if tuple(context.shape[1:]) != self.shape or len(context) == 0:
            need = f"(M, {', '.join(map(str, self.shape))})"
            raise ValueError(f"the network takes contexts of shape {need}, got {tuple(context.shape)}")
        return self.conditioned(context)

    def free(self) -> Denoiser:
        if not self.unconditional:
            return super().free()
        weights = next(self.network.parameters(), None)
        empty = torch.zeros(1, *self.shape, device=None if weights is None else weights.device)
        empty[:, -1] = 1
        return self.given(empty)


class ConditionalPreconditioned(_Network, ConditionalNetwork):
    """A conditional denoiser made of a network: `given(context)` is a denoiser, `free()` the unconditional one.

    Arguments:
        network: A network F(x, c, context) with x of shape `(B, *D)`, c, the noise label, of shape `(B,)`, and contexts of
            shape `(B, *shape)`, whose last channel is 1 where there is no context and all others are 0.
        shape: The shape of one context, `(size,)` or `(channels, *S)` for fields.
        unconditional: Whether it has learned the distribution of data without context.
        parametrization: What F predicts; by default that of EDM.
        precision: "float32", or "bfloat16" for automatic mixed precision.
        trend: For vectors of n features, their mean as a linear function of the context, of shape `(size, n)`: the network
            learns what the trend leaves open.
        baseline: As for `Preconditioned`, of data whatever their context; and `crossing` and `trusted`.
        whitening: As for `Preconditioned`, of what the trend leaves open.

    Raises:
        ValueError: If there is no such precision, or `whitening` is given with a baseline or another parametrization.
    """

    trend: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int],
        unconditional: bool = True,
        parametrization: Parametrization | None = None,
        precision: Precision = "float32",
        trend: Tensor | None = None,
        baseline: Denoiser | None = None,
        crossing: float = 0.3,
        trusted: float | None = None,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__(network, parametrization, precision, baseline, crossing, trusted, whitening)
        self.shape = tuple(shape)
        self.unconditional = unconditional
        self.register_buffer("trend", trend)

    def conditioned(self, context: Tensor) -> Denoiser:
        return Conditioned(self, context)

    def center(self, context: Tensor | None) -> Tensor | None:
        return None if self.trend is None or context is None else context.to(self.trend.dtype) @ self.trend

    def denoise(self, x: Tensor, level: Tensor, context: Tensor) -> Tensor:
        """D(x, level | context), with a context for each state, `(B, *D)` and `(B, *shape)` to `(B, *D)`."""
        return self._denoise(x, level, context)


class DenoisesGivenContexts(Protocol):
    """A conditional denoiser that takes a context for each state."""

    def denoise(self, x: Tensor, level: Tensor, context: Tensor) -> Tensor:
        """D(x, level | context), `(B, *D)` and `(B, *shape)` to `(B, *D)`."""


class Conditioned(Denoiser):
    """E[x_0 | x_0 + σ z = x, context]: what `ConditionalPreconditioned.given` returns.

    Arguments:
        conditional: The conditional denoiser.
        context: The context of all states, or one for each state of a batch, `(M, *shape)`.
    """

    context: Tensor

    def __init__(self, conditional: DenoisesGivenContexts, context: Tensor) -> None:
        super().__init__()
        self.conditional = conditional
        self.register_buffer("context", context)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if len(self.context) not in (1, len(x)):
            need = "take one context, or one for each"
            raise ValueError(f"{len(x)} states {need}, got {len(self.context)}: use samples(index) for a part of them")
        return self.conditional.denoise(x, level, self.context.expand(len(x), *self.context.shape[1:]))

    @property
    def contexts(self) -> int:
        return len(self.context)

    def samples(self, index: Tensor) -> Denoiser:
        if len(self.context) == 1:
            return self
        return Conditioned(self.conditional, self.context[index.to(self.context.device) % len(self.context)])
