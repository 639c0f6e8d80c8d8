"""What a report says, from its first screen to its last: one verdict, in the words and units of the data, on any screen."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scorefield.evaluation import ConditionCheck, Verdict
from scorefield.metrics import Distance, Neighbours, field_tests
from scorefield.reporting import DARK, Content, page_figures, write_page
from scorefield.reporting.page import _classes
from scorefield.reporting.provenance import command_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LONG = "a_name_of_a_column_that_is_long_and_has_no_spaces_at_all"
SUMMARY = Verdict("The samples differ from real data.", ("1 of 2 tests finds it.",), ("Train longer.",), ("With 60.",))


def content(shape: tuple[int, ...], **changes) -> Content:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, *shape))
    curves = field_tests(x[:30], x[30:], permutations=19) if len(shape) > 1 else ()
    given = {
        "title": LONG,
        "summary": SUMMARY,
        "facts": [("Sampler", "ExponentialAdams(order=3, steps=24, schedule=ExplicitLevels(values=(1, 2, 3)))")],
        "samples": x[:30],
        "held_out": x[30:],
        "names": [LONG + str(i) for i in range(shape[0])],
        "distances": [Distance("energy distance", 0.2, 0.0, -0.1, 0.1, (30, 30), 0.01)],
        "curves": curves,
        "neighbours": Neighbours(rng.random(30), rng.random(30), 0.1, 0.1, 0.4),
        "levels": {"level": [0.1, 1.0, 10.0], "loss": [0.9, 0.3, 0.8], "zero_loss": [1.0, 1.0, 1.0]},
        "log": [{"step": s, "seconds": s / 10, "loss": 1 / s} for s in range(1, 40)],
        "frames": [x[:8] * scale for scale in (9.0, 1.0)],
        "calibration": [(LONG, "DenoisingScoreMatching(" + "x" * 60 + ")", "chosen")],
        "provenance": [("Command", "scorefield fit /" + "deep/" * 40 + "x.npy -o run"), ("Data", "x.npy")],
    }
    return Content(**(given | changes))


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.split("</style>")[1])).split())


def written(made: Content, folder: Path) -> str:
    return write_page(folder / "r.html", made).read_text("utf-8")


@pytest.fixture(scope="module")
def page_of(tmp_path_factory) -> Callable[[tuple[int, ...]], str]:
    """The page of data of a shape, drawn once."""
    return cache(lambda shape: written(content(shape), tmp_path_factory.mktemp("page")))


def test_first_the_conclusion_then_why_then_what_to_do(page_of, tmp_path):
    text = text_of(page_of((3,)))
    parts = [
        SUMMARY.conclusion,
        "Why",
        SUMMARY.reasons[0],
        "What to do",
        SUMMARY.advice[0],
        "How it was tested",
        "With 60.",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places) and places[-1] < text.index("Held-out data, which were not used")
    good = content((3,), summary=Verdict("No difference was found.", ("None of 2 tests finds one.",)))
    assert "What to do The tests call for no change." in text_of(written(good, tmp_path))


@pytest.mark.slow
def test_long_pages_have_a_table_of_contents_whose_links_lead_somewhere(page_of, tmp_path):
    page = page_of((1, 32))
    links = re.findall(r'<a href="#([^"]+)">', page)
    assert len(links) > 5 and all(page.count(f'id="{link}"') == 1 for link in links)
    assert "<nav" not in written(Content("short"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "words", "none"),
    [
        ((1, 32), ("Series", "Autocorrelation", "runs above the threshold"), ("chord", "phase", "grid point")),
        ((2, 12, 12), ("Fields", "Two-point correlation", "Chord lengths"), ("time step",)),
    ],
)
def test_series_are_described_as_series_and_fields_as_fields(shape, words, none, page_of):
    text = text_of(page_of(shape))
    assert all(word in text for word in words) and not any(word in text for word in none)
    assert not re.search(r"\bz = ", text)


def test_print_and_reduced_motion_show_the_last_frame(page_of):
    page = page_of((3,))
    moving, still = re.search(
        r'<div class="moving">(.*?)</div><div class="still">(.*?)</div>', page, re.DOTALL
    ).groups()
    assert "image/gif" in moving and "image/png" not in moving and "image/png" in still and "image/gif" not in still
    for rule in ("@media print", "@media (prefers-reduced-motion: reduce)"):
        assert re.search(
            re.escape(rule) + r" \{.*?\.moving \{ display: none; \} \.still \{ display: block; \}", page, re.S
        )
    assert f"Horizontal: {LONG}0, vertical: {LONG}1" in page


@pytest.fixture
def conditional() -> Content:
    test = Distance(
        "agreement with the condition", 0.3, 0.0, -0.1, 0.1, (30, 30), 0.001, note="mean not recognized: 0.4"
    )
    check = ConditionCheck(
        test, ("digit = 2", "digit = 10"), np.array([15, 15]), np.array([0.4, 0.2]), np.zeros(2), True
    )
    return content((1, 8, 8), condition=check, asked=["digit = 10", "digit = 2"] * 15)


@pytest.mark.slow
def test_conditions_are_shown_by_class_with_the_check(conditional, tmp_path):
    text, asked = text_of(written(conditional, tmp_path)), ["digit = 10", "digit = 2"] * 15
    assert "from top to bottom: digit = 2, digit = 10." in text and "digit = 2 40 % 0 % 15" in text
    assert "share not recognized" in text and conditional.more_tests[0].name == "agreement with the condition"
    assert _classes(asked, 30, 8) == [("digit = 2", [1, 3, 5, 7]), ("digit = 10", [0, 2, 4, 6])]
    assert _classes([str(i) for i in range(30)], 30, 30) == []  # not classes: each is different


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_tables_of_conditions_fit_a_phone(conditional, tmp_path):
    assert overflows(written(conditional, tmp_path), tmp_path) == [0, 0, 0, 0]


@pytest.mark.slow
def test_figures_are_matplotlib_axes_with_names_on_both(tmp_path):
    made = content((2, 12, 12))
    figures = page_figures(made, DARK)
    assert {"training", "levels", "neighbours", "power spectrum", "Minkowski functionals"} <= set(figures)
    for curve in made.curves:
        axes = figures[curve.name].axes
        assert len(axes) == 2 and axes[-1].get_xlabel() == curve.axis != ""  # a panel for each channel
        assert all(curve.channels[c] in axes[c].texts[0].get_text() for c in range(2))
    figures["power spectrum"].savefig(tmp_path / "f.pdf")
    assert (tmp_path / "f.pdf").stat().st_size > 1000
    assert len(page_figures(content((3,)))["columns"].axes) == 9


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ({"training": {"steps": 24, "clip": 1.0, "averages": [0.05, 0.15]}}, "scorefield fit x.npy -o run --steps 24"),
        (
            {"data": {"bounds": {"a b": [0, None]}, "dequantize": False}},
            "scorefield fit x.npy -o run --bounds 'a b=0:' --no-dequantize",
        ),
        ({"context": "1f", "seed": 3}, "scorefield fit x.npy -o run --context CONTEXT --seed 3"),
    ],
)
def test_the_command_that_fits_it_again(asked, command):
    assert command_of({"source": {"path": "x.npy", "cache": "/c"}, "seed": 0} | asked, "run") == command


def overflows(page: str, folder: Path) -> list[int]:
    """By how many pixels a page is wider than screens, measured in frames as wide as these."""
    style = re.search(r"<meta http-equiv.*?>", page).group(0)
    (folder / "r.html").write_text(page.replace(style, ""), "utf-8")  # which would not allow the measurement
    frames = "".join(f'<iframe src="r.html" style="width:{w}px;height:900px"></iframe>' for w in (390, 900, 1024, 1440))
    script = (
        "<script>onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>"
        "f.contentDocument.documentElement).map(e=>e.scrollWidth-e.clientWidth).join(' ');"
        "document.body.innerHTML='<p id=w>'+document.title+'</p>'}</script>"
    )
    (folder / "frames.html").write_text(f"<!doctype html><body>{frames}{script}</body>", "utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=4000",
    ]
    call = [str(CHROMIUM), *flags, f"--user-data-dir={folder}/p", "--dump-dom", f"file://{folder}/frames.html"]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    if not ended.stdout:
        pytest.skip(f"the browser does not start here: {ended.stderr[-200:]}")
    found = re.search(r'<p id="w">([\d\s-]*)</p>', ended.stdout)
    assert found is not None
    return [int(part) for part in found.group(1).split()]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("shape", [(3,), (3, 12, 12)])
def test_nothing_is_wider_than_a_phone(shape, page_of, tmp_path):
    assert overflows(page_of(shape), tmp_path) == [0, 0, 0, 0]
