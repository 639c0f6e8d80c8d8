"""Whether samples of fields have values outside the range of the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, as_rows
from .moments import TestFamily

__all__ = ["field_range_test"]

_SMALLEST = 1e-300
_SIDES = ("below", "above")


def field_range_test(samples: Array, real: Array, channels: Sequence[str] = ()) -> tuple[TestFamily, ...]:
    """Tests whether more samples have values outside the range of N real fields than new real fields would.

    If n samples and N real fields have the same distribution, their largest values are exchangeable, whatever it is and however
    values of a field depend on each other. So k or more samples have a value above all real fields with the probability
    C(n, k) / C(n + N, k), less if there are ties; the same below. P-values are exact or conservative. That of the family, over
    both sides of all channels, is Bonferroni's.

    Arguments:
        samples, real: Fields `(n, C, *S)` and `(N, C, *S)` in the same units; or the least and the largest value of each
            channel, `(n, C, 2)` and `(N, C, 2)`.
        channels: The names of the channels; their numbers by default.

    Returns:
        The family, `samples` and `real` of which are the share of samples with values outside, and its expectation.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If there are no fields, or the channels differ in number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = rng.uniform(size=(1000, 1, 8, 8))
        >>> drawn = [rng.uniform(size=(300, 1, 8, 8)), rng.uniform(high=1.01, size=(300, 1, 8, 8))]
        >>> [field_range_test(x, real)[0].distance.p_value < 0.05 for x in drawn]
        [False, True]
    """
    x, y = (as_rows(values, name) for values, name in ((samples, "samples"), (real, "real")))
    if x.ndim < 3 or y.ndim < 3 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(f"fields must be (n, C, *S) and (N, C, *S), got {tuple(x.shape)} and {tuple(y.shape)}")
    drawn, known = (_extremes(fields) for fields in (x, y))
    count, ends = len(drawn), known.amax(0)  # the least values have the other sign
    beyond = (drawn > ends).sum(0)
    names = tuple(channels) or tuple(f"channel {c + 1}" for c in range(x.shape[1]))
    labels = [side if len(names) == 1 else f"{side} in {name}" for name in names for side in _SIDES]
    p = np.array([_exceeding(int(k), count, len(known)) for k in beyond.flatten()])
    corrected, worst = np.minimum(1, p * len(p)), int(p.argmin())
    signs = torch.tensor([-1.0, 1.0], dtype=ends.dtype)
    end, side = float((ends * signs).flatten()[worst]), _SIDES[worst % 2]
    where = f" in {names[worst // 2]}" if len(names) > 1 else ""
    note = f"{int(beyond.flatten()[worst]):,} of {count:,} samples have values {side} {end:.4g}{where}, the "
    note += (
        f"{('least', 'largest')[worst % 2]} of {len(known):,} real ones; the value is −log₁₀ of the smallest p-value"
    )
    low, floor, high = (-float(np.log10(1 - (1 - q) ** (1 / len(p)))) for q in (0.95, 0.5, 0.05))
    name, counts = "values outside the range of the data", (count, len(known))
    distance = Distance(name, -float(np.log10(p[worst])), floor, low, high, counts, float(corrected[worst]), note=note)
    shares, chance = beyond.flatten().numpy() / count, np.full(len(p), 1 / (len(known) + 1))
    values = "shares of samples with values outside the range of all real fields, and what new real fields would have"
    return (TestFamily(distance, tuple(labels), shares, chance, shares - chance, corrected, values, "new real fields"),)


def _extremes(x: Tensor) -> Tensor:
    """Minus the least value and the largest value of each channel, `(N, C, 2)`."""
    flat = x.flatten(2)
    return torch.stack([-flat.amin(2), flat.amax(2)], 2)


def _exceeding(k: int, drawn: int, known: int) -> float:
    """The probability that the k largest of all values are among those drawn."""
    i = np.arange(k, dtype=float)
    return float(max(_SMALLEST, np.exp(np.log((drawn - i) / (drawn + known - i)).sum())))
