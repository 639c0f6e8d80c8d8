"""Samplers side by side: the same seeds drawn with each, compared with held-out data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .bars import shown
from .conditions import Condition, ContextCondition, Stage
from .data import Rows
from .denoisers import Denoiser
from .display import Facts, displayed, joined
from .distributed import ProcessLostError, decided
from .evaluation import DISTANCES, RealData, RunData, standard
from .evaluation.drawing import drawn as drawn_by_all
from .mcmc import Langevin
from .metrics import Distance, nearest, rejected, with_floor
from .model import Model
from .progress import mapped, part
from .runs import Run, teacher_of
from .samplers import (
    DDIM,
    DPM,
    Ancestral,
    AnnealedLangevin,
    Churn,
    Consistency,
    DormandPrince,
    EulerMaruyama,
    Heun,
    Sampling,
    SamplingLike,
    UniPC,
)
from .schedules import DEFAULT_SCHEDULE, LogLevel

__all__ = ["Comparison", "SamplerResult", "compare", "compare_model", "compare_with_teacher", "resolved", "usual"]

_VECTORS, _GRIDS = 1200, 24  # how many are kept for pictures
_FEW = (1, 2, 4)  # evaluations of a model that was distilled
_ALIKE = 0.7  # of the distance between real data: samples that lie closer to each other look alike


@dataclass(frozen=True)
class SamplerResult:
    """What was measured of one sampler.

    Arguments:
        sampling: The sampler, with its steps.
        evaluations, seconds: How often the network was evaluated for each sample, on average; how long all took to draw.
        distances: To held-out data, with their floors: the same distances between real data and real data.
        diversity: The median distance of a sample to the nearest other one, over the same of as many real data.
        apart: How far the samples are from those of the same seeds of the first sampler: the root mean square, in
            standard deviations of the data.
        tests: The tests of the samples against held-out data, those of `evaluate` and the report; none of few data.
        teacher: The model that the samples are of, where it is not the one that is compared: what it was distilled from.
    """

    sampling: Sampling
    evaluations: float
    seconds: float
    distances: tuple[Distance, ...]
    diversity: float
    apart: float
    tests: tuple[Distance, ...] = ()
    teacher: str = ""

    @property
    def name(self) -> str:
        """The sampler, and whose it is if it is another model's."""
        return f"{self.sampling} of {self.teacher}" if self.teacher else str(self.sampling)

    @property
    def rejected(self) -> tuple[Distance, ...]:
        """The tests that distinguish the samples from real data, at 5 % for all tests of this sampler together."""
        return rejected(self.tests)

    @property
    def covered(self) -> bool:
        """Whether no test distinguishes the samples from held-out data; without tests, whether no distance does."""
        return not self.rejected if self.tests else all(distance.covered for distance in self.distances)


@displayed
@dataclass(frozen=True)
class Comparison:
    """Samplers side by side.

    Arguments:
        count, seed: The number of samples of each sampler, and their seed.
        rows: What was measured, a row for each sampler.
        failed: The samplers that failed, with the reason.
        samples, held_out: The first samples of each row, and held-out data, for pictures: in the units of the data and the
            layout of networks.
        columns: The names of the columns of a table.
    """

    count: int
    seed: int
    rows: tuple[SamplerResult, ...]
    failed: tuple[tuple[Sampling, str], ...]
    samples: tuple[np.ndarray, ...]
    held_out: np.ndarray
    columns: tuple[str, ...] | None = None

    def _facts(self) -> Facts:
        facts = {}
        for row in self.rows:
            first, speed = row.distances[0], self.count / row.seconds
            what = f"{first.name} {first.value:.3g} (real data: {first.high:.3g})"
            facts[row.name] = f"{what}, {row.evaluations:.4g} evaluations, {speed:,.4g} samples per second"
        facts |= {str(sampling): reason for sampling, reason in self.failed}
        return f"Comparison of {self.count:,} samples each", facts

    @property
    def verdict(self) -> tuple[str, ...]:
        """What it means, in sentences."""
        good, several = [row for row in self.rows if row.covered], len(self.rows) > 1
        tests = len(self.rows[0].tests)
        by = f"By the {tests} tests of the report" if tests else "By their distances to held-out data"
        size = f"{by}, with {self.count:,} samples"
        if good:
            fastest = min(good, key=lambda row: row.seconds)
            who = f"{len(good)} of {len(self.rows)} samplers" if several else fastest.name
            said = [
                f"{size}{' of each' if several else ''}, no difference from held-out data was found in the samples of {who}."
            ]
            cost = f"{_rate(self.count / fastest.seconds)}, {fastest.evaluations:,.4g} evaluations of the network each"
            said.append(f"The fastest of them is {fastest.name}: {cost}." if several else f"It draws {cost}.")
        else:
            best = min(self.rows, key=lambda row: (len(row.rejected), row.distances[0].value))
            said = [f"{size}, the samples {'of every sampler ' * several}differ from held-out data."]
            if tests:
                fewest = f"{len(best.rejected)} of {tests} tests find a difference"
                said.append(f"The closest are those of {best.name}: {fewest}." if several else f"{fewest}.")
            near, high = (f"{number:.3g}" for number in (best.distances[0].value, best.distances[0].high))
            what = f"The {best.distances[0].name} {'of the closest ' * several}is {near}"
            said.append(f"{what}; between two sets of real data it is rarely more than {high}.")
        for those, how, why in (
            ([row for row in self.rows if row.diversity < _ALIKE], "closer to", "look alike"),
            ([row for row in self.rows if row.diversity > 1 / _ALIKE], "farther from", "contain noise"),
        ):
            if those:
                names = joined([row.name for row in those])
                said.append(f"Samples of {names} are {how} each other than real data are: they {why}.")
        return tuple(said)

    def plain(self) -> dict[str, Any]:
        """The same as plain data, without the samples."""
        rows = [
            {
                "sampler": str(row.sampling),
                "teacher": row.teacher,
                "evaluations": row.evaluations,
                "seconds": row.seconds,
                "per_second": self.count / row.seconds,
                "distances": [asdict(distance) for distance in row.distances],
                "diversity": row.diversity if math.isfinite(row.diversity) else None,
                "apart": row.apart,
                "tests": [asdict(test) for test in row.tests],
                "rejected": [test.name for test in row.rejected],
            }
            for row in self.rows
        ]
        failed = [{"sampler": str(sampling), "reason": reason} for sampling, reason in self.failed]
        return {"count": self.count, "seed": self.seed, "verdict": list(self.verdict), "rows": rows, "failed": failed}


