"""Figures in words: one or two sentences for each part of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics import Distance, Neighbours, rejected
from .base import number

__all__ = ["about_distances", "about_levels", "about_neighbours", "about_training", "duration", "percent"]


def percent(fraction: float) -> str:
    r"""A fraction as a percentage; one too small to show is not called zero.

    Example:
        >>> percent(0.0), percent(0.001), percent(0.256), percent(1.0)
        ('0\xa0%', '0.1\xa0%', '26\xa0%', '100\xa0%')
    """
    value = 100 * fraction
    return f"{number(value, 1) if 0 < value < 1 else round(value)}\u00a0%"


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(42), duration(600), duration(9000), duration(200000)
        ('42 s', '10 min', '2 h 30 min', '2 d 8 h')
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 100:
        return f"{number(seconds, 2)} s"
    if minutes < 100:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def about_distances(distances: Sequence[Distance]) -> str:
    """How many of the tests tell samples from real data, and how many of the distances real data could not have had."""
    tests = [distance for distance in distances if distance.p_value is not None]
    measures = [distance for distance in distances if distance.p_value is None]
    said = []
    if tests:
        told = len(rejected(tests))
        what = f"{told} of {len(tests)} tests tell" if told else f"None of {len(tests)} tests tells"
        said.append(f"{what} the samples from held-out data, at 5\u00a0% for all together.")
    return " ".join([*said, *([_about_measures(measures)] if measures else [])])


def _about_measures(distances: Sequence[Distance]) -> str:
    far = [distance.name for distance in distances if not distance.covered]
    if not far:
        return "The samples are as close to held-out data as other real data are: no difference shows at this size."
    if len(far) == len(distances):
        return "The samples differ from real data by more than real data differ among themselves."
    return f"Not as between real data: the {' and the '.join(far)}; the rest is within their spread."


def about_neighbours(neighbours: Neighbours) -> str:
    """Whether samples are copies of training data."""
    known = np.isfinite(neighbours.ratio)
    place = f"the median sample lies at {number(neighbours.ratio)} times the distance of the median held-out datum"
    copied, chance = percent(neighbours.copied), percent(neighbours.copied_held_out)
    shares = f"{copied} of samples, and {chance} of held-out data"
    if neighbours.suspicious:
        found = f"{place}, and {shares}" if known else shares
        return (
            f"Samples are suspiciously close to training data: {found}, are more than three times nearer to one training"
            " datum than to any other. Look at these pairs before you rely on the samples; shorter training, more data"
            " or stronger regularization help."
        )
    if not known:
        return "Most held-out data are also found in the training data, so distances cannot tell copies from chance."
    if neighbours.ratio > 1.15:
        return f"No copies, but samples keep farther from training data than real data do: {place}."
    return f"Samples keep the distance that new real data keep: {place}."


def about_levels(levels: Mapping[str, Any]) -> str:
    """What part of the loss of predicting nothing remains."""
    level, loss, zero = (np.asarray(levels[key], dtype=float) for key in ("level", "loss", "zero_loss"))
    part = loss / np.where(zero > 0, zero, np.nan)
    if not np.isfinite(part).any():
        return "The loss of predicting nothing is not known here."
    best, idle = int(np.nanargmin(part)), int(np.sum(part >= 1))
    sentence = (
        f"At best, at level {number(level[best])}, {percent(part[best])} of the loss of predicting nothing remains"
    )
    if idle:
        return f"{sentence}; at {idle} of {len(level)} levels the network does no better than predicting nothing."
    return f"{sentence}; every level is better than predicting nothing."


def about_training(log: Sequence[Mapping[str, Any]]) -> str:
    """How long it took, and whether held-out loss was still falling."""
    steps = max(int(record["step"]) for record in log)
    seconds = [float(record["seconds"]) for record in log if record.get("seconds") is not None]
    sentence = f"{steps:,} steps" + (f" in {duration(max(seconds))}" if seconds else "") + "."
    held = [(float(record["held_out"]), int(record["step"])) for record in log if record.get("held_out") is not None]
    if len(held) < 3:
        return sentence
    best, when = min(held)
    if held[-1][0] > best + 0.02 * abs(best) and when < 0.8 * steps:
        sentence += f" Held-out loss was lowest at step {when:,} and has risen since: the network learns by heart."
        return sentence
    return f"{sentence} Held-out loss was lowest at step {when:,}."
