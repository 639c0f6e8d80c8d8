"""Whether data are vectors or grids, and which axis holds the channels: guessed from the shape, with the reason."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from .layout import Layout, Structure
from .rows import Rows

__all__ = ["Channels", "choose"]

Channels = Literal["auto", "first", "last", "none"]

FEW = 4  # at most this many channels where only the size decides
MANY = 16  # at most this many channels in front of axes twice as long; a signal is at least as long
LONG = 4  # times as long as the axis of more channels than a few, a series is at least
SIGNAL = 64  # at least this many ordered columns before a table can be taken for signals


def choose(rows: Rows, structure: Structure | Literal["auto"], channels: Channels) -> tuple[Layout, str]:
    """The layout of an example, as the user asks for or as it seems, and the reason; `rows` are flat vectors as yet."""
    shape = rows.layout.shape
    if structure not in ("auto", "vector", "grid"):
        raise ValueError(f'structure must be "auto", "vector" or "grid", got {structure!r}')
    if channels not in ("auto", "first", "last", "none"):
        raise ValueError(f'channels must be "auto", "first", "last" or "none", got {channels!r}')
    if structure == "vector":
        if channels in ("first", "last"):
            raise ValueError(
                f'a vector has no channels, got channels={channels!r}: leave it out or set structure="grid"'
            )
        return Layout(shape), "vectors, as asked for"
    if channels in ("first", "last"):
        end = 0 if channels == "first" else len(shape) - 1
        return Layout(shape, "grid", end), f"{_grid(shape, end)}: channels {channels}, as asked for"
    if channels == "none":
        return Layout(shape, "grid"), f"{_grid(shape, None)}, as asked for"
    if len(shape) >= 2:
        axis, why = _channel_axis(shape)
        out = '; if not, channels="none" (--channels none)' if axis is not None and shape[axis] > 1 else ""
        return Layout(shape, "grid", axis), f"{_grid(shape, axis)}: {why}{out}"
    if structure == "grid":
        return Layout(shape, "grid"), f"{_grid(shape, None)}, as asked for"
    signal, why = _is_signal(rows)
    return (Layout(shape, "grid"), f"{_grid(shape, None)}: {why}") if signal else (Layout(shape), f"vectors: {why}")


def _grid(shape: tuple[int, ...], axis: int | None) -> str:
    space = [n for i, n in enumerate(shape) if i != axis]
    kind = {1: "signals of length", 2: "fields of", 3: "volumes of"}.get(len(space), "grids of")
    count = "" if axis is None else f" with {shape[axis]} channel{'s' * (shape[axis] > 1)}"
    return f"{kind} {' x '.join(map(str, space))}{count}"


def _channel_axis(shape: tuple[int, ...]) -> tuple[int | None, str]:
    """Where the channels of an example with two or more axes are."""
    first, last = shape[0], shape[-1]
    if len(shape) == 2:
        for axis, n, other in ((0, first, last), (1, last, first)):
            if (n <= FEW and other >= MANY) or (n <= MANY and other >= LONG * n):
                return axis, f"one axis has {n}, the other {other}"
        few, more = f"at most {FEW} next to {MANY} or more", f"at most {MANY} next to {LONG} times as many"
        return None, f"no axis is as short as channels ({few}, or {more})"
    if len(shape) == 3:
        if last <= FEW:
            return 2, f"the last axis has {last}, few enough for channels"
        if first <= FEW:
            return 0, f"the first axis has {first}, few enough for channels"
        if first <= MANY and max(shape) < 2 * min(shape):
            return None, 'the sides are nearly equal; if the first are channels, channels="first" (--channels first)'
        if first <= MANY and first < min(shape[1:]):
            return 0, f"the first axis has {first}, few enough for channels next to {shape[1]} x {shape[2]}"
        return None, f"no axis is as short as channels (at most {FEW}, or {MANY} in front of longer ones)"
    axis = 0 if first <= last else len(shape) - 1
    return axis, f"the {'first' if axis == 0 else 'last'} axis is the shorter of the two ends"


def _is_signal(rows: Rows) -> tuple[bool, str]:
    """Whether the columns of a table are neighbours in space or time."""
    features = rows.shape[1]
    if features < SIGNAL:
        return False, f"{features} column{'s' * (features > 1)}" if rows.layout.shape else "one number each"
    if len(rows) < MANY:
        return False, f"{len(rows)} rows are too few to tell whether the {features} columns are ordered"
    columns = _standardized(rows)
    near, far = _correlation(columns, 1), _correlation(columns, None)
    facts = f"neighbouring columns correlate by {near:.2f}, columns far apart by {far:.2f}"
    if not (near > 0.5 and 1 - near < 0.5 * (1 - far)):
        return False, facts
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        square = channels * side * side == features
        if square and _correlation(columns, side) > _correlation(columns, side // 2) + 0.1:
            size = f"{side}, {side}" if channels == 1 else f"3, {side}, {side}"
            return False, f"they may be flattened images: x.reshape(-1, {size}) would be the better shape"
    return True, facts


def _standardized(rows: Rows) -> np.ndarray:
    """Some rows, spread over all, with each column of mean 0 and variance 1 (0 if it is constant)."""
    count = min(len(rows), 1024, max(MANY, (16 << 20) // (8 * rows.shape[1])))
    x = rows.take(np.linspace(0, len(rows) - 1, count).astype(np.int64), torch.float64).cpu().numpy()
    x = x[np.isfinite(x).all(1)]
    if len(x) < MANY:
        return np.zeros((1, x.shape[1]))
    x = x - x.mean(0)
    scale = np.sqrt((x * x).mean(0))
    standardized: np.ndarray = x / np.where(scale > 0, scale, np.inf)
    return standardized


def _correlation(x: np.ndarray, lag: int | None) -> float:
    """The mean correlation of standardized columns that are `lag` apart; of columns anywhere if None."""
    if lag is None:
        order = np.random.default_rng(0).permutation(x.shape[1])
        a, b = order[:-1], order[1:]
    else:
        a, b = np.arange(x.shape[1] - lag), np.arange(lag, x.shape[1])
    correlation = np.einsum("ij,ij->j", x[:, a], x[:, b]) / len(x)
    varying = np.any(x != 0, axis=0)
    correlation = correlation[varying[a] & varying[b]]
    if not len(correlation):
        return 0.0
    return float(np.abs(correlation).mean() if lag is None else correlation.mean())
