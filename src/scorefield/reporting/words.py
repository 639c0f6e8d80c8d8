"""The numbers of a report in words: one or two sentences for each section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..display import joined
from ..metrics import Distance, Neighbours, rejected
from .base import number

__all__ = [
    "about_distances", "about_levels", "about_neighbours", "about_training", "duration", "percent",
    "typographic",
]  # fmt: skip


def percent(fraction: float) -> str:
    r"""A fraction as a percentage; one that is too small to show is not rounded to zero.

    Example:
        >>> percent(0.0), percent(0.001), percent(0.256), percent(1.0)
        ('0\xa0%', '0.1\xa0%', '26\xa0%', '100\xa0%')
    """
    value = 100 * fraction
    return f"{number(value, 1) if 0 < value < 1 else round(value)}\u00a0%"


def duration(seconds: float) -> str:
    """A duration in the units that suit it.

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


def typographic(text: str) -> str:
    """A sentence with proper minus signs before its negative numbers.

    Example:
        >>> typographic("z = -3.2 between -1e-05 and 2-D"), typographic("half-life")
        ('z = −3.2 between −1e−05 and 2-D', 'half-life')
    """
    text = re.sub(r"(?<=\d)e-(?=\d)", "e−", text)
    return re.sub(r"(?<![\w.,)\]-])-(?=\.?\d)", "−", text)


def about_distances(distances: Sequence[Distance], elsewhere: Sequence[Distance] = ()) -> str:
    """How many tests distinguish samples from held-out data, and which distances exceed those between real data.

    The error rate includes the tests of other sections, which are `elsewhere`."""
    tests, others = ([d for d in several if d.p_value is not None] for several in (distances, elsewhere))
    measures = [distance for distance in distances if distance.p_value is None]
    sentences = []
    if tests:
        significant = {id(test) for test in rejected([*tests, *others])}
        sentences.append(_tests(*([id(test) in significant for test in several] for several in (tests, others))))
    if measures:
        sentences.append(_measures(measures))
    return " ".join(sentences)


def _tests(tests: Sequence[bool], others: Sequence[bool]) -> str:
    """Two sentences from what each test of this section and of the others found."""
    what = "the samples from held-out data"
    if len(tests) == 1:
        found = f"The test {'distinguishes' if tests[0] else 'does not distinguish'} {what}"
    else:
        verb = "distinguish" if sum(tests) > 1 else "distinguishes"
        found = f"{sum(tests) or 'None'} of these {len(tests)} tests {verb} {what}"
    if len(others) == 1:
        found += f"; the test in the next section {'does' if others[0] else 'does not'}"
    elif others:
        below = sum(others)
        found += f"; {below or 'none'} of the {len(others)} tests in the sections below {'do' if below > 1 else 'does'}"
    total = len(tests) + len(others)
    rate = "The significance level is 5\u00a0%" + (f" for all {total} tests together." if total > 1 else ".")
    return f"{found}. {rate}"


def _measures(distances: Sequence[Distance]) -> str:
    outside = [distance.name for distance in distances if not distance.covered]
    if not outside:
        return "By every distance, the samples are as close to held-out data as other real data are."
    if len(outside) == len(distances):
        return "By every distance, the samples differ from held-out data more than real data differ among themselves."
    return f"Outside the range of real data: {joined(outside)}. The other distances are within it."


def about_neighbours(neighbours: Neighbours) -> str:
    """Whether samples are copies of training data."""
    known = np.isfinite(neighbours.ratio)
    place = (
        f"the median distance to the nearest training example is {number(neighbours.ratio)} times that of held-out data"
    )
    copied, chance = percent(neighbours.copied), percent(neighbours.copied_held_out)
    shares = f"{copied} of samples, against {chance} of held-out data,"
    if neighbours.suspicious:
        found = f"{place}, and {shares}" if known else shares
        return (
            f"Samples are suspiciously close to training data: {_equal(neighbours)}{found} are more than three times closer to"
            " one training example than to any other. Check these pairs before you rely on the samples; shorter training,"
            " more data or stronger regularization help."
        )
    if not known:
        return "Most held-out examples also occur in the training data, so distances cannot distinguish copies from chance."
    visible = neighbours.what_is_visible
    visible = f" {visible[0].upper()}{visible[1:]}" if visible else ""
    if neighbours.ratio > 1.15:
        text = "No copies were found, but samples lie farther from the training data than new real data do"
        return f"{text}: {place}.{visible}"
    return f"No copies were found: {place}.{visible}"


def _equal(neighbours: Neighbours) -> str:
    equal = neighbours.equal
    return "" if equal is None or not equal.count else f"{equal.count:,} of {equal.samples:,} equal a training row; "


def about_levels(levels: Mapping[str, Any]) -> str:
    """The loss as a fraction of the baseline, which is the loss of a network that outputs zero."""
    level, loss, baseline = (np.asarray(levels[key], dtype=float) for key in ("level", "loss", "zero_loss"))
    part = loss / np.where(baseline > 0, baseline, np.nan)
    if not np.isfinite(part).any():
        return "The loss of the baseline is not known here."
    best, useless = int(np.nanargmin(part)), int(np.sum(part >= 1))
    sentence = (
        f"The loss is lowest, relative to the baseline, at level {number(level[best])}: {percent(part[best])} of it"
    )
    if useless:
        return f"{sentence}. At {useless} of {len(level)} levels the network is no better than the baseline."
    return f"{sentence}. At every level the network is better than the baseline."


def about_training(log: Sequence[Mapping[str, Any]]) -> str:
    """How long training took, and when the held-out loss was lowest."""
    steps = max(int(record["step"]) for record in log)
    seconds = [float(record["seconds"]) for record in log if record.get("seconds") is not None]
    sentence = f"{steps:,} step{'' if steps == 1 else 's'}" + (f" in {duration(max(seconds))}" if seconds else "") + "."
    held = [(float(record["held_out"]), int(record["step"])) for record in log if record.get("held_out") is not None]
    if len(held) < 3:
        return sentence
    best, when = min(held)
    rising = held[-1][0] > best + 0.02 * abs(best) and when < 0.8 * steps
    end = " and has risen since: the network is overfitting" if rising else ""
    return f"{sentence} The held-out loss was lowest at step {when:,}{end}."
