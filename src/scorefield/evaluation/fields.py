"""What is measured of fields besides their statistics as curves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from .. import metrics
from ..data import Rows, Schema
from ..metrics import TestFamily
from .naming import channel_names

__all__ = ["range_of_fields"]

_KNOWN = 2**27  # numbers of real fields, at most
_CHUNK = 2**22  # that are read at once


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


def _ends(several: Sequence[Rows]) -> Tensor:
    """The least and the largest value of each channel of each field, `(N, C, 2)`."""
    size = max(1, torch.Size(several[0].shape[1:]).numel())
    some = (rows.subset(range(min(len(rows), max(2, _KNOWN // size)))) for rows in several)
    chunks = chain(*(rows.chunks(max(1, _CHUNK // size), torch.float64) for rows in some))
    return torch.cat([torch.stack([x.flatten(2).amin(2), x.flatten(2).amax(2)], 2) for x in chunks])
