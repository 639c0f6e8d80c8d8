"""Tiny conditional models whose denoisers are known by a formula, and every way to condition them, with what it must give.

Coordinates are independent, and every denoiser is linear in each: D = k x + b, where k and b depend on the level. The formulas
here use nothing of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from scorefield.context import Context, ContextColumn
from scorefield.data import Schema
from scorefield.denoisers import ConditionalPreconditioned, Denoiser, Gaussian, NoisyClassifier
from scorefield.measurement import Mask, Measurement
from scorefield.model import Model
from scorefield.posterior import DAPS, DPS, TMPD, AnnealedLikelihood, MomentMatching, PiGDM, RePaint
from scorefield.processes import EDM
from scorefield.samplers import Heun, Sampling
from scorefield.units import Standardize

D = torch.float64
GIVEN, FREE, WEAK = 0.5, 1.3, 0.6  # the variances given a context, without one, and of the weak model
MATRIX = {
    "label": [[1.0, -0.5], [-1.0, 0.4]],
    "number": [[0.8, 0.3]],
    "table": [[1.0, -0.5], [-1.0, 0.4], [0.8, 0.3]],
}
Y, NOISE, ZETA = 0.7, 0.6, 0.3


class LinearNetwork(nn.Module):
    """The network of exactly these data: N(c A, variance) given an encoded context c, or the field c itself; N(0, free)
    without context. It is asked as EDM's parametrization asks.
    """

    def __init__(self, matrix: list[list[float]] | None, variance: float, free: float) -> None:
        super().__init__()
        self.matrix = matrix
        self.variance = variance
        self.free = free

    def forward(self, x: Tensor, c: Tensor, context: Tensor) -> Tensor:
        level = torch.exp(4 * c).reshape(-1, *(1,) * (x.ndim - 1))
        u = x * torch.sqrt(level**2 + 1)
        mean = context[:, :-1] if self.matrix is None else context[:, :-1] @ torch.tensor(self.matrix).to(x)
        flag = context[:, -1:]
        variance = torch.where(flag == 1, self.free, self.variance)
        denoised = mean + variance / (variance + level**2) * (u - mean)
        return (denoised - u / (level**2 + 1)) * torch.sqrt(level**2 + 1) / level


class TiltNetwork(nn.Module):
    """A classifier with log p(class 0 | x, σ) = -(g x_0 - 0.5)² / 2(1 + σ² g) - 0.1, where g = 0.2 / (0.2 + σ²)."""

    def __init__(self, center: float = 0.5) -> None:
        super().__init__()
        self.center = center

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        level = torch.exp(4 * c)
        u = x.flatten(1)[:, 0] * torch.sqrt(level**2 + 1)
        gain = 0.2 / (0.2 + level**2)
        first = -((gain * u - self.center) ** 2) / (2 * (1 + level**2 * gain)) - 0.1
        return torch.stack((first, torch.log1p(-torch.exp(first))), 1)


CLASSIFIER = NoisyClassifier(TiltNetwork(), names=("a", "b"))


def model(kind: str, variance: float = GIVEN, unconditional: bool = True) -> Model:
    """A model of the kind "label", "number", "table" (both) or "field"."""
    shape = (1, 2, 2) if kind == "field" else (2,)
    columns = {"label": ContextColumn("label", ("u", "v")), "number": ContextColumn("number")}
    chosen = [columns[name] for name in {"table": ("label", "number"), "field": ()}.get(kind, (kind,))]
    numbers = torch.zeros(1 if kind in ("table", "number", "field") else 0, dtype=D)
    context = Context(chosen, shape if kind == "field" else (), numbers, torch.ones_like(numbers))
    network = LinearNetwork(MATRIX.get(kind), variance, FREE)
    denoiser = ConditionalPreconditioned(network, context.row_shape, unconditional)
    x = np.zeros((5, 2, 2)) if kind == "field" else np.zeros((5, 2))
    schema = Schema.of(x, structure="grid") if kind == "field" else Schema.of(x)
    sampling = Sampling(Heun(), 3, process=EDM(0.3, 4.0))
    moments = Gaussian(torch.full(shape, 0.2, dtype=D), torch.full(shape, FREE, dtype=D))
    return Model(schema, units(shape), denoiser, moments, sampling, context)


def units(shape: tuple[int, ...]) -> Standardize:
    """Not those of the denoiser: a shift of 1, and a scale of 2."""
    return Standardize(
        shape, torch.ones(shape[0], *(1,) * (len(shape) - 1)), 2 * torch.ones(1, *(1,) * (len(shape) - 1))
    )


@dataclass(frozen=True)
class Expected:
    """What a model has been conditioned on, for the formulas."""

    label: tuple[str, ...] | None = None
    number: tuple[float, ...] | None = None
    fields: Tensor | None = None
    weight: float = 1.0
    weak: bool = False
    tilted: bool = False
    observed: tuple[tuple[int, str], ...] = field(default=())  # coordinates and methods, in order

    def means(self) -> Tensor | None:
        """The mean given each context, `(M, *D)`; None without context."""
        if self.fields is not None:
            return self.fields
        if self.label is None and self.number is None:
            return None
        label, number = self.label, self.number
        count = max(len(label or ()), len(number or ()))
        mean = torch.zeros(count, 2, dtype=D)
        if label is not None:
            mean = mean + torch.tensor([MATRIX["label"]["uv".index(each)] for each in label], dtype=D)
        if number is not None:
            mean = mean + torch.tensor(number, dtype=D)[:, None] * torch.tensor(MATRIX["number"], dtype=D)
        return mean


class Formula(Denoiser):
    """The denoiser that a model must have."""

    def __init__(self, expected: Expected, rows: Tensor | None = None) -> None:
        super().__init__()
        self.expected = expected
        self.rows = rows

    @property
    def contexts(self) -> int:
        means = self.expected.means()
        return 1 if means is None else len(means) if self.rows is None else len(self.rows)

    def samples(self, index: Tensor) -> Formula:
        return Formula(self.expected, index if self.rows is None else self.rows[index])

    def unguided(self) -> Formula:
        return Formula(replace(self.expected, weight=1.0), self.rows)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.linear(x, level)[0]

    def linear(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """D, and the derivative that it has without guidance, by which the data vary given x."""
        e, square = self.expected, level**2 + torch.zeros_like(x)
        gain = lambda variance: variance / (variance + square)  # noqa: E731
        means = e.means()
        if means is None:
            mean, k = gain(FREE) * x, gain(FREE)
        else:
            rows = torch.arange(len(x)) if self.rows is None else self.rows
            center = means.to(x)[rows % len(means)]
            mean, k = center + gain(GIVEN) * (x - center), gain(GIVEN)
            if e.weight != 1:
                other, of = (center, WEAK) if e.weak else (torch.zeros_like(center), FREE)
                mean = (1 - e.weight) * (other + gain(of) * (x - other)) + e.weight * mean
        first = torch.zeros_like(x).flatten(1).index_fill(1, torch.tensor([0]), 1.0).reshape(x.shape)
        if e.tilted:
            g = 0.2 / (0.2 + square)
            mean = mean - first * square * g * (g * x - 0.5) / (1 + square * g)
            k = k - first * square * g**2 / (1 + square * g)
        for coordinate, method in e.observed:
            at = torch.zeros_like(x).flatten(1).index_fill(1, torch.tensor([coordinate]), 1.0).reshape(x.shape)
            shift, bend = _shift(method, x, mean, k, square)
            mean, k = mean + at * shift, k + at * bend
        return mean, k


def _shift(method: str, x: Tensor, mean: Tensor, k: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """What a measured coordinate adds to D, and the derivative of that, in standard units."""
    y, noise = (Y - 1) / 2, (NOISE / 2) ** 2
    covariance = square * k
    if method == "DPS":
        return ZETA / square * covariance * torch.sign(y - mean) * 1.0, torch.zeros_like(k)
    if method == "AnnealedLikelihood":
        return square / (square + noise) * (y - x), -square / (square + noise)
    total = noise + (square / (1 + square) if method == "PiGDM" else covariance.clamp_min(0))
    return covariance * (y - mean) / total, -covariance * k / total


METHODS = [MomentMatching(), TMPD(), PiGDM(), DPS(ZETA), AnnealedLikelihood(), DAPS(), RePaint(2)]


@dataclass(frozen=True)
class Way:
    """One way to condition a model.

    Arguments:
        name: Its name, as in the documentation.
        kind: The column of the context that it needs, if any.
        apply: Conditions a model: which place it has in a pair, and how many contexts it gives.
        expect: The same, for the formulas.
    """

    name: str
    kind: str | None
    apply: Callable[[Model, int, int], Model]
    expect: Callable[[Expected, int, int, str], Expected]


FIELDS = torch.tensor([[0.3, -1.0], [0.8, 0.1]], dtype=D) + torch.tensor([0.0, 1.0], dtype=D).reshape(2, 1, 1, 1)
LABELS, NUMBERS = (("u", "v"), ("v", "u")), ((0.4, -1.2), (1.1, 0.2))  # of the first and of the second in a pair


def _context(place: int, count: int, kind: str) -> dict[str, object]:
    """What is given of a kind of context, in a place of a pair, `count` times."""
    if kind == "field":
        return {"context": (FIELDS + place)[:count, 0].numpy()}
    if kind == "number":
        return {"number": list(NUMBERS[place][:count])}
    return {"label": list(LABELS[place][:count])}


def _expected(before: Expected, place: int, count: int, kind: str) -> Expected:
    if kind == "field":
        return replace(before, fields=(FIELDS + place)[:count])
    if kind == "number":
        return replace(before, number=NUMBERS[place][:count])
    return replace(before, label=LABELS[place][:count])


def kind_of(model: Model) -> str:
    """The kind of context by which guidance goes."""
    names = model.context.names
    return "field" if model.context.shape else "label" if "label" in names else "number"


def _measured(place: int, like: Model) -> Measurement:
    keep = torch.zeros(like.schema.layout.shape, dtype=torch.bool)
    keep.view(-1)[place] = True
    return Measurement(Mask(keep), [Y], NOISE)


def _observed(method: object) -> Way:
    name = type(method).__name__
    return Way(
        name,
        None,
        lambda m, place, count: m.observe(_measured(place, m), method),
        lambda e, place, count, kind: replace(e, observed=(*e.observed, (place, name))),
    )


def _plain(name: str, kind: str) -> Way:
    return Way(
        name,
        kind,
        lambda m, place, count: m.condition(**_context(place, count, kind)),
        lambda e, place, count, _: _expected(e, place, count, kind),
    )


WAYS = [
    _plain("labels", "label"),
    _plain("numbers", "number"),
    _plain("fields", "field"),
    Way(
        "classifier",
        None,
        lambda m, place, count: m.guide(CLASSIFIER, "a"),
        lambda e, place, count, kind: replace(e, tilted=True),
    ),
    Way(
        "classifier-free",
        "any",
        lambda m, place, count: m.condition(**_context(place, count, kind_of(m)), guidance=1.5),
        lambda e, place, count, kind: replace(_expected(e, place, count, kind), weight=1.5),
    ),
    Way(
        "autoguidance",
        "any",
        lambda m, place, count: m.condition(
            **_context(place, count, kind_of(m)), guidance=1.2, weak=model(_base(m), WEAK, False)
        ),
        lambda e, place, count, kind: replace(_expected(e, place, count, kind), weight=1.2, weak=True),
    ),
    *(_observed(method) for method in METHODS),
]


def _base(model: Model) -> str:
    return "field" if model.context.shape else "table" if len(model.context.names) == 2 else model.context.names[0]


def base(*ways: Way) -> str:
    """The kind of model that some ways need."""
    kinds = {way.kind for way in ways} - {None, "any"}
    if "field" in kinds:
        return "field"
    return "table" if len(kinds) == 2 else kinds.pop() if kinds else "label"
