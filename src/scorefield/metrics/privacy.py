"""Whether rows of a table were copied from the training data, or lie closer to them than new rows do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, stream, subsample
from .copies import COPIES_LEVEL, EqualRows, equal_rows, row_keys
from .pool import p_value
from .typed import TypedColumn, typed_matrices

__all__ = ["Privacy", "mixed_nearest", "table_privacy"]

BLOCK = 2**22  # distances held in memory at once


@dataclass(frozen=True)
class Privacy:
    """How close samples are to training rows, next to real rows that were not used in training.

    Arguments:
        closer: The share of samples whose nearest real row is a training row, of equally many training and held-out rows, with
            its noise floor and p-value (more than ½ on one side); often called the DCR share.
        distances, held_out: Distances of samples, and of held-out rows, to the nearest of those training rows, `(N,)`.
        copies, copies_held_out: The share of samples, and of held-out rows, that equal a row of all training data.
        copied_by_chance: The p-value that samples equal training rows no more often than chance makes equal rows.
        note: How many rows were used.
        equal: How many samples equal a training row, with that test.
    """

    closer: Distance
    distances: np.ndarray
    held_out: np.ndarray
    copies: float
    copies_held_out: float
    copied_by_chance: float
    note: str
    equal: EqualRows | None = None

    @property
    def suspicious(self) -> bool:
        """Whether samples equal training rows, or are closer to them, more often than chance explains, at 0.1 % for both."""
        p = min(self.copied_by_chance, 1.0 if self.closer.p_value is None else self.closer.p_value)
        return 2 * p <= COPIES_LEVEL


def table_privacy(
    samples: Array,
    train: Array,
    held_out: Array,
    *,
    columns: Sequence[TypedColumn] = (),
    maximum: int = 2000,
    permutations: int = 4999,
    seed: int = 0,
) -> Privacy:
    """Compares the distances of samples to training rows with those to held-out rows, and counts copies.

    The distance of two rows is Gower's: the mean over the columns of the difference of their ranks in the training rows, in
    [0, 1], for numbers; of 0 or 1 for categories; a missing value is at distance 0 from another one and 1 from all others.

    If samples depend on training rows only by their distribution, these and held-out rows are exchangeable: the p-value is that
    of random divisions of both. It is exact for any number of rows. For distances at most `maximum` rows of each kind are used,
    and five times as many samples, so that the cost does not grow with the table; copies are counted in all rows. Whether they
    are more than chance makes, `equal_rows` tests.

    Arguments:
        samples, train, held_out: Tables `(N, C)` with codes for categories and NaN for missing values.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        maximum: The maximum number of rows of each kind for distances.
        permutations, seed: The number of random divisions, and the seed.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number.

    References:
        Gower, 1971, A general coefficient of similarity; Platzer and Reutterer, 2021, Holdout-based empirical assessment of
        mixed-type synthetic data.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train, held_out = rng.normal(size=(500, 3)), rng.normal(size=(200, 3))
        >>> [table_privacy(x, train, held_out).suspicious for x in (train[:200] + 1e-3, rng.normal(size=(200, 3)))]
        [True, False]
    """
    given = [("samples", samples), ("train", train), ("held_out", held_out)]
    (drawn, known, fresh), columns = typed_matrices(given, columns)
    count = min(len(known), len(fresh), maximum)
    x = np.asarray(subsample(drawn, 5 * maximum, seed))
    references = [np.asarray(subsample(y, count, seed + 1 + i)) for i, y in enumerate((known, fresh))]
    share = mixed_nearest(x, np.concatenate(references), columns, known)[1]
    total = share.sum()
    value = float(share[:count].sum() / total)
    rng, null = stream(seed, "privacy"), np.empty(permutations)
    for k in range(permutations):
        null[k] = share[rng.permutation(2 * count)[:count]].sum() / total
    low, middle, high = (float(q) for q in np.quantile(null, [0.05, 0.5, 0.95]))
    closer = Distance(
        *("share of samples nearer to a training row", value, middle, low, high),
        counts=(len(x), count),
        p_value=p_value(value, null),
        note=f"{len(x):,} samples against {count:,} training and {count:,} held-out rows; ½ is ideal",
    )
    near, far = (mixed_nearest(rows, references[0], columns, known)[0] for rows in (x, references[1]))
    keys, known_keys, fresh_keys = (row_keys([rows]) for rows in (drawn, known, fresh))
    equal = equal_rows(keys, known_keys, fresh_keys, seed=seed)
    every = set(known_keys)
    sizes = len(drawn), len(fresh)
    return Privacy(
        closer=closer,
        distances=near,
        held_out=far,
        copies=equal.count / sizes[0],
        copies_held_out=sum(key in every for key in fresh_keys) / sizes[1],
        copied_by_chance=equal.p_value,
        note=f"copies among all {sizes[0]:,} samples and {len(known):,} training rows; distances of at most {maximum:,}",
        equal=equal,
    )


def mixed_nearest(
    x: np.ndarray, reference: np.ndarray, columns: Sequence[TypedColumn], ranked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gower's distances of rows to the nearest row of a reference, and how many rows each reference row is nearest to.

    Arguments:
        x, reference: Tables `(N, C)` and `(M, C)` with codes for categories and NaN for missing values.
        columns: A description per column.
        ranked: The rows whose ranks are the scale of numbers.

    Returns:
        Distances `(N,)`, and a weight per reference row, `(M,)`: each row of x has weight 1, divided among its nearest ones.

    Example:
        >>> from scorefield.metrics.typed import PlainColumn
        >>> reference = np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, 1.0]])
        >>> columns = [PlainColumn("size"), PlainColumn("kind", 2)]
        >>> mixed_nearest(np.array([[1.0, 0.0], [np.nan, 1.0]]), reference, columns, reference)
        (array([0.25, 0.  ]), array([1., 0., 1.]))
    """
    numbers = [i for i, column in enumerate(columns) if not column.size]
    others = [i for i, column in enumerate(columns) if column.size]
    scales = [np.sort(ranked[:, i][~np.isnan(ranked[:, i])]) for i in numbers]

    def placed(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        ranks = np.empty((len(rows), len(numbers)))
        for k, (i, scale) in enumerate(zip(numbers, scales)):
            missing = np.isnan(rows[:, i])
            place = np.searchsorted(scale, rows[:, i], "left") + np.searchsorted(scale, rows[:, i], "right")
            ranks[:, k] = np.where(
                missing,
                2.0,  # at distance 1 or more from all others
                place / max(1, 2 * len(scale)),
            )
        return torch.from_numpy(ranks), torch.from_numpy(np.nan_to_num(rows[:, others], nan=-1.0))

    (fine, coarse), (known, codes) = placed(x), placed(reference)
    nearest, weight = np.empty(len(x)), torch.zeros(len(reference), dtype=torch.float64)
    size = max(1, BLOCK // len(reference))
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        total = torch.zeros(len(fine[part]), len(reference), dtype=torch.float64)
        for column, other in zip(fine[part].T, known.T):
            total += (column[:, None] - other).abs_().clamp_max_(1.0)
        for column, other in zip(coarse[part].T, codes.T):
            total += column[:, None] != other
        least = total.amin(1, keepdim=True)
        ties = (total <= least + 1e-9).double()
        weight += (ties / ties.sum(1, keepdim=True)).sum(0)
        nearest[part] = least[:, 0].numpy() / len(columns)
    return nearest, weight.numpy()
