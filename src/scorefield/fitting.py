"""From data to a trainer: every choice that the user left open is made here, with its reason."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from .context import Context, linear_regression
from .data import Rows, Schema, Summary, cells, summarize
from .denoisers import ConditionalPreconditioned, DenoiserModule, EDMPrediction, Gaussian, Preconditioned
from .metrics import loss_gap
from .model import Model
from .nn import FourierFeatures, choose
from .noise_levels import NoiseLevels, choose_noise_levels, diameter
from .objectives import DenoisingScoreMatching, LevelDistribution, LogNormal, WithLowTail
from .rng import Samples, permutation
from .samplers import ExponentialAdams, Sampler, Sampling
from .settings import Data, Network, Training
from .standardize import Standardize
from .training import Feed, Trainer, losses_by_level, parts_of

__all__ = ["Fitting", "threads"]

_SAMPLE = 4096  # how many data calibration looks at, at most
_EFFORT = 2e11  # multiplications that the largest distance between data is worth; beyond, it is known within bounds
_NUMBERS = 2**23  # and how many numbers these are
_FEW = 2048  # data of which a representative part is held out
_EASY = 0.02  # standard deviations, down to which 24 steps of a sampler suffice for grids
_KEPT = 4096  # how many held-out data are kept to measure losses on, at most


@dataclass(frozen=True)
class Split:
    """Which rows are trained on, and which are held out.

    Arguments:
        train, held_out: The rows.
        places: Where they stand in the data, of both.
    """

    train: Rows
    held_out: Rows
    places: tuple[np.ndarray, np.ndarray]


def split(rows: Rows, part: float, seed: int) -> Split:
    """Holds out a part of the rows, at least one if any, chosen by the seed; two are left to train on.

    Of few data, a random part may miss what the others show. Up to 2,048 rows, the part is the one of 256 random ones that is
    closest to the rest in energy distance (after Joseph & Vakayil, 2022, SPlit).
    """
    count = max(0, min(len(rows) - 2, max(1, round(part * len(rows))))) if part > 0 else 0
    order = permutation(len(rows), seed, -1)
    if count == 0:
        whole = np.arange(len(rows))
        return Split(rows, rows, (whole, whole))
    if 8 <= len(rows) <= _FEW:
        order = _representative(rows, count, seed)
    return Split(rows.subset(order[count:]), rows.subset(order[:count]), (order[count:], order[:count]))


def _representative(rows: Rows, count: int, seed: int) -> np.ndarray:
    """An order of the rows whose first `count` have the least energy distance to the others, of 256 orders."""
    x = rows.take(range(len(rows)), torch.float64).flatten(1)
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-12)
    orders = np.stack([permutation(len(rows), seed, -10 - i) for i in range(256)])
    weights = torch.full((len(rows), len(orders)), -1.0 / (len(rows) - count), dtype=torch.float64)
    weights.scatter_(0, torch.from_numpy(orders[:, :count].T.copy()), 1.0 / count)
    energy = -(weights * (torch.cdist(x, x) @ weights)).sum(0)
    return orders[int(energy.argmin())]


class Fitting:
    """A fit in the making.

    Arguments:
        x: The data, in any form that `Schema.of` takes.
        data: How to read them.
        network: A network F(x, c) of your own, or what to build.
        training: How to train it.
        calibration: Noise levels to use in the place of those read off the data.
        seed: The seed of everything that is random.
        device: Where to train: "auto" takes a GPU if there is one.
        context: What is given beside each datum, for a model of the law of data given it: labels `(N,)`, numbers `(N, P)`, a
            DataFrame, or fields on the grid of the data.

    Raises:
        TypeError: If the data are no numbers.
        ValueError: If the data cannot be learned from; the message names the place and the mend.
    """

    def __init__(
        self,
        x: Any,
        data: Data | None = None,
        network: nn.Module | Network | None = None,
        training: Training | None = None,
        calibration: NoiseLevels | None = None,
        seed: int = 0,
        device: str = "auto",
        context: Any = None,
    ) -> None:
        data = data or Data()
        self.seed = seed
        self.device = torch.device(_device(device))
        self.schema = Schema.of(x, data.structure, data.channels)
        rows = self.schema.rows(x)
        self.summary = summarize(rows, self.schema.columns)
        self.split = split(rows, data.held_out, seed)
        self.standardize, self.cells = _units(self.summary), None
        if data.dequantize:
            self.cells = cells(self.schema.integer, self.summary.step, self.standardize.std)
            self.summary = _spread(self.summary, self.cells)
            self.standardize = _units(self.summary)
        wish = training or Training()
        some = self._some(self.split.train, _SAMPLE, stream=-2)
        self.context: Context | None = None
        self.contexts: tuple[Tensor, Tensor] | None = None  # of what is trained on, and of what is held out
        self.trend: Tensor | None = None
        self.open = some  # what contexts leave open of some data
        if context is not None:
            self._give(context, wish)
        elif wish.unconditional != Training().unconditional:
            what = f"unconditional={wish.unconditional:g} leaves out contexts, and there are none"
            raise ValueError(f"{what}: give context=…, or leave it out")
        if calibration is None:
            reach = diameter(self.split.train, self.standardize, limit=_EFFORT)
            calibration = choose_noise_levels(
                self.open, _step(self.summary, self.standardize), reach, cell=self._finest
            )
            calibration = calibration if self.trend is None else calibration.narrower()
        self.calibration = calibration
        self.network, why = self._network(network)
        self.choices = [("structure", self.schema.structure, self.schema.reason), ("network", _size(self.network), why)]
        wish = wish if self.context is None else replace(wish, reference=0)
        self.training, choices = _resolve(wish, some, len(self.split.train), self.device)
        self.choices += choices
        self.moments = _moments(self.summary, self.standardize, some, self._width).to(self.device)

    def _give(self, context: Any, wish: Training) -> None:
        """Takes what is given beside the data."""
        if wish.reference:
            what = f"reference={wish.reference} takes other data for likely origins of a noisy one, which a context rules out"
            raise ValueError(f"{what}: leave it out")
        self.context = Context.of(context, self.schema.inner_shape)
        whole = self.context(context)
        if len(whole) != self.summary.count:
            raise ValueError(
                f"there must be one context for each datum, got {len(whole)} for {self.summary.count} data"
            )
        train, held_out = (whole[torch.from_numpy(np.array(places))] for places in self.split.places)
        self.contexts = train, held_out
        if len(self.schema.inner_shape) == 1:
            chosen = self._chosen(self.split.train, _SAMPLE, stream=-2)
            self.trend = linear_regression(train[chosen], self.open)
            self.open = self.open - train[chosen] @ self.trend

    def _some(self, rows: Rows, count: int, stream: int) -> Tensor:
        """Up to `count` standardized rows, of shape `(M, *D)`."""
        return self._ready(rows, self._chosen(rows, count, stream))

    def _chosen(self, rows: Rows, count: int, stream: int) -> list[int]:
        """Which rows these are."""
        count = min(count, max(256, _NUMBERS // max(1, math.prod(rows.shape[1:]))))
        return list(permutation(len(rows), self.seed, stream)[:count] if len(rows) > count else range(len(rows)))

    def _ready(self, rows: Rows, chosen: list[int]) -> Tensor:
        return self.standardize(rows.take(chosen, torch.float64)).float()

    def _network(self, network: nn.Module | Network | None) -> tuple[nn.Module, str]:
        if isinstance(network, nn.Module):
            _fits(network, self.schema.inner_shape, self.context)
            return network, f"given: a {type(network).__name__}"
        wish = network or Network()
        shape, count = self.schema.inner_shape, len(self.split.train)
        with torch.random.fork_rng():  # first weights come from PyTorch's own generator, which is left as it was
            torch.manual_seed(self.seed)
            step = self._finest if self.calibration.tail else None
            size = 0 if self.context is None else self.context.size
            given = {"beside" if self.context is not None and self.context.shape else "context": size}
            return choose(
                shape, count, wish.widths, wish.depth, wish.patch, wish.attention, wish.periodic, **given, step=step
            )

    @property
    def _width(self) -> Tensor:
        """The widths of the cells in standard units, 0 where data are points."""
        std = self.standardize.std.double().cpu()
        return torch.zeros_like(std) if self.cells is None else self.cells / std

    @property
    def _finest(self) -> float | None:
        """The width of the finest cells in standard units."""
        return None if self.cells is None else float(self._width[self._width > 0].min())

    def _placed(self, x: Tensor, purpose: str) -> Tensor:
        """Standardized data at fixed places in the cells that they stand for."""
        if self.cells is None:
            return x
        place = Samples(self.seed, 0, len(x), purpose).uniform(tuple(x.shape), x.dtype)
        return x + self._width.to(x) * (place - 0.5)

    @cached_property
    def trainer(self) -> Trainer:
        """The training to be run."""
        precision = "bfloat16" if self.training.precision == "bfloat16" else "float32"
        left = self.open.square().mean() + self._width.square().mean() / 12
        scale = 1.0 if self.trend is None else float(left.sqrt())
        denoiser: DenoiserModule
        if self.context is None:
            denoiser = Preconditioned(self.network, EDMPrediction(scale), precision)
        else:
            learned = (self.context.row_shape, self.training.unconditional > 0)
            denoiser = ConditionalPreconditioned(self.network, *learned, EDMPrediction(scale), precision, self.trend)
        denoiser = denoiser.to(self.device)
        feed = Feed(
            self.split.train,
            self.standardize.to(self.device),
            self.training.batch or 1,
            self.seed,
            self.device,
            None if self.contexts is None else self.contexts[0],
            None if self.cells is None else self._width,
        )
        chosen = self._chosen(self.split.held_out, _KEPT, stream=-3)
        held_out = self._placed(self._ready(self.split.held_out, chosen), "held-out cell").to(self.device)
        context = None if self.contexts is None else self.contexts[1][chosen].to(self.device)
        objective = DenoisingScoreMatching(_levels(self.calibration), scale)
        sets = 1 if self.context is None else self.context.sets
        return Trainer(denoiser, feed, held_out, objective, self.training, self.seed, context, sets)

    def _sampling(self) -> tuple[Sampler, int]:
        """The sampler and its steps: the probability flow for vectors; for grids the reverse SDE, which forgets on its way the
        errors of a network that learns from few looks at large data (docs/samplers.md has what was measured)."""
        if self.trainer.held_out.ndim == 2:
            return ExponentialAdams(order=3), 32
        fine = _EASY if self.calibration.tail else 0.0  # levels below are there for densities: their steps come on top
        below = float(self.calibration.process().time(torch.tensor(fine).clamp_min(self.calibration.sigma_min)))
        return ExponentialAdams(order=2, eta=1.0), math.ceil(24 / (1 - below))

    def finish(self) -> tuple[Model, dict[str, Any]]:
        """Ends training: the model with the best weights, and what was measured on held-out data, as plain data."""
        chosen, loss = self.trainer.finish()
        denoiser = self.trainer.denoiser.cpu()
        process = self.calibration.process()
        sampling = Sampling(*self._sampling(), process=process)
        model = Model(self.schema, self.standardize, denoiser, self.moments, sampling, self.context).to("cpu")
        levels = torch.logspace(math.log10(process.sigma_min), math.log10(process.sigma_max), 17)
        count = max(64, min(512, 2**18 // self.moments.mean.numel()))
        held_out = self.trainer.held_out.cpu()[:count]
        train = self._some(self.split.train.subset(range(min(count, len(self.split.train)))), count, stream=-4)
        train = self._placed(train, "train cell")
        of_held_out = None if self.trainer.context is None else self.trainer.context.cpu()
        of_train = None if self.contexts is None else self.contexts[0]
        objective = self.trainer.objective
        zero = Gaussian(torch.zeros_like(held_out[0]), torch.ones_like(held_out[0]))
        draws = max(1, min(8, 1024 // max(1, len(held_out)))) if held_out.ndim == 2 else 1
        unseen, seen, nothing = (
            torch.stack([losses_by_level(d, x, objective, levels, seed, c) for seed in range(draws)]).mean(0)
            for d, x, c in (
                (denoiser, held_out, of_held_out),
                (denoiser, train.cpu(), of_train),
                (zero, held_out, None),
            )
        )
        by_level = {"level": levels, "loss": unseen.mean(0), "train_loss": seen.mean(0), "zero_loss": nothing.mean(0)}
        return model.eval(), {
            "weights": chosen,
            "held_out_loss": loss,
            "stopped": self.trainer.stopped,
            "steps": self.trainer.step,
            "seconds": self.trainer.seconds,
            "by_level": {name: values.tolist() for name, values in by_level.items()},
            "on_the_way": {
                "level": parts_of(objective.levels).tolist(),
                "step": [step for step, _ in self.trainer.parts],
                "loss": [losses for _, losses in self.trainer.parts],
            },
            "warning": self._by_heart(chosen, levels, seen, unseen),
        }

    def _by_heart(self, chosen: str, levels: Tensor, seen: Tensor, unseen: Tensor) -> str:
        """Says so if the network has learned its data by heart, or was about to; "" if not."""
        mend = "more data, a smaller network or a shorter budget help"
        apart = self.split.train is not self.split.held_out
        if apart and min(len(seen), len(unseen)) > 1 and (gap := loss_gap(levels, seen, unseen)).suspicious:
            return f"{gap.verdict.rstrip('.')} ({mend})."
        if chosen == "best on the way":
            step = min(self.trainer.history, key=lambda row: row[1])[0]
            where = f"from step {step:,} on the network learned its data by heart"
            return f"The held-out loss rose: {where}; the weights of that step are kept ({mend})."
        return ""


@contextlib.contextmanager
def threads(fitting: Fitting) -> Iterator[None]:
    """As many threads as pay: one for small networks on the CPU, which several slow down; those there are for others."""
    before = torch.get_num_threads()
    vectors = len(fitting.schema.inner_shape) == 1
    width = max((p.shape[0] for p in fitting.network.parameters() if p.ndim), default=1)
    if fitting.device.type == "cpu" and vectors and width * (fitting.training.batch or 1) < 2**19:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"there is no device {device!r} here: use device='cpu' ({str(error).splitlines()[0]})"
        ) from error
    return device


def _units(summary: Summary) -> Standardize:
    """One mean and deviation a column for vectors, one a channel for grids: neighbours keep their proportions."""
    shape = tuple(summary.mean.shape)
    if len(shape) == 1:
        return Standardize(shape, summary.mean, summary.variance.sqrt())
    axes = tuple(range(1, len(shape)))
    mean = summary.mean.mean(axes, keepdim=True)
    variance = (summary.variance + (summary.mean - mean) ** 2).mean(axes, keepdim=True)
    return Standardize(shape, mean, variance.sqrt())


def _spread(summary: Summary, cells: Tensor | None) -> Summary:
    """The same of data that are spread over cells: the variances grow by width²/12 (Sheppard, 1898)."""
    return summary if cells is None else replace(summary, variance=summary.variance + cells**2 / 12)


def _step(summary: Summary, units: Standardize) -> float | None:
    """The smallest step between neighbouring values, in standard units, if all data lie on lattices."""
    step = (summary.step / units.std.double()).reshape(-1)
    return float(step.min()) if bool((step > 0).all()) else None


def _levels(calibration: NoiseLevels) -> LevelDistribution:
    """The law of training levels."""
    law = LogNormal(calibration.level_mean, calibration.level_std)
    return WithLowTail(law, calibration.sigma_min, calibration.tail) if calibration.tail else law


def _moments(summary: Summary, units: Standardize, some: Tensor, width: Tensor) -> Gaussian:
    """The mean and the covariance of standardized data: the full one for vectors, variances for grids.

    Places in cells of that width are independent of all else: they add to the variances alone.
    """
    mean = units(summary.mean[None])[0]
    variance = summary.variance / units.std.double() ** 2
    if mean.ndim > 1 or mean.numel() > 256 or len(some) < 4 * mean.numel():
        return Gaussian(mean.float(), variance.float())
    apart = some.double() - some.double().mean(0)
    covariance = apart.T @ apart / len(some)
    seen = covariance.diagonal()  # nothing, where a value is so rare that some data lack it
    scale = torch.where(seen > 0, ((variance - width**2 / 12) / seen).sqrt(), 0.0)
    covariance = covariance * scale * scale[:, None]  # the variances are known from all data, correlations from some
    covariance.diagonal().copy_(variance)
    return Gaussian(mean.float(), covariance.float())


def _fits(network: nn.Module, shape: tuple[int, ...], context: Context | None = None) -> None:
    """Asks a given network once: an answer of another shape could broadcast, and be trained in silence.

    Raises:
        ValueError: If its answer is not of the shape of the data.
    """
    p = next(network.parameters(), torch.empty(0))
    x = torch.zeros(2, *shape, dtype=p.dtype, device=p.device)
    before = {module: module.training for module in network.modules()}
    with torch.no_grad(), torch.random.fork_rng():
        given = () if context is None else (context.empty().expand(2, *context.row_shape).to(x),)
        answer = network.eval()(x, x.new_zeros(2), *given)
    for module, training in before.items():
        module.training = training
    if not isinstance(answer, Tensor) or answer.shape != x.shape:
        got = f"shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        need = f"x of shape {tuple(x.shape)} and c of shape (2,) with the shape of x"
        raise ValueError(f"the network must answer {need}, got {got}: its first and last layer must fit the data")


def _size(network: nn.Module) -> str:
    count = sum(p.numel() for p in network.parameters())
    seen = network.network if isinstance(network, FourierFeatures) else network
    return f"{type(seen).__name__}, {count:,} parameters"


def _resolve(
    training: Training, some: Tensor, count: int, device: torch.device
) -> tuple[Training, list[tuple[str, str, str]]]:
    """Fills in what the user left open."""
    grid, numbers = some.ndim > 2, some[0].numel()
    reasons: list[tuple[str, str, str]] = []

    def take(name: str, value: Any, reason: str) -> None:
        nonlocal training
        if getattr(training, name) in (None, "auto"):
            training = replace(training, **{name: value})
            reasons.append((name, f"{value:g}" if isinstance(value, float) else str(value), reason))

    if training.minutes is training.steps is training.epochs is None:
        if grid:
            take("minutes", 10.0, "the default budget for grids; more time gives better samples")
        else:
            steps = int(min(30_000, max(200, min(count**1.5 / 2, 200 * count**0.5))))
            take(
                "steps",
                steps,
                f"the default for vectors: {count:,} data bear about so many before they are known by heart",
            )
    take("batch", max(4, min(64, 100_000 // numbers)) if grid else 256, "small: many steps teach more than large ones")
    take("rate", 3e-3 if grid else 2e-3, "the rate of AdamW for biases, norms and the outermost layers")
    why = "the rate of Muon for the matrices inside" if grid else "AdamW alone is faster for small networks"
    take("matrix_rate", 0.015 if grid else 0.0, why)
    why = (
        "other data take noise from the targets; the training loss then lies below the held-out one"
        if grid
        else "not for vectors"
    )
    take("reference", 4096 if grid else 0, why)
    if training.precision == "auto":
        volume = some.ndim == 5 and device.type == "cpu"  # where PyTorch 2.13 gives wrong gradients for a side of 2
        fast = grid and not volume and _bfloat16_pays(device)
        reason = "bfloat16 is faster here" if fast else "bfloat16 would not pay here"
        take("precision", "bfloat16" if fast else "float32", reason)
    return training, reasons


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether a matrix product in bfloat16 takes less than two thirds of the time of float32, by measurement."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    times = []
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype)
        best = math.inf
        for _ in range(4):
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
        times.append(best)
    return times[1] < times[0] * 2 / 3
