"""The table of samplers in docs/samplers.md, and the numbers of them that are said elsewhere."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from scorefield import samplers
from scorefield.samplers import Sampler

ROOT = Path(__file__).parents[2]
TAKEN = {
    name: [field.name for field in dataclasses.fields(kind)]
    for name in samplers.__all__
    if isinstance(kind := getattr(samplers, name), type)
    and issubclass(kind, Sampler)
    and dataclasses.is_dataclass(kind)
}


def test_every_sampler_is_in_the_table_with_arguments_that_it_has():
    rows = re.findall(r"^\| `(\w+)\(([\w, ]*)\)` \|", (ROOT / "docs/samplers.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(TAKEN)
    for name, arguments in rows:
        assert set(filter(None, arguments.split(", "))) <= set(TAKEN[name]), name


def test_the_numbers_of_samplers_agree():
    for page in ("README.md", "docs/theory.md"):
        assert re.findall(r"(\w+) samplers[ ;]", (ROOT / page).read_text()).count(str(len(TAKEN))) == 1, page
