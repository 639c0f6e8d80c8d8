"""Statistics of two-phase media against explicit counts and exact distributions."""

from itertools import groupby

import numpy as np
import pytest
import torch
from scipy import ndimage

from scorefield.metrics import chord_lengths, default_threshold, lineal_path, minkowski


def coins(*shape, p=0.6, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < p


def runs(line):
    """The lengths of runs of the phase in a row of cells, and whether they end inside on both sides."""
    found, place = [], 0
    for inside, members in groupby(line):
        length = len(list(members))
        if inside:
            found.append((length, place > 0 and place + length < len(line)))
        place += length
    return found


def lines(field):
    return [line for axis in range(field.ndim) for line in np.moveaxis(field, axis, -1).reshape(-1, field.shape[axis])]


@pytest.mark.parametrize("size", [(30,), (9, 7), (5, 6, 4)])
def test_lineal_paths_and_chords_from_runs(size):
    phase = coins(3, 1, *size)
    reach = 4
    path, chords = lineal_path(phase, reach)[1], chord_lengths(phase, reach)[1]
    for i in range(3):
        field = phase[i, 0].numpy()
        for r in range(1, reach + 1):
            parts = []
            for axis in range(field.ndim):
                rows = np.moveaxis(field, axis, -1).reshape(-1, size[axis])
                fits = sum(max(0, length - r + 1) for row in rows for length, _ in runs(row))
                parts.append(fits / (len(rows) * (size[axis] - r + 1)))
            assert path[i, 0, r - 1] == pytest.approx(np.mean(parts), abs=1e-6)
        whole = [length for line in lines(field) for length, closed in runs(line) if closed]
        expected = [whole.count(r) / max(1, len(whole)) for r in range(1, reach + 1)]
        assert chords[i, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_exact_distributions_of_independent_cells():
    phase, p = coins(400, 1, 32, 32, p=0.5), 0.5
    r = np.arange(1, 6)
    assert np.allclose(lineal_path(phase, 5)[1].mean((0, 1)), p**r, atol=0.005)
    assert np.allclose(chord_lengths(phase, 5)[1].mean((0, 1)), (1 - p) * p ** (r - 1), atol=0.02)


def test_a_field_of_one_phase_has_no_chords():
    assert chord_lengths(torch.ones(1, 1, 8, 8).bool())[1].sum() == 0
    assert chord_lengths(torch.zeros(1, 1, 8, 8).bool())[1].sum() == 0
    assert (lineal_path(torch.ones(1, 1, 8, 8).bool())[1] == 1).all()


def test_euler_number_is_pieces_minus_holes():
    phase = coins(6, 2, 14, 11, p=0.5)
    names, found = minkowski(phase)
    assert names == ("area", "perimeter", "Euler number")
    for i in range(6):
        for c in range(2):
            field = np.pad(phase[i, c].numpy(), 1)
            pieces = ndimage.label(field, np.ones((3, 3)))[1]
            holes = ndimage.label(~field)[1] - 1
            border = sum(np.abs(np.diff(field.astype(int), axis=axis)).sum() for axis in (0, 1))
            exact = np.array([field.sum(), border, pieces - holes]) / 154
            assert np.allclose(found[i, c], exact, atol=1e-6)


def test_functionals_of_bodies():
    """A box of a × b × c has the mean breadth (a + b + c) / 2; a torus the Euler number 0, a shell 2."""
    box = torch.zeros(6, 7, 8).bool()
    box[1:3, 2:5, 1:6] = True
    names, found = minkowski(box[None, None])
    assert names == ("volume", "surface", "mean breadth", "Euler number")
    assert (found[0, 0] * 336).tolist() == pytest.approx([30, 2 * (6 + 10 + 15), 5, 1], abs=1e-3)
    torus = torch.ones(3, 3, 1).bool()
    torus[1, 1] = False
    shell = torch.ones(3, 3, 3).bool()
    shell[1, 1, 1] = False
    two = torch.tensor([1, 0, 1]).bool().reshape(3, 1, 1)
    for body, euler in ((torus, 0), (shell, 2), (two, 2)):
        assert float(minkowski(body[None, None])[1][0, 0, 3]) * body.numel() == pytest.approx(euler, abs=1e-4)
    names, found = minkowski(torch.tensor([1, 1, 0, 1]).bool()[None, None])
    assert names == ("length", "pieces") and found[0, 0].tolist() == [0.75, 0.5]


def test_the_default_threshold_lies_between_phases():
    x = torch.where(coins(4, 1, 20, 20, p=0.2), 7.0, 3.0)
    assert default_threshold(x).item() == 5.0
    assert default_threshold(torch.randn(50, 2, 30, generator=torch.Generator().manual_seed(0))).abs().max() < 0.15


@pytest.mark.parametrize("statistic", [minkowski, lineal_path, chord_lengths])
def test_bad_arguments_are_refused(statistic):
    with pytest.raises(ValueError, match=r"a phase must be boolean .* got torch.float32 \(2, 1, 4\): compare"):
        statistic(torch.zeros(2, 1, 4))
