"""The examples of README and docs, run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from scorefield.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


PYTHON = [
    (page.name, code) for page in PAGES for code in blocks(page, "python") if "class Process(abc.ABC)" not in code
]
COMMANDS = [
    (page.name, re.findall(r"^\$ (scorefield [^#\n]*)", block, re.MULTILINE))
    for page in PAGES
    for block in blocks(page, "console")
]


@pytest.mark.parametrize(("page", "code"), PYTHON)
def test_python(page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})


@pytest.mark.parametrize(("page", "commands"), COMMANDS)
def test_commands(page: str, commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.random.default_rng(0).normal(size=(300, 3)))
    np.save("labels.npy", np.arange(300) % 2)
    for command in commands:
        words = shlex.split(command)[1:]
        quick = ["--steps", "60"] if words[0] == "fit" else []  # the command is the reader's, the budget is the suite's
        assert main([*words, *quick]) == 0, command


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
