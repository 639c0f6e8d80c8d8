"""Whether what was asked of a conditional model is what it draws: conditions predicted from samples and from real rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..context import Context
from ..metrics import Distance
from ..metrics.base import stream
from .base import ConditionCheck

__all__ = ["check_condition"]

_ROWS = 2000  # held-out rows that are used at most
_FEWEST = 40  # that are needed
_FLIPS = 1999
_RIDGE = 1e-2


def check_condition(
    context: Context, held_out: Tensor, asked: Tensor, drawn: Tensor, seed: int = 0
) -> ConditionCheck | None:
    """Tests whether conditions are recognized in samples as well as in real rows.

    A predictor of the condition (kernel ridge regression; of classes, one-hot) learns from all held-out rows but one, and is
    applied to this row and to the samples drawn with its condition; and so on for each row. If samples follow their condition
    as real data do, both errors have the same distribution, so that a test may exchange them. It is one-sided: for errors of
    samples that are larger.

    Arguments:
        context: The encoding of conditions, of columns.
        held_out: Held-out rows in standard units, `(M, *D)`.
        asked: Their encoded conditions, `(M, E)`.
        drawn: Samples, `(K, *D)`; sample i is drawn with the condition of held-out row i modulo M.
        seed: The seed of the test.

    Returns:
        What was found; None if conditions are fields or sets, there are too few rows, or all have the same condition.
    """
    if context.shape or context.sets > 1 or not context.columns:
        return None
    count = min(len(held_out), len(drawn), len(asked), _ROWS)
    repeats = len(drawn) // len(held_out) if len(drawn) >= len(held_out) and count == len(held_out) else 1
    known = asked[:count, -1] == 0  # the flag: 1 where there is no condition
    target = asked[:count, :-1].double()[known]
    if len(target) < _FEWEST or not bool((target.std(0) > 0).any()):
        return None
    real = held_out[:count].flatten(1).double()[known]
    samples = drawn[: repeats * count].flatten(1).double().reshape(repeats, count, -1)[:, known]
    own, others = _predicted(real, target - target.mean(0), samples)
    errors = [_errors(context, guess + target.mean(0), target) for guess in (own, *others)]
    return _found(context, [errors[0], torch.stack(errors[1:]).mean(0)], target, repeats, seed)


def _predicted(real: Tensor, target: Tensor, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Predictions for each row, and for the samples `(R, M, D)` of its condition, by a predictor that did not see the row."""
    squares = torch.cdist(real, real).square()
    width = float(squares.median()) or 1.0
    inverse = torch.linalg.inv(torch.exp(-squares / width) + _RIDGE * torch.eye(len(real), dtype=real.dtype))
    weights = inverse @ target
    without = weights / inverse.diagonal()[:, None]  # leaving out row i changes the weights by inverse[:, i] times this
    guesses = []
    for part in samples:
        kernel = torch.exp(-torch.cdist(part, real).square() / width)
        guesses.append(kernel @ weights - (kernel @ inverse).diagonal()[:, None] * without)
    return target - without, guesses


def _errors(context: Context, guess: Tensor, asked: Tensor) -> Tensor:
    """The error of each column, `(K, columns)`: 0 or 1 of classes, absolute errors of numbers in standard deviations."""
    parts = _places(context)
    found = []
    for column, where in zip(context.columns, parts):
        here, there = guess[:, where], asked[:, where]
        found.append((here.argmax(1) != there.argmax(1)).double() if column.categories else (here - there).abs()[:, 0])
    return torch.stack(found, 1)


def _places(context: Context) -> list[slice]:
    """Where the encoding of each column is."""
    start, found = 0, []
    for column in context.columns:
        found.append(slice(start, start + column.size))
        start += column.size
    return found


def _found(context: Context, errors: list[Tensor], asked: Tensor, repeats: int, seed: int) -> ConditionCheck:
    """The test, and the mean errors of each class and number."""
    difference = (errors[1] - errors[0]).mean(1).numpy()
    signs = stream(seed, "condition").choice([-1.0, 1.0], size=(_FLIPS, len(difference)))
    null, value = signs @ difference / len(difference), float(difference.mean())
    p = (1 + int((null >= value - 1e-12).sum())) / (1 + _FLIPS)
    labels, rows = [], []
    for i, (column, where) in enumerate(zip(context.columns, _places(context))):
        for k, name in enumerate(column.categories or ("",)):
            mine = asked[:, where].argmax(1) == k if column.categories else torch.ones(len(asked), dtype=torch.bool)
            if bool(mine.any()):
                labels.append(f"{column.name} = {name}" if column.categories else column.name)
                rows.append((int(mine.sum()), float(errors[1][mine, i].mean()), float(errors[0][mine, i].mean())))
    table = np.array(rows)
    worst = int((table[:, 1] - table[:, 2]).argmax())
    low, middle, high = (float(q) for q in np.quantile(null, [0.05, 0.5, 0.95]))
    classes = all(column.categories for column in context.columns)
    what = "not recognized as the class asked for" if classes else "error of the condition predicted from it"
    note = f"mean {what}: {float(errors[1].mean()):.3g} of samples, {float(errors[0].mean()):.3g} of held-out data"
    note += f"; the difference is largest for {labels[worst]}" if value > 0 else ""
    counts = (repeats * len(difference), len(difference))
    found = Distance("agreement with the condition", value, middle, low, high, counts, p, note=note)
    return ConditionCheck(found, tuple(labels), table[:, 0].astype(int), table[:, 1], table[:, 2], classes)