def compare(
    run: Run | RunData,
    samplings: Sequence[SamplingLike] = (),
    x: Any | None = None,
    count: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    device: str | None = None,
    watch: Callable[[str], None] = lambda line: None,
    progress: bool | None = None,
) -> Comparison:
    """Draws the same seeds with several samplers, compares them with held-out data, and keeps `compare.json` in the run.

    Processes that `torchrun` has started share the drawing, if all of them call it.

    Arguments:
        run: The run. If its model has a context, samples are drawn given those of held-out rows, unless a `RunData` is
            conditioned otherwise.
        samplings: The samplers, with their steps and schedules, as `Model.sample` takes them; `usual` ones by default.
        x: The data that were fitted; read again from where they came from by default.
        count, seed: The number of samples that each sampler draws, 1,000 vectors or 256 grids by default; their seed.
        steps: The number of steps where a sampling does not say it; the model's own number by default.
        device: The device to draw them on; by default a GPU if there is one, or that of a `RunData`.
        watch: Is called with a line of text as each sampler has finished.
        progress: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line of what takes long.

    Raises:
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run, or a sampling cannot be used.
        RuntimeError: If every sampler fails.
    """
    opened = RunData.of(run, x, device)
    data = (opened if isinstance(run, RunData) else opened.conditioned()).independent()
    real = RealData(data.model, data.train, data.held_out, data.matched)
    with shown(progress):
        comparison = _compared(real, samplings, count, seed, steps, watch, _teacher(data))
    decided(lambda: data.run.write("compare.json", comparison.plain()))
    return comparison


def compare_with_teacher(data: RunData, count: int | None = None, seed: int = 0) -> Comparison | None:
    """A model that was distilled, as it draws by default, next to the model that it was distilled from.

    Arguments:
        data: The run of the distilled model.
        count, seed: As in `compare`.

    Returns:
        A row for each; None for other models, and where the run of the teacher is not there any more.
    """
    data = data.independent()
    teacher = _teacher(data)
    if teacher is None:
        return None
    real = RealData(data.model, data.train, data.held_out, data.matched)
    return _compared(real, [data.model.sampling.replace(process=None)], count, seed, None, lambda line: None, teacher)


def _teacher(data: RunData) -> tuple[str, Model] | None:
    """The model that a model was distilled from, with its run: under the same conditions, and guided as it was."""
    run = None if data.model.denoiser.distilled_from is None else teacher_of(data.run)
    if run is None:
        return None
    about = data.run.read("run.json")["asked"]["distilled"]
    if about["conditions"]:  # which are known in words alone
        return None
    model, given = run.model.to(data.model.device), ContextCondition.among(data.model.conditions)
    if given is not None:
        low, high = (math.inf if end is None else float(end) for end in about["interval"])
        guided = ContextCondition(given.rows, given.missing, float(about["guidance"]), (low, high))
        model = model.replace(conditions=(guided,))
    return run.path.name, model


