"""The benchmark on CIFAR-10: small, from end to end, on images that are made here."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


def images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of one colour for each of ten classes, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    colours = np.random.default_rng(5).uniform(40, 215, (10, 3))
    x = colours[labels][:, None, None] + 10 * rng.normal(size=(count, 32, 32, 3))
    return x.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)


def parquet(path: Path, count: int) -> Path:
    """A file with encoded images, of the form of the public copies of CIFAR-10."""
    from pandas import DataFrame
    from PIL import Image

    encoded, (x, labels) = [], images(count)
    for image in x:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        encoded.append(file.getvalue())
    DataFrame({"image": encoded, "label": labels}).to_parquet(path)
    return path


@pytest.mark.slow
def test_features_tell_classes_apart_and_the_distance_is_that_of_the_features():
    from cifar10 import Distances, Images, channels_first
    from image_features import accuracy, classifier_features, train_classifier

    x, labels = images(900)
    found = Images(x[:700], x[700:800], x[800:], (labels[:700].astype(np.int64), labels[700:800]))
    network = train_classifier(channels_first(found.train), found.labels[0], 20, 8)
    assert accuracy(network, channels_first(found.real), found.labels[1]) > 0.8
    distances = Distances(found, classifier_features(network))
    assert distances(found.real) == pytest.approx((0, 1), abs=1e-6)
    assert distances(255 - found.real)[0] > 10 * distances.floor(100) > 0
    assert distances(found.real[:50].repeat(2, 0))[1] == pytest.approx(1, abs=0.3)


def test_a_page_holds_every_image_in_its_place():
    from cifar10_figures import tiled

    x, _ = images(7)
    page = tiled(x, 3, scale=1)
    assert page.shape == (3 * 34, 3 * 34, 3)
    assert (page[35:67, 1:33] == x[3]).all() and (page[69:101, 1:33] == x[6]).all()
    assert (page[:, 34 * 2 :][69:] == 255).all()


@pytest.mark.slow
def test_the_benchmark_runs_from_end_to_end(tmp_path):
    data, folder = parquet(tmp_path / "images.parquet", 300), tmp_path / "out"
    words = [sys.executable, str(BENCHMARKS / "cifar10.py"), str(data), "-o", str(folder), "--small", "--device", "cpu"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "results.json").read_text())
    assert found["train"]["images"] == 240 and [p["images"] for p in found["curve"]["points"]][-1] == 240
    by_name = {row["name"]: row for row in found["samplers"]}
    assert by_name["Milstein"]["equal"] and by_name["Milstein"]["distance"] == by_name["Euler-Maruyama"]["distance"]
    assert by_name["default"]["evaluations"] == 4 and by_name["predictor-corrector"]["evaluations"] == 3
    assert len(found["networks"]) == 6 and all(np.isfinite(row["loss"]) for row in found["networks"])
    assert {p.stem for p in folder.glob("*.png")} == {"samples", "data", "interpolation", "curve"}
