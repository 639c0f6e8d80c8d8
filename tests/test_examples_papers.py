"""The examples that make the figures of papers and lectures: what they compute, and their generators of data."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scorefield

pytestmark = pytest.mark.usefixtures("examples")


def test_ddpm_is_a_score_based_model(examples, capsys):
    runpy.run_path(str(examples / "ddpm_equivalence.py"), run_name="__main__")
    text = capsys.readouterr().out
    apart = [float(found) for found in re.findall(r": +([\d.]+e-\d+)$", text, re.MULTILINE)]
    assert len(apart) == 5 and max(apart) < 1e-13
    assert "up to 0.068 apart in log ᾱ" in text and "4.32e-05 and 4.04e-05" in text


@pytest.mark.slow
def test_paths_to_noise_and_back(run_example):
    text, size = run_example("noise_processes", "--count", "2000")
    found = re.findall(r"variance at t = 1 ([\d.]+), exactly ([\d.]+); reverse paths end ([\d.]+)", text)
    assert len(found) == 3 and min(size) > 500
    for variance, exact, distance in found:
        assert float(variance) == pytest.approx(float(exact), rel=5 * (2 / 2000) ** 0.5)
        assert float(distance) < 0.1  # 0.025 for exact samples


def test_large_levels_find_all_images(run_example):
    text, _ = run_example("ncsnv2_figure2", "--images", "40")
    small, large = re.findall(r"(\d+) of 40 images found.*?(\d+)% of the chains end where they began", text)
    assert int(small[0]) < 10 and int(small[1]) > 80
    assert int(large[0]) > 35 and int(large[1]) < 10


@pytest.mark.slow
def test_simulated_annealing_finds_the_highest_mode(run_example):
    text, _ = run_example("simulated_annealing", "--count", "200")
    best = re.search(r"best state by simulated annealing: \(([-\d.]+), ([-\d.]+)\)", text).groups()
    assert [float(x) for x in best] == pytest.approx([0.5, 2.5], abs=0.05)


def test_fibres_do_not_overlap():
    fibres = importlib.import_module("fibres")
    at, radii = fibres.packed(128, np.random.default_rng(0))
    apart = at[:, None] - at
    distance = np.linalg.norm(apart - 128 * np.round(apart / 128), axis=2) + 1e6 * np.eye(len(at))
    assert (distance > radii[:, None] + radii + fibres.GAP - 0.1).all()
    assert np.pi * (radii**2).sum() / 128**2 == pytest.approx(fibres.FRACTION, rel=0.1)
    image = fibres.crops(4, 16, 0)
    assert image.shape == (4, 16, 16) and abs(image.mean() - (fibres.FIBRE + fibres.MATRIX) / 2) < 0.2


def test_fields_of_the_optic_nerve_head_hold_their_moduli():
    optic_nerve = importlib.import_module("optic_nerve")
    x, variables = optic_nerve.fields(20, 64, seed=0)
    assert x.shape == (20, 64, 64) and x.min() >= 0 and x.max() <= 1
    np.testing.assert_allclose(x[:, -1, 32], variables[:, 13], rtol=1e-5)  # the nerve, at the bottom of the axis
    np.testing.assert_allclose(x[:, -1, 0], variables[:, 15], atol=1e-6)  # the orbit, in the corner
    assert (x.max((1, 2)) <= variables[:, 10:].max(1) + 1e-6).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optic_nerve", "fibres"])
def test_two_models_of_fields(run_example, name):
    text, size = run_example(name, "--fields", "60", "--steps", "2", "--moves", "1", "--count", "16", "--side", "16")
    assert text.count("energy distance") == 2 and text.count("Minkowski functionals") == 2 and min(size) > 300


@pytest.mark.slow
def test_samples_on_their_way_out_of_the_noise(run_example, tmp_path):
    small = ["--fields", "60", "--steps", "2", "--moves", "1", "--side", "16"]
    _, (width, height) = run_example("optic_nerve", *small, figure="moving.gif")
    assert Image.open(tmp_path / "moving.gif").n_frames == 28 and width > 2 * height
    assert (tmp_path / "moving.gif").stat().st_size < 1e6


def test_pictures_in_panels_are_dark_on_light_and_in_order(tmp_path):
    panels = importlib.import_module("panels")
    images = np.arange(5)[:, None, None] * np.ones((5, 2, 3))
    page = panels.mosaic(images, 2, 3)  # six places, of which the last is empty
    assert page.shape == (8, 15)
    inner = page.reshape(2, 4, 3, 5)[:, 1:3, :, 1:4]
    assert (inner.swapaxes(1, 2).reshape(6, 6)[:5] == np.arange(5)[:, None]).all()
    assert np.isnan(page).sum() == 8 * 15 - 5 * 6
    panels.draw({"black": np.ones((1, 8, 8)), "white": np.zeros((1, 8, 8))}, tmp_path / "a.png", (1, 1), (4, 2))
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert pixels[140, 140] == 0 and pixels[140, 420] == 255  # 140 dots an inch


@pytest.mark.slow
def test_frames_between_two_seeds_are_as_wide_as_samples(run_example):
    """Of a network that was not trained: its score is 0, so that states are noise, and mixed noise has the same width."""
    text, _ = run_example("ncsnv2_figure6", "--steps", "1", "--count", "12")
    near, ends = map(
        float, re.search(r"a frame is ([\d.]+) from the next, and the two ends are ([\d.]+)", text).groups()
    )
    assert near == pytest.approx(ends * 2**0.5 * np.sin(np.pi / 48), rel=0.1)  # a great circle in twelve steps


def test_the_network_of_the_guide(monkeypatch):
    """As many parameters as the guide's; and training lowers the loss of a network that answers 0, which is 1."""
    guide = importlib.import_module("guide_unet")
    assert sum(p.numel() for p in guide.GuideUNet().parameters()) == 129_697
    monkeypatch.setattr(guide, "LEVELS", torch.tensor([1.0, 0.5]).repeat(5))
    network, x = guide.trained(torch.zeros(8, 1, 28, 28), 12), torch.zeros(40, 1, 28, 28)
    level, z = guide.LEVELS.repeat(4), torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    scaled = level.reshape(-1, 1, 1, 1)
    assert float((scaled * network(x + scaled * z, level) + z).square().mean()) < 0.9


