"""Plots of data and samples, as matplotlib axes: for notebooks and papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["plot_rows"]

_COLUMNS, _LINES, _PICTURES = 12, 8, 16  # columns, signals and pictures that are drawn, at most
_POINTS = 2000  # of a scatter plot
_SAMPLES, _DATA = "tab:blue", "0.6"


def plot_rows(
    samples: np.ndarray, data: np.ndarray | None = None, names: Sequence[object] | None = None, axes: Any = None
) -> np.ndarray:
    """Draws samples, and data to compare them with: histograms of columns, curves of signals, pictures of fields and images.

    Arguments:
        samples: Numbers of shape `(N, C)` for vectors, `(N, C, *S)` with one to three axes S for grids; NaN is left out.
        data: Data of the same kind, drawn in grey; of fields and images below the samples.
        names: The names of the columns.
        axes: Axes of matplotlib to draw into, as many as are returned; by default those of a new figure.

    Returns:
        The axes, in an array: one for each column (at most 12; two columns share one), one for signals, one for each picture.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the axes are fewer than are needed.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> found = plot_rows(np.random.default_rng(0).normal(size=(100, 3)), names=["a", "b", "c"])
        >>> [each.get_xlabel() for each in found]
        ['a', 'b', 'c']
    """
    if samples.ndim == 2:
        return _vectors(samples, data, names, axes)
    return _signals(samples, data, axes) if samples.ndim == 3 else _pictures(samples, data, axes)


def _axes(count: int, columns: int, size: tuple[float, float], given: Any) -> np.ndarray:
    """So many axes: those that were given, or those of a new figure."""
    if given is not None:
        found = np.atleast_1d(np.asarray(given, dtype=object)).ravel()
        if len(found) < count:
            raise ValueError(f"the plot needs {count} axes, got {len(found)}: leave axes out for a new figure")
        return found[:count]
    from matplotlib import pyplot

    rows = -(-count // columns)
    wide, high = size
    _, made = pyplot.subplots(rows, columns, figsize=(wide * columns, high * rows), squeeze=False, layout="constrained")
    for spare in made.ravel()[count:]:
        spare.remove()
    return np.asarray(made.ravel()[:count], dtype=object)


def _vectors(samples: np.ndarray, data: np.ndarray | None, names: Sequence[object] | None, given: Any) -> np.ndarray:
    width = samples.shape[1]
    labels = [str(name) for name in names] if names is not None else [f"column {i}" for i in range(width)]
    if width == 2:
        found = _axes(1, 1, (5, 4), given)
        for x, colour, label in ((data, _DATA, "data"), (samples, _SAMPLES, "samples")):
            if x is not None:
                found[0].scatter(*x[:_POINTS].T, s=6, color=colour, alpha=0.6, linewidths=0, label=label)
        found[0].set(xlabel=labels[0], ylabel=labels[1])
    else:
        count = min(width, _COLUMNS)
        found = _axes(count, min(4, count), (3.2, 2.4), given)
        for i, axis in enumerate(found):
            _histogram(axis, samples[:, i], None if data is None else data[:, i])
            axis.set(xlabel=labels[i], yticks=[])
            axis.set_ylabel("density" if i % 4 == 0 else "")
    if data is not None:
        found[0].legend(frameon=False)
    return found


def _histogram(axis: Any, samples: np.ndarray, data: np.ndarray | None) -> None:
    """The distribution of one column in samples, as a line, and in data, as an area."""
    sides = [x[np.isfinite(x)] for x in (samples, data) if x is not None]
    whole = np.concatenate(sides)
    if not len(whole):
        return
    edges = np.histogram_bin_edges(whole, bins=40, range=tuple(np.quantile(whole, [0.001, 0.999])))
    if data is not None and len(sides[1]):
        axis.hist(sides[1], edges, density=True, color=_DATA, alpha=0.6, label="data")
    if len(sides[0]):
        axis.hist(sides[0], edges, density=True, histtype="step", color=_SAMPLES, linewidth=1.5, label="samples")


def _signals(samples: np.ndarray, data: np.ndarray | None, given: Any) -> np.ndarray:
    """Some signals of each channel, one below the other."""
    found = _axes(samples.shape[1], 1, (6, 2.4), given)
    for channel, axis in enumerate(found):
        for x, colour in ((data, _DATA), (samples, _SAMPLES)):
            if x is not None:
                axis.plot(x[:_LINES, channel].T, color=colour, linewidth=0.9, alpha=0.8)
        axis.set(xlabel="position", ylabel="value" if len(found) == 1 else f"channel {channel}")
    return found


def _pictures(samples: np.ndarray, data: np.ndarray | None, given: Any) -> np.ndarray:
    """Pictures of samples, and of data below them, on one scale; of volumes the slice in the middle."""
    sides = [x[: _PICTURES if data is None else _PICTURES // 2] for x in (samples, data) if x is not None]
    shown = np.concatenate([x[:, :, x.shape[2] // 2] if x.ndim == 5 else x for x in sides])
    found = _axes(len(shown), min(8, len(sides[0])), (1.4, 1.5), given)
    low, high = np.nanmin(shown), np.nanmax(shown)
    colour = shown.shape[1] == 3
    for i, (axis, picture) in enumerate(zip(found, shown, strict=True)):
        if colour:
            axis.imshow(np.clip((np.moveaxis(picture, 0, -1) - low) / max(high - low, 1e-300), 0, 1))
        else:
            axis.imshow(picture[0], cmap="gray", vmin=low, vmax=high)
        axis.set(xticks=[], yticks=[])
        axis.set_title("sample" if i < len(sides[0]) else "data", fontsize=8)
    return found
