"""Names of columns, values and folders that are no mathematics, no HTML and no single line: every page and picture is drawn."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scorefield.cli import main
from scorefield.reporting.base import canvas, inset, png
from scorefield.reporting.figures import histograms, scatter_matrix, scatter_pair

NAMES = [r"$\bm{v}$", "US$_in_vs_A$", "a_$", "$", r"\frac", "n" * 200, "two\nlines", "😀", "\u05e9\u05dc\u05d5\u05dd"]
NAMES += ["\u202eevil", "<b>&amp;", "\x1b[2J"]
TINY = ["--steps", "5", "--batch", "16", "--evaluations", "1", "--widths", "8", "--depth", "1", "--device", "cpu"]


NUMBERS = pytest.param(3, id="numbers", marks=pytest.mark.slow)
MIXED = pytest.param(len(NAMES), id="mixed")
PAGES = [
    pytest.param(
        *size.values, verb, id=f"{size.id}-{verb}", marks=size.marks if verb == "report" else [pytest.mark.slow]
    )
    for verb in ("report", "compare", "diagnose", "evaluate")
    for size in ((NUMBERS,) if verb == "diagnose" else (NUMBERS, MIXED))  # its picture has no names of columns
]


@pytest.fixture(scope="module", params=[NUMBERS, MIXED])
def run(request, tmp_path_factory):
    """A run of a table whose columns, levels, folder and title have such names."""
    folder = tmp_path_factory.mktemp("names")
    rng = np.random.default_rng(0)
    names = NAMES[: request.param]
    table = pd.DataFrame(rng.normal(size=(320, len(names))), columns=names)
    if request.param == len(NAMES):
        table[r"$\cat{$"] = rng.choice(["$x_", r"b\frac", "😀"], 320)
    table.to_parquet(folder / "t.parquet")
    path = folder / r"$\bm{run}$ 😀"
    assert main(["fit", str(folder / "t.parquet"), "-o", str(path), *TINY]) == 0
    return path


@pytest.mark.parametrize(("run", "verb"), PAGES, indirect=["run"])
def test_every_page_is_drawn(run, verb, capsys):
    words = {"diagnose": [], "compare": ["-n", "100", "--samplers", "heun", "ddim", "--steps", "4"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert main([verb, str(run), *words.get(verb, ["-n", "100"])]) == 0
    printed = capsys.readouterr()
    assert "\x1b[2J" not in printed.out and "Traceback" not in printed.err
    pages = {"report": "report.html", "compare": "compare.html"}
    if verb in pages:
        page = (run / pages[verb]).read_text("utf-8")
        assert "<b>&amp;" not in page and "\u202e" not in page and "\x1b" not in page
        assert r"$\bm{run}$ 😀" in page


def test_noise_levels_of_such_a_table(run, tmp_path):
    assert main(["noise-levels", str(run.parent / "t.parquet"), "-o", str(tmp_path / "$\\bm{.png")]) == 0


def drawn(text: str) -> np.ndarray:
    figure = canvas(120, 60)
    inset(figure, 10, 10, 10, 30).set_title(text)
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGBA"))


def test_texts_are_drawn_literally_however_a_figure_is_drawn():
    assert not np.array_equal(drawn("$x_1$"), drawn("x_1"))  # the dollars are there
    for text in [*NAMES, "\ud800", "a\x00b"]:
        figure = canvas(120, 60)
        axes = inset(figure, 40, 20, 10, 30)
        axes.set_title(text)
        axes.set_yticks([0, 1], ["", text[:9].replace("\ud800", "")])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.savefig(io.BytesIO(), format="png")
            figure.canvas.draw()
            png(figure)


def test_long_names_cost_no_time_and_no_room():
    x = np.random.default_rng(0).normal(size=(50, 2))
    names = ["n" * 100_000, "m"]
    short = ["n" * 200, "m"]
    assert scatter_pair(x, x, names) == scatter_pair(x, x, short)
    assert histograms(x, x, names) == histograms(x, x, short)
    assert scatter_matrix(x, x, names) == scatter_matrix(x, x, short)


def test_halves_of_characters_in_python(tmp_path):
    from scorefield.reporting.page import Content, write_page

    x = np.random.default_rng(0).normal(size=(30, 2))
    page = write_page(tmp_path / "page.html", Content(title="a\udcff", samples=x, held_out=x, names=["\ud800", "b"]))
    assert "a\ufffd" in page.read_text("utf-8")
