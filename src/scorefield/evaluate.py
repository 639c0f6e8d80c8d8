"""How good a fit is: samples against data that were held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data import Rows, read
from .fitting import split
from .metrics import Distance, Neighbours, energy_distance, memorization, sliced_wasserstein, with_floor
from .model import Model
from .run import Run, fingerprint

__all__ = ["DISTANCES", "Evaluation", "evaluate", "evaluate_run", "split_of", "standard"]

DISTANCES = {"energy distance": energy_distance, "sliced Wasserstein": sliced_wasserstein}
_NUMBERS = 2**27  # of training data that are compared with, at most


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Arguments:
        count: How many samples were drawn.
        seconds: How long that took.
        distances: Distances to held-out data beside their floors: the same between real data and real data.
        neighbours: Distances to the nearest training datum, of samples and of held-out data.
        verdict: Sentences that say what it means and what to do next.
    """

    count: int
    seconds: float
    distances: tuple[Distance, ...]
    neighbours: Neighbours
    verdict: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The same as plain data; distances to neighbours by their quantiles."""
        quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
        near = {
            "quantiles": quantiles,
            "samples": np.quantile(self.neighbours.samples, quantiles).tolist(),
            "held_out": np.quantile(self.neighbours.held_out, quantiles).tolist(),
            "copied": self.neighbours.copied,
            "copied_held_out": self.neighbours.copied_held_out,
            "p_value": self.neighbours.p_value,
            "suspicious": self.neighbours.suspicious,
        }
        return {
            "count": self.count,
            "seconds": self.seconds,
            "verdict": list(self.verdict),
            "distances": [asdict(d) for d in self.distances],
            "neighbours": near,
        }


def evaluate(
    model: Model,
    train: Any,
    held_out: Any,
    count: int | None = None,
    seed: int = 0,
    history: Sequence[tuple[int, float]] = (),
) -> Evaluation:
    """Draws samples and compares them with data that the model has not seen, and with those it has.

    Arguments:
        model: The model.
        train: The data it was trained on, in the form it knows, or rows of them.
        held_out: Data it has not seen, likewise.
        count: How many samples to draw: 2,000 vectors or 1,000 grids by default.
        seed: The seed of the samples.
        history: Steps and held-out losses of training, for the advice.

    Raises:
        ValueError: If there are fewer than two held-out data.
    """
    known = train if isinstance(train, Rows) else model.schema.rows(train)
    fresh = held_out if isinstance(held_out, Rows) else model.schema.rows(held_out)
    if len(fresh) < 2:
        raise ValueError(
            f"samples are compared with at least 2 held-out data, got {len(fresh)}: hold out a larger part"
        )
    size = max(1, int(np.prod(model.schema.inner_shape)))
    if count is None:
        count = 2000 if len(model.schema.inner_shape) == 1 else 1000
    start = time.perf_counter()
    drawn = standard(model, model.schema.rows(model.sample(count, seed)), count)
    seconds = time.perf_counter() - start
    real = standard(model, fresh, 2 * count)
    learned = standard(model, known, max(2, _NUMBERS // size))
    distances = tuple(with_floor(distance, drawn, real, learned, name=name) for name, distance in DISTANCES.items())
    neighbours = memorization(drawn, learned, real)
    verdict = _verdict(distances, neighbours, history, known is not fresh)
    return Evaluation(count, seconds, distances, neighbours, verdict)


def standard(model: Model, rows: Rows, count: int) -> Tensor:
    """The first `count` rows in standard units, of shape `(M, *D)`: a large offset would cost the digits of float32."""
    some = rows.subset(range(min(len(rows), count)))
    return torch.cat([model.standardize(x.to(model.device)).float().cpu() for x in some.chunks(8192, torch.float64)])


def evaluate_run(run: Run, x: Any | None = None, count: int | None = None, seed: int = 0) -> Evaluation:
    """Evaluates the model of a run on the data that were held out when it was fitted, and keeps `evaluation.json`.

    Arguments:
        run: The run.
        x: The data that were fitted; read again from where they came from by default.
        count: How many samples to draw.
        seed: The seed of the samples.

    Raises:
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run.
    """
    model = run.model
    train, held_out = split_of(run, model, x)
    history = [(row["step"], row["held_out"]) for row in run.log if row["held_out"] is not None]
    evaluation = evaluate(model, train, held_out, count, seed, history)
    run.write("evaluation.json", evaluation.plain())
    return evaluation


def split_of(run: Run, model: Model, x: Any | None = None) -> tuple[Rows, Rows]:
    """The data that a run was trained on, and those that were held out."""
    asked = run.read("run.json")["asked"]
    if x is None:
        source = asked["source"]
        if source is None:
            raise ValueError(f"the data of {run.path} were given in memory: pass them again")
        x = read(**source)
    rows = model.schema.rows(x)
    if asked["fingerprint"] is None:  # a model that was imported: nobody knows what it has seen
        return rows, rows
    if fingerprint(rows) != asked["fingerprint"]:
        raise ValueError(f"these are not the data that {run.path} was fitted to: pass those, or fit these")
    parts = split(rows, asked["data"]["held_out"], asked["seed"])
    return parts.train, parts.held_out


def _verdict(
    distances: Sequence[Distance], neighbours: Neighbours, history: Sequence[tuple[int, float]], unseen: bool = True
) -> tuple[str, ...]:
    """What it means, in sentences; `unseen` says whether the model was measured on data that it has not seen."""
    said = []
    apart = [d for d in distances if not d.covered]
    names = " and ".join(d.name for d in distances)
    if not apart:
        what = "unseen" if unseen else "the training"
        said.append(f"By {names}, the samples are as close to {what} data as other real data are.")
    else:
        worst = max(apart, key=lambda d: d.value - d.high)
        said.append(
            f"The samples can be told from real data: their {worst.name} is {worst.value:.3g}, "
            f"that of real data among themselves rarely more than {worst.high:.3g}."
        )
    if not unseen:
        said.append(
            "Nothing was held out: whether samples are copies of training data cannot be told; hold out a part."
        )
    elif neighbours.suspicious:
        said.append(
            "Some samples lie closer to the training data than chance explains: the model has begun to copy them."
        )
    else:
        said.append("The samples are no closer to the training data than unseen data are: nothing was copied.")
    losses = [loss for _, loss in history]
    if unseen and neighbours.suspicious:
        said.append("Use more data, a smaller network, or a shorter budget.")
    elif apart and len(losses) >= 8 and min(losses[-3:]) <= min(losses):
        late = losses[-1] - losses[len(losses) * 3 // 4]
        if late < -0.005 * abs(losses[-1]):
            said.append("The held-out loss was still falling when the budget ended: give it more time.")
    return tuple(said)
