"""The sections of tables: columns by their kind, each number with its name, and names drawn as text."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from html import unescape
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_report_says import CHROMIUM, overflows, written

from scorefield.display import shortened
from scorefield.evaluation import evaluate_table
from scorefield.metrics import PlainColumn
from scorefield.reporting import Content, tables, write_page
from scorefield.reporting.columns import association_matrix, column_chart


@dataclass(frozen=True)
class Words:
    """A category of words."""

    name: Any
    levels: tuple[str, ...]
    kind: str = "category"

    @property
    def size(self) -> int:
        return len(self.levels)

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([self.levels[int(k)] for k in numbers], dtype=object)

    def cycles(self, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        return {}


@dataclass(frozen=True)
class Days:
    """Dates as days since 1970."""

    name: Any
    kind: str = "date"
    size: int = 0

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(numbers).astype("datetime64[D]")

    def cycles(self, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        return {}


NAMES = (r"$\bm{v}$", "US$_in_vs_A$", "=1+1", "<script>")
COLUMNS = (
    *(PlainColumn(name) for name in NAMES[:3]),
    Words(NAMES[3], ("<b>no</b>", "yes$x$", "Married-civ-spouse")),
    Days("day"),
    PlainColumn("a_name_of_a_column_that_is_long_and_has_no_spaces_at_all"),
)


def table(count: int, seed: int, spiky: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=count)
    rain = np.where(rng.random(count) < (0.6 if spiky else 0.1), 0.0, rng.gamma(2.0, size=count) - 0.2 * (not spiky))
    day = np.round(19000 + 300 * rng.random(count))
    day[rng.random(count) < 0.1] = np.nan
    kind = np.clip(np.round(1 + z), 0, 2)
    kind[rng.random(count) < 0.05] = np.nan
    return np.stack([z, z + rng.normal(size=count), rain, kind, day, 1e6 * rng.standard_t(3, count)], 1)


@pytest.fixture(scope="module")
def content() -> Content:
    samples, held_out = table(400, 1, spiky=False), table(300, 2)
    found, families = evaluate_table(samples, table(900, 3), held_out, COLUMNS)
    given = {"samples": samples, "held_out": held_out, "table": found, "families": families}
    return Content("A table", distances=(found.boosted,), **given)


@pytest.fixture(scope="module")
def page(content, tmp_path_factory) -> str:
    return write_page(tmp_path_factory.mktemp("page") / "report.html", content).read_text()


def cards(page: str) -> list[str]:
    return re.findall(r'<figure class="card">.*?</figure>', page, re.DOTALL)


def test_names_are_text(page):
    assert "<script" not in page and "<b>no</b>" not in page
    assert [f"<b>{name}</b>" in unescape(page) for name in NAMES] == [True] * 4
    assert "&lt;script&gt;" in page


def test_the_column_that_differs_most_comes_first_with_its_spike_and_its_range(page):
    first = cards(page)[0]
    assert len(cards(page)) == 6 and "<b>=1+1</b>" in first
    rows = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", first))
    assert "most common value, 0, share of rows" in rows and "held out:" in rows["most common value, 0, share of rows"]
    assert "Wasserstein distance, units of the column" in rows and "Kolmogorov-Smirnov distance" in rows
    outside = next(value for name, value in rows.items() if name.startswith("samples outside the range 0 to"))
    assert re.fullmatch(r"\d+ below, \d+ above", outside) and not outside.startswith("0 below")


def test_every_column_has_measures_of_its_kind(page):
    by_name = {unescape(re.search(r"<b>(.*?)</b>", card).group(1)): card for card in cards(page)}
    assert "total variation distance" in by_name["<script>"] and "TVComplement of SDMetrics" in by_name["<script>"]
    assert "samples with a category that no row has" in by_name["<script>"]
    assert "Wasserstein" not in by_name["<script>"]
    assert "missing values, share of rows" in by_name["day"] and "2022-" in by_name["day"]
    assert "encoded units of the date" in by_name["day"]
    assert all('class="p">p = ' in card for card in by_name.values())


def test_sections_say_what_their_numbers_are(page, content):
    text = unescape(re.sub(r"<[^>]*>", " ", page))
    for words in (
        "Columns",
        "Pairs of columns",
        "Scores of SDMetrics",
        "Patterns of missing values",
        "Utility",
        "Privacy",
    ):
        assert words in text
    assert "The table shows Spearman's correlations of two numbers" in text
    assert "The table shows means of numbers, and shares of the category" in text
    utility = content.table.utility
    assert utility.target == "<script>" and "learned from" in text and "95 % interval" in text
    assert f"of {len(content.table.columns)} columns" not in text
    assert "No copies were found:" in text and "are nearer to a training row" in text


@pytest.mark.slow
def test_of_many_columns_some_are_drawn_and_the_page_says_so(tmp_path, monkeypatch):
    assert tables.MOST == 30
    monkeypatch.setattr(tables, "MOST", 4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 14)), rng.normal(size=(60, 14))
    x[:, 10] += 3
    found, families = evaluate_table(x, None, y, columns := tuple(PlainColumn(f"x{i}") for i in range(14)))
    given = {"samples": x, "held_out": y, "table": found, "families": families}
    page = write_page(tmp_path / "r.html", Content("t", names=[c.name for c in columns], **given)).read_text()
    assert len(cards(page)) == 4 and "<b>x10</b>" in cards(page)[0]
    assert (
        "Shown are 4 of 14 columns, those first" in page
        and "Shown are at most 20 columns, 12 on narrow screens" in page
    )
    assert "Utility" not in page and "Privacy" not in page
    assert "Above the diagonal: correlation coefficients." in page  # numbers alone are still drawn as points


def test_nothing_is_wider_than_the_screen(page):
    """By the style: cards shrink to the screen, long words break, and only the scatter matrix may scroll in its own box."""
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    assert "minmax(min(100%, 290px), 1fr)" in style and "img { display: block; max-width: 100%" in style
    for what in (".card figcaption b", ".measures dt", ".measures dd", ".numbers th"):
        rule = re.search(re.escape(what) + r" \{(.*?)\}", style).group(1)
        assert "overflow-wrap: anywhere" in rule
    widths = [int(width) for width in re.findall(r'<img [^>]*width="(\d+)"', page)]
    assert max(widths) <= 680 and "wide-picture" not in page.split("</style>")[1]
    narrow = re.search(r"@media \(max-width: 640px\) \{(.*?)\n\}", style, re.DOTALL).group(1)
    columns = re.search(r"\.numbers tr \{ grid-template-columns: (.*?); \}", narrow).group(1)
    assert columns.startswith("minmax(0, 1fr) repeat(3, minmax(0, 4.4rem)); gap: 0 10px")  # 3 x 80 of 350 pixels


def test_charts_are_pictures_of_the_width_of_a_card(content):
    shapes = content.table.shapes.columns
    for i, column in enumerate(COLUMNS):
        picture = Image.open(io.BytesIO(column_chart(column, shapes[i], content.held_out[:, i], content.samples[:, i])))
        assert picture.width == 640 and 60 < picture.height < 500
    wide, narrow = (
        Image.open(io.BytesIO(association_matrix(content.table.trends, range(6), width=width))) for width in (680, 350)
    )
    assert (wide.width, narrow.width) == (1360, 700)


@pytest.mark.parametrize("values", [np.full(40, np.nan), np.ones(40), np.r_[np.zeros(39), 1e12]])
def test_charts_of_columns_without_a_spread(values):
    x = np.stack([values, np.arange(40.0)], 1)
    found, _ = evaluate_table(x, None, x, (PlainColumn("a"), PlainColumn("b")))
    Image.open(io.BytesIO(column_chart(found.columns[0], found.shapes.columns[0], values, values))).verify()


def test_a_table_may_have_gaps_and_other_data_may_not(content):
    with pytest.raises(ValueError, match="samples has NaN or infinite values"):
        Content("t", samples=content.samples, held_out=content.held_out)
    with pytest.raises(ValueError, match="samples has NaN or infinite values"):
        Content("t", samples=np.full((3, 6), np.inf), held_out=content.held_out, table=content.table)


def test_names_of_columns_in_charts_are_short():
    assert shortened("a\nb", 10) == "a b" and len(shortened("x" * 50, 14)) == 14


def test_pictures_of_a_page_are_inside_it(page):
    for data in re.findall(r'src(?:set)?="data:image/png;base64,([^"]+)"', page):
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert not re.search(r"https?:|url\(|@import", page)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_tables_of_numbers_fit_every_screen(content, tmp_path):
    """Headers of columns were as wide as those of rows: 36 pixels too wide at 1024."""
    assert overflows(written(content, tmp_path), tmp_path) == [0, 0, 0, 0]
