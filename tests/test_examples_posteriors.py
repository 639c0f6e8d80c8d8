"""The examples of posteriors and of class labels as scripts, at a size that takes seconds."""

from __future__ import annotations

import re

import pytest


def numbers(pattern: str, text: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, text)]


@pytest.mark.slow
def test_posterior_digits(run_example):
    text, size = run_example("posterior_digits", "--minutes", "0.017", "--digits", "1", "--count", "4")
    assert len(numbers(r"PSNR of the mean ([\d.]+) dB", text)) == 2 and min(size) > 300
    assert len(numbers(r"(\d+) of 4 draws are closer", text)) == 2
    assert numbers(r"squared error of draws relative to that of their mean: ([\d.]+)", text)[0] > 1


@pytest.mark.slow
def test_sparse_views(run_example):
    text, size = run_example("sparse_views", "--size", "12", "--count", "12")
    assert min(size) > 300
    widths, errors = (numbers(rf"([\d.]+) {what}", text) for what in ("of the variance", "times the expected"))
    chance = (2 / 10) ** 0.5  # of a mean of squares: the unmeasured part has ten independent directions or more
    assert len(widths) == 2 and all(abs(width - 1) < 4 * chance / 11**0.5 for width in widths)
    assert len(errors) == 2 and all(abs(square - 1) < 4 * chance for square in errors)


@pytest.mark.slow
def test_shear_modulus(run_example):
    text, size = run_example("shear_modulus", "--minutes", "0.02", "--layers", "200", "--count", "2")
    assert size[0] > 1000 and numbers(r"error of the posterior mean ([\d.]+)", text)


@pytest.mark.slow
def test_conditional_digits(run_example):
    text, size = run_example("conditional_digits", "--minutes", "0.02", "--count", "2")
    assert len(numbers(r"weight (\d): [\d.]+% are of the requested class", text)) == 2 and size == (1040, 100)


@pytest.mark.slow
def test_colourizing(run_example):
    text, size = run_example("colourizing", "--steps", "3", "--patches", "2", "--count", "2")
    assert len(numbers(r"PSNR of the mean ([\d.]+) dB", text)) == 2 and min(size) > 200
    assert "the central 80 % of the draws" in text
