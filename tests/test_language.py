"""The words of the project: one meaning a name, the field's terms, and none of the words that the glossary retires."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import scorefield

SOURCE = Path(scorefield.__file__).parent
ROOT = Path(__file__).parents[1]
DOCS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
GLOSSARY = ROOT / "docs" / "glossary.md"
PROSE = [*sorted(SOURCE.rglob("*.py")), *sorted(SOURCE.rglob("*.html")), *sorted(SOURCE.rglob("*.j2")), *DOCS]
PROSE += [*sorted((ROOT / "examples").glob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
OWN = {"renames.py", "glossary.md", "CHANGELOG.md"}  # these name what is retired


@cache
def tables() -> list[list[list[str]]]:
    """The tables of the glossary's section on words, as rows of cells, without their heads."""
    text = GLOSSARY.read_text().split("## Words that are not used")[1].split("\n## ")[0]
    blocks = [block.splitlines() for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)]
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in block[2:]] for block in blocks]


def words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(",") if word.strip()]


@cache
def retired() -> list[tuple[str, re.Pattern[str], re.Pattern[str] | None]]:
    """How retired words begin, their patterns, and those of the phrases in which they are fine."""
    found = []
    for row in tables()[0]:
        fine = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in words(row[2]))
        for word in words(row[0]):
            pattern = re.escape(word).replace(r"\ ", r"\s+")
            start = word.split()[0].lower()
            found.append((start, re.compile(rf"\b{pattern}\b", re.I), re.compile(fine, re.I) if fine else None))
    return found


def retired_in(text: str) -> list[str]:
    found, low = [], text.lower()
    for start, word, fine in retired():
        if start not in low:  # as most are not: a pattern takes much longer
            continue
        left = fine.sub(" ", text) if fine else text
        found += [match.group() for match in word.finditer(left)]
    return found


@cache
def retired_names() -> dict[str, list[str]]:
    """The retired names, each with the modules in which it is kept."""
    return {word: words(row[2]) for row in tables()[1] for word in words(row[0])}


def names(tree: ast.AST) -> set[str]:
    """The names that a file gives: of modules, classes, functions, arguments and variables."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def retired_by_file() -> dict[str, list[str]]:
    """The retired words in what people read, by file."""
    found = {str(p.relative_to(ROOT)): retired_in(p.read_text()) for p in PROSE if p.name not in OWN}
    return {path: words for path, words in found.items() if words}


def retired_names_by_module() -> dict[str, set[str]]:
    """The retired names that modules give, less those that the glossary allows them."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        given = {name.strip("_").lower() for name in names(ast.parse(path.read_text())) | {path.stem}}
        found[module] = {name for name in given & retired_names().keys() if module not in retired_names()[name]}
    return {module: names for module, names in found.items() if names}


def test_retired_words_are_not_used():
    assert retired_by_file() == {}


def test_retired_names_are_not_given():
    assert retired_names_by_module() == {}


def test_public_class_names_have_one_meaning():
    homes = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(SOURCE)))
    assert not {name: places for name, places in homes.items() if len(places) > 1}


def test_the_reader_of_words():
    assert retired_in("The law of data, by  heart: there is no power law.") == ["law", "by  heart"]
    assert retired_in("this is no\nnumber; it is no longer one") == ["is no"]
    assert retired_in("lawful lawn, a flaw; twisted SMC") == []
    tree = ast.parse("def led(way, *, x=1):\n    for law in x: self.seen = law")
    assert names(tree) == {"led", "way", "x", "law", "seen"}
    assert {"law", "led", "way", "seen"} <= retired_names().keys()
