"""The examples of README and docs run unchanged."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import properties
from scorefield.cli import main
from scorefield.cli.verbs import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


ALONE = [
    page for page in PAGES if not page.name.startswith("tutorial_")
]  # tutorials run as a whole: tests/test_tutorials.py
PYTHON = [
    (page.name, code) for page in ALONE for code in blocks(page, "python") if "class Process(abc.ABC)" not in code
]
COMMANDS = [
    (page.name, re.findall(r"^\$ (scorefield [^#\n]*)", block, re.MULTILINE))
    for page in PAGES
    for block in blocks(page, "console")
]


LONG = {"conditional.md", "fast.md", "irregular.md", "likelihood.md", "posterior.md"}
LONG |= {"samplers.md", "scores.md", "simulators.md", "tables.md"}
"""Pages whose examples are in the slow suite."""


def of_pages(examples: list[Any]) -> list[Any]:
    return [pytest.param(*each, marks=[pytest.mark.slow] if each[0] in LONG else []) for each in examples]


@pytest.mark.parametrize(("page", "code"), of_pages(PYTHON))
def test_python(page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "_commands", dict(app._commands))  # an example adds a command
    exec(compile(code, page, "exec"), {})


# Bases that are not for users: what models, denoisers and tests of tables have in common, and what `Preconditioned` offers.
INTERNAL = {"ConditionableModel", "DenoiserModule", "GenerativeModel", "PreconditionedNetwork"}


def test_there_is_an_example_of_every_abstract_base() -> None:
    """By the bases of the classes in docs/extend.md."""
    code = "\n".join(code for page, code in PYTHON if page == "extend.md")
    bases = [base for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ClassDef) for base in node.bases]
    derived = {ast.unparse(base) for base in bases}
    found = {value for module in properties.modules() for name, value in vars(module).items() if name in derived}
    classes = [value for value in found if isinstance(value, type)]
    for base in properties.public_bases():
        assert base.__name__ in INTERNAL or any(issubclass(cls, base) for cls in classes), base


QUICK = {"fit": ("--steps", "60"), "evaluate": ("-n", "200"), "report": ("-n", "200")}  # a small budget for the tests


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with data for each command that fits: on pages that say the same one, its run is finished."""

    @cache
    def made(fit: str) -> Path:
        folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
        np.save(folder / "data.npy", rng.normal(size=(300, 3)))
        np.save(folder / "labels.npy", np.arange(300) % 2)
        np.savetxt(folder / "table.csv", rng.normal(size=(300, 2)), delimiter=",", header="a,b", comments="")
        lines = [f"{i // 5},{i % 5 + i / 100},{70 + i % 7}" for i in range(100)]
        (folder / "visits.csv").write_text("\n".join(["patient,day,rate", *lines]))
        (folder / "asked.csv").write_text("patient,day,rate\n1,0.5,71\n1,3,\n")
        return folder

    return made


@pytest.mark.parametrize(("page", "commands"), of_pages(COMMANDS))
def test_commands(
    page: str, commands: list[str], place: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place(next(command.strip() for command in commands if command.startswith("scorefield fit "))))
    for command in commands:
        words = shlex.split(command)[1:]
        quick = () if "-n" in words else QUICK.get(words[0], ())
        assert main([*words, *quick]) == 0, command


def test_links_are_valid() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
