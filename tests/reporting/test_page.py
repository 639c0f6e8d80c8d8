"""The page: one self-contained file, every section optional."""

import base64
import html
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from scorefield.metrics import Curve, Distance, Neighbours, TestFamily
from scorefield.reporting import Content, write_page
from scorefield.reporting.page import strip

VOID = {"meta", "img", "source", "br", "wbr", "link"}


class Checker(HTMLParser):
    """Keeps the open elements, to find what is not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def full(rng, data, **changes):
    log = [
        {"step": s, "seconds": s / 10, "loss": 1 / s, "held_out": 1.1 / s if s % 5 == 0 else None} for s in range(1, 60)
    ]
    given = {
        "title": "Fields <of> Ω & more",
        "subtitle": "from <script>",
        "verdict": ["It is good.", "It is <b>fast</b>."],
        "facts": [("Data", 60000), ("Loss", 0.123456), ("Process", "VE"), ("Resumed", True)],
        "samples": data[:40],
        "held_out": data[40:],
        "distances": [Distance("energy distance", 0.2, 0.0, -0.1, 0.1, (40, 60))],
        "neighbours": Neighbours(rng.random(40), rng.random(40), 0.1, 0.1, 0.4),
        "levels": {"level": [0.1, 1.0, 10.0], "loss": [0.9, 0.3, 0.8], "zero_loss": [1.0, 1.0, 1.0]},
        "log": log,
        "frames": [data[:8] * scale for scale in (9.0, 3.0, 1.0)],
        "calibration": [("sigma_min", 0.01, "a tenth of the <nearest> distance")],
    }
    return Content(**(given | changes))


def family(count):
    test = Distance("columns", 2.5, 0.3, 0.1, 1.2, (40, 60), 0.02, note="of them, <x1> differs the most")
    values = np.linspace(0, 1, count)
    return TestFamily(test, tuple(f"<x{i}>" for i in range(count)), values, values, values, values[::-1] / 2)


def curve(channels, places=()):
    count = len(places) or 10
    test = Distance("power spectrum", 2.0, 1.0, 0.5, 2.5, (40, 60), 0.3, note="largest in the mean at 2, z = -2.0")
    middle = np.geomspace(100.0, 0.1, count) * np.ones((channels, 1))
    bands = middle * 0.9, middle * 1.1, np.stack([middle * 0.5, middle * 2])
    return Curve(
        "power spectrum", np.arange(1.0, count + 1), middle, middle, *bands, test, places, "cycles per grid point"
    )


def parsed(path):
    page = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return page, checker.tags


@pytest.mark.parametrize(
    "shape",
    [
        (1,),
        (4,),
        (1, 30),
        (3, 8, 8),
        *(pytest.param(s, marks=pytest.mark.slow) for s in ((2,), (1, 12, 12), (1, 5, 5, 5))),
    ],
)
def test_a_page_is_self_contained(shape, rng, tmp_path):
    fewer = {} if shape == (2,) else {"levels": None, "log": (), "neighbours": None}
    path = write_page(tmp_path / "deep" / "report.html", full(rng, rng.normal(size=(100, *shape)), **fewer))
    page, tags = parsed(path)
    assert "<script" not in page and not re.search(r"https?:|url\(|@import", page)
    assert [f.name for f in path.parent.iterdir()] == ["report.html"]
    addresses = [value for _, attrs in tags for key, value in attrs.items() if key in ("src", "srcset")]
    assert len(addresses) > 3
    for address in addresses:
        head, data = address.split(",", 1)
        assert head in ("data:image/png;base64", "data:image/gif;base64")
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert all(attrs["alt"] for tag, attrs in tags if tag == "img")


def test_text_is_escaped_and_numbers_are_formatted(rng, tmp_path):
    page, _ = parsed(
        write_page(
            tmp_path / "r.html",
            full(rng, rng.normal(size=(100, 3)), names=["<i>", "$b", "d"], levels=None, log=(), frames=()),
        )
    )
    assert "Fields &lt;of&gt; Ω &amp; more" in page and "<b>fast" not in page and "&lt;nearest&gt;" in page
    assert ">60,000<" in page and ">0.123<" in page and ">yes<" in page


@pytest.mark.parametrize("p", [0.0, 2.6e-129, 9e-7, 2e-6, 0.031])
def test_small_p_values_are_short(p, tmp_path):
    """A column of a table on a phone has room for eight characters."""
    families = [replace(family(3), p_values=np.full(3, p))]
    page, _ = parsed(write_page(tmp_path / "r.html", Content("t", families=families)))
    shown = re.findall(r'<td class="figure">([^<]*)</td></tr>', page)
    assert shown and all(len(text) <= 8 for text in map(html.unescape, shown))
    assert ("&lt; 1e−6" in shown) == (p < 1e-6)


def test_long_values_may_be_broken_where_a_call_opens(tmp_path):
    settings = [("objective", "LearnedUncertainty(DenoisingScoreMatching(<x>))", "why")]
    page, _ = parsed(write_page(tmp_path / "r.html", Content("t", calibration=settings)))
    assert "LearnedUncertainty(<wbr>DenoisingScoreMatching(<wbr>&lt;x&gt;))" in page


def test_every_section_is_optional(tmp_path):
    page, tags = parsed(write_page(tmp_path / "r.html", Content("Only a title")))
    assert "Only a title" in page and not [tag for tag, _ in tags if tag in ("section", "img", "table")]


def test_each_section_can_be_the_only_one(rng, tmp_path):
    whole = full(rng, rng.normal(size=(100, 2)))
    for parts in (("samples", "held_out"), ("distances",), ("neighbours",), ("levels",), ("log",), ("calibration",)):
        given = {part: getattr(whole, part) for part in parts}
        _, tags = parsed(write_page(tmp_path / "r.html", Content("t", **given)))
        assert len([tag for tag, _ in tags if tag == "section"]) == 1


@pytest.mark.parametrize("curves", [[curve(1)], [curve(4), curve(1, ("area above 1", "length above 1"))]])
def test_curves_of_fields(curves, tmp_path):
    page, tags = parsed(write_page(tmp_path / "r.html", Content("t", curves=curves)))
    assert len([tag for tag, _ in tags if tag == "img"]) == len(curves)
    assert "Largest in the mean at 2, z = −2.0." in page and "p = 0.3<" in page


def test_the_statistics_that_differ_most_are_shown(tmp_path):
    page, _ = parsed(write_page(tmp_path / "r.html", Content("t", families=[family(20)])))
    assert [f"&lt;x{i}&gt;" in page for i in range(20)] == [False] * 12 + [True] * 8
    assert "All 20 tested together: p = 0.02. Shown are those that differ most." in page
    page, _ = parsed(write_page(tmp_path / "r.html", Content("t", families=[family(3)])))
    assert "Shown are those" not in page


def test_tests_with_p_values_come_before_distances(tmp_path):
    distances = [
        Distance("Wasserstein", 0.2, 0.1, 0.05, 0.3, (40, 60)),
        Distance("recall", 0.9, 0.95, 0.9, 1.0, (40, 60), higher=True),
        Distance("energy distance", 0.2, 0.1, 0.05, 0.3, (40, 60), 0.04),
    ]
    twin = Distance("two ways of sampling", 0.2, 0.1, 0.05, 0.3, (40, 60), 0.5)
    page, _ = parsed(
        write_page(tmp_path / "r.html", Content("t", distances=distances, twin=twin, chosen="On <vectors>."))
    )
    places = [
        page.index(f"<b>{name}</b>") for name in ("energy distance", "Wasserstein", "recall", "two ways of sampling")
    ]
    assert places == sorted(places)
    assert "p = 0.04" in page and page.count("higher is better") == 1 and "On &lt;vectors&gt;." in page


def test_a_page_of_digits_is_small(rng, tmp_path):
    digits = rng.integers(0, 256, (100, 1, 28, 28)).astype(np.uint8)  # noise is the worst case
    frames = [rng.normal(size=(16, 1, 28, 28)) for _ in range(60)]
    assert write_page(tmp_path / "r.html", full(rng, digits, frames=frames, levels=None)).stat().st_size < 2_000_000


@pytest.mark.slow
def test_the_sections_agree_on_the_number_of_significant_tests(tmp_path):
    """p = 0.02 is not significant among 21 tests; the section of distances must not count it."""
    tests = [Distance(f"test {i}", 0.2, 0.1, 0.05, 0.3, (40, 60), p) for i, p in enumerate((0.02, 0.5))]
    few, _ = parsed(write_page(tmp_path / "r.html", Content("t", distances=tests)))
    assert "None of these 2 tests" not in few and "1 of these 2 tests distinguishes" in few
    many, _ = parsed(write_page(tmp_path / "r.html", Content("t", distances=tests, curves=[curve(1)] * 19)))
    assert "None of these 2 tests distinguishes" in many and "for all 21 tests together" in many


def test_a_page_replaces_an_older_one(tmp_path):
    write_page(tmp_path / "r.html", Content("old"))
    assert "old" not in write_page(str(tmp_path / "r.html"), Content("new")).read_text()


def test_copies_are_highlighted(rng, tmp_path):
    copies = Neighbours(np.full(40, 1e-3), np.ones(40), 0.9, 0.0, 1e-12, 1e-12)
    page, tags = parsed(write_page(tmp_path / "r.html", Content("t", neighbours=copies)))
    assert "suspiciously close" in page and any("warning" in attrs.get("class", "") for _, attrs in tags)


def test_a_strip_keeps_the_order_of_its_values():
    for distance in (
        Distance("d", 0.2, 0.0, -0.1, 0.1),
        Distance("d", 50.0, 0.1, 0.05, 0.15),
        Distance("d", 0, 0, 0, 0),
    ):
        row = strip(distance)
        assert 0 <= row["low"] <= row["floor"] <= row["high"] <= 100 and 0 <= row["value"] <= 100
        assert (row["value"] <= row["high"]) == distance.covered


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": np.zeros((3, 2))}, "pass both, or neither"),
        ({"frames": [np.zeros((3, 2))]}, "needs held_out"),
        ({"samples": np.zeros((3, 2)), "held_out": np.zeros((3, 4))}, r"the same shape, got \(3, 2\) and \(3, 4\)"),
        ({"samples": np.zeros((0, 2)), "held_out": np.zeros((3, 2))}, r"got \(0, 2\)"),
        ({"samples": np.zeros(3), "held_out": np.zeros(3)}, r"\(N, F\) or \(N, C, \*S\)"),
        ({"samples": np.full((3, 2), np.nan), "held_out": np.zeros((3, 2))}, "samples has NaN"),
        ({"samples": np.zeros((3, 2)), "held_out": np.zeros((3, 2)), "structure": "grid"}, '"grid" does not fit'),
    ],
)
def test_errors_say_what_is_needed(given, message):
    with pytest.raises(ValueError, match=message):
        Content("t", **given)


def test_drawing_libraries_are_imported_late_and_pyplot_never():
    code = (
        "import sys, scorefield.reporting as r; assert not {'matplotlib', 'PIL'} & set(sys.modules); "
        "import numpy as np; r.training_curve([{'step': 1, 'loss': 1.0}]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