def compare_model(
    model: Model,
    train: Rows,
    held_out: Rows,
    samplings: Sequence[SamplingLike] = (),
    count: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    watch: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Draws the same seeds with several samplers and compares them with held-out data.

    Arguments:
        model: The model.
        train, held_out: The rows it was trained on, for the floor, and held-out rows.
        samplings, count, seed, steps, watch: As in `compare`.

    Raises:
        ValueError: If there are fewer than 4 real data, fewer than 2 samples are asked for, or a sampling cannot be used.
        RuntimeError: If every sampler fails.
    """
    return _compared(RealData(model, train, held_out), samplings, count, seed, steps, watch)


def _compared(
    real: RealData,
    samplings: Sequence[SamplingLike],
    count: int | None,
    seed: int,
    steps: int | None,
    watch: Callable[[str], None],
    teacher: tuple[str, Model] | None = None,
) -> Comparison:
    model, held_out = real.model, real.fresh
    model.schema.require_one_length("compare", "compare samples with held-out rows yourself")
    vectors = len(model.schema.inner_shape) == 1
    count = (1000 if vectors else 256) if count is None else count
    if count < 2 or len(held_out) < 2:
        what = f"got count={count} and {len(held_out)}"
        raise ValueError(f"sets of samples and of held-out data are compared, 2 or more of each: {what}")
    chosen = [resolved(Sampling.of(each), model, steps) for each in samplings or usual(model, steps)]
    with part(0, 0):  # too short to count
        for sampling in chosen:
            _tried(model, sampling, seed)
        first = Consistency() if model.denoiser.distilled_from is not None else DDIM()
        _ = next(model.batches(count, seed, Sampling(first, 2)))  # first calls are slow: they are not timed
    drawn, failed = [], []
    asked = [(model, each, "") for each in chosen]
    if teacher is not None:
        asked.append((teacher[1], resolved(Sampling(), teacher[1]), teacher[0]))
    for i, (source, sampling, name) in enumerate(asked):
        try:
            with part(0.8 * i / len(asked), 0.8 * (i + 1) / len(asked), str(sampling)):
                drawn.append(_Drawn.of(source, sampling, count, seed, name))
        except ProcessLostError:
            raise
        except RuntimeError as error:
            failed.append((sampling, str(error)))
            watch(f"{sampling}: {error}")
        else:
            watch(f"{sampling}: {count:,} samples in {drawn[-1].seconds:.3g} s")
    if not drawn:
        raise RuntimeError(f"every sampler failed: {failed[0][0]}: {failed[0][1]}")
    shown = _VECTORS if vectors else _GRIDS
    pack, unpack = model.schema.pack, model.schema.unpack  # samples rounded and clipped to the form of the data
    with part(0.8, 1, "distances"):
        rows = _measured(real, drawn)
    return Comparison(
        count,
        seed,
        rows,
        tuple(failed),
        tuple(_shown(unpack(pack(each.x[:shown]))) for each in drawn),
        _shown(held_out.take(range(min(shown, len(held_out)))).to(torch.float32)),
        tuple(map(str, model.schema.columns)) if vectors and model.schema.columns else None,
    )


def _rate(value: float) -> str:
    """Samples per second, or seconds for each sample."""
    return f"{value:,.3g} samples a second" if value >= 1 else f"one sample in {1 / value:,.3g} s"


def resolved(sampling: Sampling, model: Model, steps: int | None = None) -> Sampling:
    """A sampling with what it leaves to the model: the sampler and its steps, and a schedule that is not the usual one.

    Arguments:
        sampling, model: The sampling and the model.
        steps: The number of steps where nothing else says it; the model's own number by default.
    """
    whole = sampling.merged(Sampling(steps=steps)).merged(model.sampling)
    schedule = None if whole.schedule == DEFAULT_SCHEDULE and sampling.schedule is None else whole.schedule
    knows = schedule is not None and schedule.steps is not None and sampling.steps is None
    return Sampling(whole.sampler, None if knows else whole.steps, schedule, sampling.process)


def usual(model: Model, steps: int | None = None) -> list[Sampling]:
    """The model's own sampler, then those of the literature with about as many evaluations of the network.

    Of a model that was distilled: 1, 2 and 4 evaluations.

    Arguments:
        model, steps: The model, and how many steps its own sampler takes; its own number by default.
    """
    count = model.steps if steps is None else steps
    if model.denoiser.distilled_from is not None:
        return [Sampling(Consistency(), each) for each in dict.fromkeys((count, *_FEW))]
    own = Sampling(model.sampler, count)
    budget = own.merged(model.sampling).evaluations or count
    samplers = (DDIM(), Ancestral(), EulerMaruyama(), Heun(), Churn(), DPM(), UniPC())
    others = [Sampling(sampler, max(1, budget // (sampler.evaluations or 1))) for sampler in samplers]
    chain = AnnealedLangevin(Langevin(0.8), moves=2)  # long moves, as there are few of them
    others += [Sampling(chain, max(1, budget // 2), LogLevel()), Sampling(DormandPrince())]
    return [own, *(other for other in others if other.sampler != model.sampler)]


class _Count(Condition):
    """Counts evaluations of the denoiser, below measurements, which samplers of posteriors ask for."""

    order = 2
    needs_mean = False

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = 0

    def transform(self, stage: Stage) -> Stage:
        return replace(stage, denoiser=_Counted(stage.answering(), self))


class _Counted(Denoiser):
    """A denoiser whose evaluations are counted, however it is rebuilt."""

    def __init__(self, denoiser: Denoiser, count: _Count) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.count = [count]  # a list, so that it is not a submodule
        self.has_log_prob = denoiser.has_log_prob

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        self.count[0].evaluations += len(x)
        return self.denoiser(x, level)  # type: ignore[no-any-return]

    def log_prob(self, x: Tensor, level: Tensor | float) -> Tensor:
        self.count[0].evaluations += len(x)
        return self.denoiser.log_prob(x, level)


@dataclass(frozen=True)
class _Drawn:
    """Samples of one sampler, of shape `(N, *D)`, in the units of the data, not yet rounded to their form."""

    sampling: Sampling
    x: Tensor
    evaluations: float
    seconds: float
    teacher: str = ""

    @classmethod
    def of(cls, model: Model, sampling: Sampling, count: int, seed: int, teacher: str = "") -> _Drawn:
        counter = _Count()
        watched = model.replace(conditions=(*model.conditions, counter))
        start = time.perf_counter()
        x, evaluations = drawn_by_all(watched, count, seed, sampling, lambda: counter.evaluations)
        seconds = time.perf_counter() - start
        return cls(sampling, x, evaluations / watched.computed(count, sampling), seconds, teacher)


def _tried(model: Model, sampling: Sampling, seed: int) -> None:
    """Draws one sample: what cannot be used is known before minutes are spent."""
    try:
        list(model.batches(1, seed, sampling))
    except ValueError as error:
        raise ValueError(f"{sampling}: {error}") from error
    except RuntimeError:  # perhaps of this sample alone: reported when all are drawn
        pass


def _measured(data: RealData, drawn: Sequence[_Drawn]) -> tuple[SamplerResult, ...]:
    """A row for each sampler; the floors are those of the first, as all have the same sizes."""
    model, compared = data.model, data.unseen and data.matched and not data.later
    real = standard(model, data.fresh, 2 * len(drawn[0].x))
    others = standard(model, data.known, 8 * len(drawn[0].x)) if compared else None
    packed = [model.schema.rows(model.schema.pack(each.x)) for each in drawn]
    sets = [standard(model, rows, len(rows)) for rows in packed]
    measures = list(DISTANCES.items())
    floors = [*mapped(lambda each: with_floor(each[1], sets[0], real, others, name=each[0]), measures)]
    every = real if others is None else torch.cat([real, others])
    size = min(len(sets[0]), len(every))
    usual = _spread(every[:size])
    first = _standardized(model, drawn[0].x)
    rows = []
    for each, samples, packs in zip(drawn, sets, packed):
        values = (f(samples[: d.counts[0]], real[: d.counts[1]]) for f, d in zip(DISTANCES.values(), floors))
        distances = tuple(replace(floor, value=value) for floor, value in zip(floors, values))
        diversity = _spread(samples[:size]) / usual if usual > 0 else math.nan
        here = _standardized(model, each.x)
        apart = float((here - first).square().mean().sqrt())
        tests = data.test(packs, whole=False).tests
        cost = (each.sampling, each.evaluations, each.seconds)
        rows.append(SamplerResult(*cost, distances, diversity, apart, tests, each.teacher))
    return tuple(rows)


def _spread(x: Tensor) -> float:
    """The median distance of a row to the nearest other one."""
    return float(nearest(x, x, 2)[0][:, 1].median())


def _shown(x: Tensor) -> np.ndarray:
    """Data for pictures: of rows with missing values, the complete ones."""
    complete = ~x.flatten(1).isnan().any(1)
    return (x[complete] if bool(complete.any()) else x.nan_to_num()).numpy()


def _standardized(model: Model, x: Tensor) -> Tensor:
    """Drawn data in standard units."""
    return model.standardize.filled(model.standardize(x.to(model.device, torch.float64)))
