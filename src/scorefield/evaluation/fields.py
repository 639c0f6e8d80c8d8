"""What is measured of fields besides their statistics as curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from .. import metrics
from ..data import Rows, Schema
from ..metrics import Pool, TestFamily
from ..units import Units
from .naming import channel_names

__all__ = ["range_of_fields", "shares_of_atoms"]

_KNOWN = 2**27  # numbers of real fields, at most
_CHUNK = 2**22  # that are read at once
_ROUNDING = 1e-6  # of a value, relative: float32


def range_of_fields(schema: Schema, samples: Rows, real: Sequence[Rows]) -> tuple[TestFamily, ...]:
    """Tests whether samples have values outside the range of real fields, in the units of the data.

    Arguments:
        schema: The form of the data.
        samples: All samples.
        real: Real rows, of one kind after another, as many of each as fit.

    Returns:
        The family; none if the schema clips samples to that range.
    """
    if schema.low is not None and schema.high is not None:
        return ()
    names = channel_names(schema)
    return metrics.field_range_test(_ends([samples]), _ends(real), names)


def shares_of_atoms(
    schema: Schema, units: Units, samples: Rows, real: Rows, known: Rows | None
) -> tuple[TestFamily, ...]:
    """Tests which part of each field is exactly 0, say: every value of positive probability of each channel.

    Arguments:
        schema: The form of the data.
        units: Those of the data, which know the atoms.
        samples: All samples.
        real: Held-out rows, of which up to twice as many are read.
        known: Training rows for the noise floors, if they follow the same distribution.

    Returns:
        The family of the means and the variances of these shares over fields; none if there are no atoms.
    """
    atoms = [(c, value) for c, values in enumerate(units.atoms) for value in values]
    if not atoms:
        return ()
    most = 2 * len(samples)
    others = None if known is None else _shares(known, atoms, most)
    pool = Pool.of(_shares(samples, atoms, most), _shares(real, atoms, most), others, standardize=False)
    shares = pool.flat.double()
    names = [f"{value:.6g} in {channel_names(schema)[c]}" for c, value in atoms]
    labels = [f"share of {name}" for name in names] + [f"variance of the share of {name}" for name in names]
    features = torch.cat([shares, (shares - shares[pool.pair].mean(0)).square()], 1)
    found = metrics.family(pool, features.float(), labels, "shares of exact values")
    return (replace(found, values="means over fields"),)


def _shares(rows: Rows, atoms: Sequence[tuple[int, float]], count: int) -> Tensor:
    """The part of each of up to `count` fields that is exactly the value of a channel, of several, `(N, K)`."""
    size = max(1, torch.Size(rows.shape[1:]).numel())
    chunks = rows.subset(range(min(len(rows), count))).chunks(max(1, _CHUNK // size), torch.float64)
    return torch.cat(
        [torch.stack([_equal(x[:, c].flatten(1), value).double().mean(1) for c, value in atoms], 1) for x in chunks]
    )


def _equal(x: Tensor, value: float) -> Tensor:
    return (x - value).abs() <= _ROUNDING * abs(value)


def _ends(several: Sequence[Rows]) -> Tensor:
    """The least and the largest value of each channel of each field, `(N, C, 2)`."""
    size = max(1, torch.Size(several[0].shape[1:]).numel())
    some = (rows.subset(range(min(len(rows), max(2, _KNOWN // size)))) for rows in several)
    chunks = chain(*(rows.chunks(max(1, _CHUNK // size), torch.float64) for rows in some))
    return torch.cat([torch.stack([x.flatten(2).amin(2), x.flatten(2).amax(2)], 2) for x in chunks])
