"""The examples of posteriors and of given labels, run as their users run them, at a size that takes seconds."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example with its options, and gives what it printed and the figure that it drew."""

    def ran(name: str, *options: str) -> tuple[str, Image.Image]:
        figure = tmp_path / f"{name}.png"
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options, "-o", str(figure)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        told = capsys.readouterr().out
        assert told.splitlines()[-1] == str(figure)
        return told, Image.open(figure)

    return ran


def numbers(pattern: str, told: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, told)]


def test_posterior_digits(run):
    told, figure = run("posterior_digits", "--seconds", "1", "--digits", "1", "--count", "4")
    assert len(numbers(r"PSNR of the mean ([\d.]+) dB", told)) == 2 and min(figure.size) > 300
    assert len(numbers(r"(\d+) of 4 draws are nearer", told)) == 2
    assert numbers(r"squared error of draws over that of their mean: ([\d.]+)", told)[0] > 1


def test_sparse_views(run):
    told, figure = run("sparse_views", "--size", "12", "--count", "12")
    assert min(figure.size) > 300
    widths, apart = (numbers(rf"([\d.]+) {what}", told) for what in ("of the variance", "times the chance"))
    chance = (2 / 10) ** 0.5  # of a mean of squares: what is not seen has ten independent directions or more
    assert len(widths) == 2 and all(abs(width - 1) < 4 * chance / 11**0.5 for width in widths)
    assert len(apart) == 2 and all(abs(square - 1) < 4 * chance for square in apart)


def test_shear_modulus(run):
    told, figure = run("shear_modulus", "--minutes", "0.02", "--layers", "200", "--count", "2")
    assert figure.size[0] > 1000 and numbers(r"error of the posterior mean ([\d.]+)", told)


def test_conditional_digits(run):
    told, figure = run("conditional_digits", "--minutes", "0.02", "--count", "2")
    assert len(numbers(r"weight (\d): [\d.]+% are the class", told)) == 2 and figure.size == (1040, 100)


def test_colourizing(run):
    told, figure = run("colourizing", "--steps", "3", "--patches", "2", "--count", "2")
    assert len(numbers(r"PSNR of the mean ([\d.]+) dB", told)) == 2 and min(figure.size) > 200
    assert "between the tenths of the draws" in told
