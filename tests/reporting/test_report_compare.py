"""The page of a comparison: one self-contained file, a picture and a table row for each sampler."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from test_page import parsed

from scorefield.comparison import Comparison, SamplerResult
from scorefield.metrics import Distance
from scorefield.reporting.compare import track, write_comparison
from scorefield.samplers import DDIM, Heun, Sampling
from scorefield.schedules import ExplicitLevels

SAMPLINGS = (Sampling(Heun(), 18), Sampling(DDIM(eta=1.0), 36, ExplicitLevels((10.0, 1.0))))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def row(sampling, value=0.1, **changes):
    distances = tuple(Distance(name, value, 0.0, -0.1, 0.1, (40, 60)) for name in ("energy distance", "sliced <W>"))
    given = {"evaluations": 37.0, "seconds": 0.5, "distances": distances, "diversity": 0.987, "apart": 0.25}
    return SamplerResult(sampling, **(given | changes))


def comparison(held_out, samples, **changes):
    rows = tuple(row(sampling, value) for sampling, value in zip(SAMPLINGS, (0.05, 0.3)))
    return Comparison(
        **({"count": 1000, "seed": 3, "rows": rows, "failed": (), "samples": samples, "held_out": held_out} | changes)
    )


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 30), (2, 30), (1, 12, 12), (3, 8, 8), (2, 9, 7), (1, 5, 6, 7)])
def test_a_page_is_self_contained(shape, rng, tmp_path):
    given = comparison(rng.normal(size=(40, *shape)), tuple(rng.normal(size=(30, *shape)) for _ in SAMPLINGS))
    path = write_comparison(tmp_path / "deep" / "compare.html", given, "A <run>")
    page, tags = parsed(path)
    assert "<script" not in page and not re.search(r"https?:|url\(|@import", page)
    assert [f.name for f in path.parent.iterdir()] == ["compare.html"] and "A &lt;run&gt;" in page
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert [image["alt"] for image in images] == [*(["Held-out data"] if shape != (1,) else []), *map(str, SAMPLINGS)]
    for image in images:
        Image.open(io.BytesIO(base64.b64decode(image["src"].split(",", 1)[1]))).verify()
    assert sum(tag == "source" for tag, _ in tags) == (
        0 if len(shape) > 2 else len(images)
    )  # lines and points have a dark variant


def test_each_sampler_has_a_table_row(rng, tmp_path):
    failed = ((Sampling(Heun(), 2), "Heun became <non-finite>"),)
    samples = tuple(rng.normal(size=(30, 2)) for _ in SAMPLINGS)
    page, tags = parsed(
        write_comparison(tmp_path / "c.html", comparison(rng.normal(size=(9, 2)), samples, failed=failed), "t")
    )
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    lines = [" ".join(re.sub("<[^>]*>", " ", line.replace("<wbr>", "")).split()) for line in body.split("<tr")[1:]]
    assert [line.split(">", 1)[-1].strip() for line in lines[1:]] == [
        "Heun(steps=18) 37 0.5 2,000 0.05 0.05 yes 0.987 –",
        "DDIM(eta=1, steps=36, schedule=ExplicitLevels(values=(10, 1))) 37 0.5 2,000 0.3 0.3 no 0.987 0.25",
    ]
    assert "Real against real data 0 0 1" in lines[0]
    assert "Sliced &lt;W&gt;" in page and "Heun(steps=2) failed: Heun became &lt;non-finite&gt;." in page
    assert "no difference from held-out data was found in the samples of 1 of 2 samplers." in page
    assert len([1 for tag, attrs in tags if tag == "span" and attrs.get("class") == "value-mark"]) == 4


def test_pictures_show_the_same_seeds_with_the_same_limits(rng, tmp_path):
    digits = rng.integers(0, 256, (30, 1, 8, 8)).astype(float)
    _, tags = parsed(write_comparison(tmp_path / "c.html", comparison(digits, (digits[::-1], digits)), "t"))
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(attrs["src"].split(",", 1)[1]))).convert("LA"), dtype=int)
        for tag, attrs in tags
        if tag == "img"
    ]
    assert (pictures[0] == pictures[2]).all() and (pictures[0] != pictures[1]).any()
    scale = pictures[0].shape[0] // 8
    tile = pictures[1][::scale, : 8 * scale : scale, 0]
    assert np.abs(tile - digits[-1, 0]).max() <= 1


def test_the_columns_that_differ_most_are_shown(rng, tmp_path):
    held_out, samples = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    samples[:, [1, 3]] += 2
    given = comparison(held_out, (samples, samples), columns=("a", "b", "c", "<d>"))
    page, _ = parsed(write_comparison(tmp_path / "c.html", given, "t"))
    assert "Shown are the 2 of 4 columns in which samples and held-out data differ most." in page
    given = comparison(held_out, (samples, samples), columns=(r"$\bm{v}$", "US$_in_vs_A$", "<b>", "$d$"))
    page, _ = parsed(write_comparison(tmp_path / "c.html", given, "t"))  # names that are not mathtext
    assert "Shown are" in page
    page, _ = parsed(write_comparison(tmp_path / "c.html", comparison(held_out[:, :2], (samples[:, :2],) * 2), "t"))
    assert "Shown are" not in page and "The first 5 samples are numbered" in page


@pytest.mark.parametrize("values", [(0.05, 0.08), (-0.3, 0.02), (0.5, 1e9), (0.0, 0.0)])
def test_all_rows_share_an_axis_that_includes_the_band(values):
    rows = [row(sampling, value) for sampling, value in zip(SAMPLINGS, values)]
    tracks = [track(each.distances[0], rows, 0) for each in rows]
    for at, value in zip(tracks, values):
        assert 0 <= at["low"] <= at["floor"] <= at["high"] <= 100 and 0 <= at["value"] <= 100
        assert at["high"] - at["low"] >= 10  # however large the value
        assert (at["value"] <= at["high"]) == (value <= 0.1)
    assert (tracks[0]["value"] <= tracks[1]["value"]) == (values[0] <= values[1])
    flat = SamplerResult(SAMPLINGS[0], 1.0, 1.0, (Distance("d", 0.0, 0.0, 0.0, 0.0),), 1.0, 0.0)
    assert track(flat.distances[0], [flat], 0)["value"] == 0


def test_one_sampler_makes_a_page(rng, tmp_path):
    alone = comparison(rng.normal(size=(9, 3)), (rng.normal(size=(9, 3)),), rows=(row(SAMPLINGS[0]),))
    page, _ = parsed(write_comparison(tmp_path / "c.html", alone, "t"))
    assert "One sampler" in page and '--sampler "Heun(steps=18)"' in page.replace("&#34;", '"')
