"""The pages and the gallery, without building the site: links lead somewhere, commands can be run, no cell is empty."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
PROSE = {page: re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL) for page in PAGES}
GALLERY = PROSE[DOCS / "gallery.md"]


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)|[`*]", "", heading.strip().lower())).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {anchor(found) for found in re.findall(r"^#+ (.*)$", PROSE[page], re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, place in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", PROSE[page]):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} is not there"
        assert not place or path not in PROSE or place in anchors(path), f"{path.name} has no heading #{place}"


def with_neighbours(script: Path) -> str:
    """A script and what it imports from its folder, as text."""
    text = script.read_text()
    names = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    return "\n".join(
        [text, *((EXAMPLES / f"{name}.py").read_text() for name in names if (EXAMPLES / f"{name}.py").exists())]
    )


COMMANDS = [
    (page.name, path, arguments)
    for page in PAGES
    for path, arguments in re.findall(r"python ((?:examples|benchmarks)/\w+\.py)([^\n`#;]*)", PROSE[page])
]


@pytest.mark.parametrize(("page", "path", "arguments"), COMMANDS)
def test_scripts_have_the_options_that_pages_give_them(page, path, arguments):
    text = with_neighbours(ROOT / path)
    for option in re.findall(r"(?<= )--[\w-]+", arguments):
        assert f'"{option}"' in text, f"{page}: {path} has no {option}"


def test_every_figure_is_shown_and_every_script_named():
    everything = "\n".join(PROSE.values())
    for figure in [*DOCS.glob("*.png"), *DOCS.glob("*.gif")]:
        assert f"({figure.name})" in everything or f"(docs/{figure.name})" in everything, figure.name
    for script in EXAMPLES.glob("*.py"):
        alone = "no command line" not in script.read_text()
        assert not alone or f"{script.name}" in everything, f"{script.name} is on no page"


def test_no_row_of_the_gallery_is_empty():
    """Each system of the papers: its script, the number here, the printed number, seconds."""
    rows = re.findall(r"^\| (.*) \|$", GALLERY.split("## Digits")[0], re.MULTILINE)
    assert len(rows) > 20
    for row in rows[2:]:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)]
        assert len(cells) == 5 and all(cells), row
        assert re.search(r"\d", cells[2]), f"no number: {row}"
        assert re.search(r"\d$", cells[4]), f"no seconds: {row}"


def test_examples_are_short():
    """A script is read in one go; what several share is in a module without a command line."""
    for script in EXAMPLES.glob("*.py"):
        assert len(script.read_text().splitlines()) < 80, f"{script.name} is too long for a page"