@pytest.mark.slow
def test_the_guide_on_images(run_example, tmp_path):
    from sklearn.datasets import load_digits

    images = load_digits().images[:600].repeat(3, 1).repeat(3, 2) * 15.9
    np.savez(tmp_path / "images.npz", images=np.pad(images, ((0, 0), (2, 2), (2, 2))).astype(np.uint8))
    text, size = run_example("mnist_guide", str(tmp_path / "images.npz"), "--steps", "2", "--count", "2")
    assert text.count("energy distance") == 3 and min(size) > 300


def test_phantoms_have_a_skull_tissue_and_grain():
    phantoms = importlib.import_module("phantoms")
    x = phantoms.phantoms(300, seed=0)
    assert x.shape == (300, 24, 24)
    assert x[:, 0].std() == pytest.approx(0.02, rel=0.05) and abs(x[:, 0].mean()) < 0.001  # air above the head
    middle = np.sort(x[:, 12].reshape(300, 24), 1)[:, -2]  # a row crosses the skull twice
    assert abs(np.median(middle) - 1) < 0.15


def test_calibrated_draws_hold_the_truth_as_often_as_they_should():
    imaging = importlib.import_module("medical_imaging")
    rng = np.random.default_rng(0)
    truths, draws = rng.normal(size=(2000, 10)), rng.normal(size=(2000, imaging.DRAWS, 10))
    found = re.search(
        r"error ([\d.]+), predicted ([\d.]+); .* in ([\d.]+)% .* and ([\d.]+)%", imaging.calibration(truths, draws)
    )
    error, predicted, half, most = map(float, found.groups())
    expected = (1 + 1 / imaging.DRAWS) ** 0.5
    assert error == pytest.approx(expected, rel=0.03) and predicted == pytest.approx(expected, rel=0.01)
    assert half == pytest.approx(50, abs=1.5) and most == pytest.approx(90, abs=1)


@pytest.mark.slow
def test_medical_imaging(run_example):
    text, size = run_example("medical_imaging", "--phantoms", "60", "--steps", "2", "--truths", "4")
    assert text.count("50 % intervals") == 2 and text.count("best linear") == 2 and min(size) > 500


@pytest.mark.slow
def test_milstein_draws_the_bits_of_euler_maruyama(run_example):
    text, size = run_example("milstein", "--count", "40")
    assert "the bits of Euler-Maruyama: True" in text and min(size) > 300


SMALL = {
    "annealed_importance": ["--count", "200"],
    "by_all_objectives": ["--steps", "2", "--dimensions", "10"],
    "donut": ["--steps", "20"],
    "ncsn_figure2": ["--count", "1000", "--steps", "2"],
    "ncsn_figure3": ["--count", "100"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_figures_at_small_size(run_example, name):
    assert min(run_example(name, *SMALL[name])[1]) > 300


@pytest.fixture
def run_script(examples, monkeypatch, capsys):
    """Runs a script by its arguments, and returns its output."""

    def ran(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        runpy.run_path(str(examples / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return ran


@pytest.mark.slow
def test_the_gap_to_the_entropy(run_script):
    text = run_script("entropy_gap", "--minutes", 0.02, "--count", 500, "--held-out", 60, "--toys", "moons")
    assert text.count("entropy   1.0076") == 2 and re.search(r"gap +\d\.\d+ ± 0\.\d+", text) and "(ELBO)" in text


@pytest.mark.slow
def test_the_pictures_of_the_readme(run_script, tmp_path):
    run_script("digits", tmp_path / "digits.npy")
    images, docs = np.load(tmp_path / "digits.npy"), Path(__file__).parents[1] / "docs"
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8
    scorefield.fit(images[:300], tmp_path / "run", steps=2, network=scorefield.Network(widths=(16,)))
    run_script("picture", tmp_path / "digits.npy", tmp_path / "run", tmp_path / "digits.png")
    assert Image.open(tmp_path / "digits.png").size == Image.open(docs / "digits.png").size
    run_script("readme_picture", tmp_path / "digits.png", docs / "posterior_digits.png", tmp_path / "readme.png")
    assert Image.open(tmp_path / "readme.png").size == Image.open(docs / "readme.png").size
