"""The tutorials run from top to bottom, those that are notebooks as notebooks, and the site builds from its pages."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


notebooks = module(DOCS / "notebooks.py")
TUTORIALS = sorted(page.name for page in DOCS.glob("tutorial_*.md") if page.name not in notebooks.NOTEBOOKS)


def code_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", notebooks.NOTEBOOKS)
def test_notebooks_are_those_of_their_pages(page):
    made = notebooks.notebook((DOCS / page).read_text())
    assert (ROOT / "notebooks" / notebooks.NOTEBOOKS[page]).read_text() == made, "run python docs/notebooks.py"


@pytest.mark.parametrize("page", [*TUTORIALS, *notebooks.NOTEBOOKS])
def test_tutorials_compile(page):
    assert len(code_of(page)) >= 3
    for code in code_of(page):
        compile(code, page, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorials_run(page, tmp_path, monkeypatch):
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(code_of(page)), page, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("name", notebooks.NOTEBOOKS.values())
def test_notebooks_run(name, tmp_path):
    """In a kernel of their own, in less than five minutes."""
    client, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    content = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    nbformat.validate(content)
    client.NotebookClient(content, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.execution_count for cell in content.cells if cell.cell_type == "code")


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"^([\w/]+)$", (DOCS / "index.md").read_text(), re.MULTILINE)
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert pages == {name for name in listed if not name.startswith("_generated")}
    assert {page.name for page in DOCS.glob("*.md")} >= set(
        re.findall(r"docs/([\w]+\.md)", (DOCS / "llms.txt").read_text())
    )


WORDS = {
    "overfitting": {"faq", "evaluation"},
    "missing values": {"tables", "faq"},
    "GPU": {"gpu"},
    "resume": {"resume"},
    "own sampler": {"extend"},
}


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_can_be_searched(tmp_path):
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "llms.txt").exists() and (tmp_path / "_generated" / "api" / "samplers.html").exists()
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("no browser")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page()
        for words, expected in WORDS.items():
            page.goto(f"file://{tmp_path}/search.html?q={words.replace(' ', '+')}")
            page.wait_for_selector("#search-results li a", timeout=30_000)
            page.wait_for_function(
                "document.querySelector('#search-results .search-summary').innerText.includes('found')"
            )
            found = page.eval_on_selector_all("#search-results li a", "links => links.slice(0, 8).map(a => a.href)")
            assert expected & {Path(link.split("?")[0]).stem for link in found}, (words, found)
        browser.close()
