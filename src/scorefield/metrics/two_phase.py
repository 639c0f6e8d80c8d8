"""Statistics of two-phase media: lineal path, chord lengths and Minkowski functionals, one curve per field.

A phase is a boolean field `(N, C, *S)`, for example a field above a threshold.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from .curves import lags_of

__all__ = ["chord_lengths", "default_threshold", "lineal_path", "minkowski"]


def default_threshold(x: Tensor) -> Tensor:
    """A threshold for each channel: halfway between the 1 % and the 99 % quantile of all values.

    For two-phase media it lies between the phases, for symmetric distributions it is the median.

    Arguments:
        x: Fields, `(N, C, *S)`.

    Returns:
        The thresholds, `(C,)`.

    Example:
        >>> default_threshold(torch.tensor([0.0, 0.0, 0.0, 10.0]).reshape(1, 1, 4)).tolist()
        [5.0]
    """
    values = x.transpose(0, 1).flatten(1)
    values = values[:, :: 1 + values.shape[1] // 2**20]
    count = values.shape[1]
    ordered = values.sort(1).values
    return (ordered[:, round(0.01 * (count - 1))] + ordered[:, round(0.99 * (count - 1))]) / 2


def lineal_path(phase: Tensor, longest: int | None = None) -> tuple[Tensor, Tensor]:
    """The lineal-path function L(r): the probability that r consecutive cells along an axis all belong to the phase.

    Arguments:
        phase: Boolean fields, `(N, C, *S)`.
        longest: The largest r; half the shortest axis by default.

    Returns:
        r = 1, 2, … in cells, and L averaged over the axes, `(N, C, R)`.

    Raises:
        ValueError: If `phase` is not boolean, or does not have one to three axes S.

    References:
        Lu and Torquato, 1992, Lineal-path function for random heterogeneous materials.

    Example:
        >>> [round(p, 3) for p in lineal_path(torch.tensor([1, 1, 1, 0]).bool().reshape(1, 1, 4), 3)[1][0, 0].tolist()]
        [0.75, 0.667, 0.5]
    """
    reach = lags_of(tuple(phase.shape[2:])) if longest is None else longest
    curves = []
    axes = _axes(phase)
    reach = min([reach, *(phase.shape[axis] for axis in axes)])
    for axis in axes:
        inside, found = phase, []
        for length in range(1, reach + 1):
            found.append(inside.flatten(2).sum(2) / inside[0, 0].numel())
            if length < reach:
                size = inside.shape[axis] - 1
                inside = inside.narrow(axis, 0, size) & phase.narrow(axis, length, size)
        curves.append(torch.stack(found, 2))
    return torch.arange(1, reach + 1, dtype=torch.float64), torch.stack(curves).mean(0)


def chord_lengths(phase: Tensor, longest: int | None = None) -> tuple[Tensor, Tensor]:
    """The distribution of chord lengths: of runs of the phase along an axis that end inside the field on both sides.

    Arguments:
        phase: Boolean fields, `(N, C, *S)`.
        longest: The largest length; half the shortest axis by default.

    Returns:
        Lengths 1, 2, … in cells, and the fraction of the chords of a field with each length, `(N, C, R)`. The rest up to 1 are
        longer chords. A field without chords has zeros.

    Raises:
        ValueError: If `phase` is not boolean, or does not have one to three axes S.

    References:
        Torquato and Lu, 1993, Chord-length distribution function for two-phase random media.

    Example:
        >>> chord_lengths(torch.tensor([1, 0, 1, 0, 1, 1, 0, 1]).bool().reshape(1, 1, 8), 3)[1].tolist()
        [[[0.5, 0.5, 0.0]]]
    """
    reach = lags_of(tuple(phase.shape[2:])) if longest is None else longest
    counts = torch.zeros(*phase.shape[:2], reach, device=phase.device)
    total = torch.zeros(*phase.shape[:2], 1, device=phase.device)
    for axis in _axes(phase):
        size = phase.shape[axis]
        ends = phase.narrow(axis, 0, size - 1) & ~phase.narrow(axis, 1, size - 1)
        # Runs are counted by their ends. A run that ends inside is a chord unless it starts at the border.
        at_border = phase.narrow(axis, 0, 1) & ~phase.all(axis, keepdim=True)
        total[:, :, 0] += ends.flatten(2).sum(2) - at_border.flatten(2).sum(2)
        inside = phase
        for length in range(1, min(reach, size - 2) + 1):
            if length > 1:
                width = inside.shape[axis] - 1
                inside = inside.narrow(axis, 0, width) & phase.narrow(axis, length - 1, width)
            width = size - length - 1
            closed = ~phase.narrow(axis, 0, width) & ~phase.narrow(axis, length + 1, width)
            counts[:, :, length - 1] += (inside.narrow(axis, 1, width) & closed).flatten(2).sum(2)
    return torch.arange(1, reach + 1, dtype=torch.float64), counts / total.clamp_min(1)


def minkowski(phase: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """The Minkowski functionals per cell: volume, surface and Euler number (and in 3-D the mean breadth).

    The phase is the union of its closed cells, so that cells with a common corner are connected. Let n_k be the number of its
    faces of dimension k. In 1-D the functionals are the length n₁ and the number of pieces n₀ − n₁; in 2-D the area n₂, the
    perimeter 2 n₁ − 4 n₂ and the Euler number n₀ − n₁ + n₂; in 3-D the volume n₃, the surface 2 n₂ − 6 n₃, the mean breadth
    (n₁ − 2 n₂ + 3 n₃) / 2 and the Euler number n₀ − n₁ + n₂ − n₃. All are divided by the number of cells. The border of
    the field counts.

    Arguments:
        phase: Boolean fields, `(N, C, *S)`.

    Returns:
        The names, and the functionals, `(N, C, d + 1)`.

    Raises:
        ValueError: If `phase` is not boolean, or does not have one to three axes S.

    References:
        Michielsen and De Raedt, 2001, Integral-geometry morphological image analysis.

    Example:
        >>> ring = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1]]).bool()
        >>> (9 * minkowski(ring[None, None])[1]).round().tolist()
        [[[8.0, 16.0, 0.0]]]
    """
    _axes(phase)
    axes = range(2, phase.ndim)
    rank = len(axes)
    # Padded with zeros: a face belongs to the phase if one of its cells does.
    padded = torch.nn.functional.pad(phase, [1, 1] * rank)
    faces = []
    for dimension in range(rank + 1):
        count = torch.zeros(phase.shape[:2], device=phase.device)
        for across in combinations(axes, rank - dimension):
            present = padded
            for axis in across:
                size = present.shape[axis] - 1
                present = present.narrow(axis, 0, size) | present.narrow(axis, 1, size)
            count = count + present.flatten(2).sum(2)
        faces.append(count)
    cells = phase[0, 0].numel()
    found = [faces[rank]]
    if rank > 1:
        found.append(2 * faces[rank - 1] - 2 * rank * faces[rank])
    if rank > 2:
        found.append((faces[1] - 2 * faces[2] + 3 * faces[3]) / 2)
    found.append(torch.stack([(-1) ** dimension * count for dimension, count in enumerate(faces)]).sum(0))
    names = {1: ("length", "pieces"), 2: ("area", "perimeter", "Euler number")}
    return names.get(rank, ("volume", "surface", "mean breadth", "Euler number")), torch.stack(found, 2) / cells


def _axes(phase: Tensor) -> list[int]:
    if not 3 <= phase.ndim <= 5 or phase.dtype != torch.bool:
        what = f"a phase must be boolean (N, C, *S) with one to three axes S, got {phase.dtype} {tuple(phase.shape)}"
        raise ValueError(f"{what}: compare the fields with a threshold")
    return [axis for axis in range(2, phase.ndim) if phase.shape[axis] > 1]
