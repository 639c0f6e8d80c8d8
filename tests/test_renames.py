"""What carried another name in version 0.1.0 still works, and says so; what kept its name says nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from scorefield import renames, spec
from scorefield.calls import parse_call
from scorefield.denoisers import Parametrization
from scorefield.measurement import Noise as NoiseModel
from scorefield.objectives import ProcessLevels
from scorefield.processes import EDM
from scorefield.renames import ARGUMENTS, GONE, MODULES, NAMES, current
from scorefield.schedules import Schedule

HERE = Path(__file__).parent
PUBLIC = json.loads((HERE / "v0_1_0" / "names.json").read_text())  # module of 0.1.0 -> its public names
GLOSSARY = HERE.parent / "docs" / "glossary.md"
HEADING = "## Renamed since 0.1.0"


def named(path):
    """What a path of today names: a name of a module, or a method."""
    place, _, name = path.rpartition(".")
    holder = named(place) if place.rpartition(".")[2][0].isupper() else import_module(f"scorefield.{place}")
    return getattr(holder, name)


def warned(action):
    """The result of an action, and the messages of the deprecation warnings on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    assert all(w.category is DeprecationWarning and w.filename == __file__ for w in caught), caught
    return result, [str(w.message) for w in caught]


@pytest.mark.parametrize("module", [module for module in PUBLIC if module not in GONE])
def test_public_names_of_0_1_0_are_importable(module):
    old, path = warned(lambda: import_module(f"scorefield.{module}".rstrip(".")))[0], f"{module}.".lstrip(".")
    for name in PUBLIC[module]:
        if f"{path}{name}" in GONE:
            continue
        found, messages = warned(lambda name=name: getattr(old, name))
        assert found is not None
        new = current(f"{path}{name}")
        if new == f"{path}{name}":
            assert not messages
        else:
            said = f"scorefield.{path}{name} is now scorefield.{new}; the old name goes away in version 0.3"
            assert messages == [said]
            assert found is named(new)


def test_an_old_module_warns_where_it_is_imported():
    code = "import warnings; warnings.simplefilter('error')\nimport scorefield\nimport scorefield.process"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = "DeprecationWarning: scorefield.process is now scorefield.processes; the old name goes away in version 0.3"
    assert done.stderr.strip().endswith(said)


def test_old_code_runs_and_new_code_is_silent():
    old = "from scorefield.sample import DAPS, Heun, Langevin; from scorefield.metrics import effective_sample_size\n"
    old += "import scorefield; scorefield.process.VE(); scorefield.denoise.precondition.Karras(0.5)\n"
    old += "import scorefield.denoise.published; print(scorefield.denoise.published.Scored.__name__)\n"
    old += "from scorefield.grid import *; print(Karras.__name__)"
    run = [sys.executable, "-W", "default", "-c"]
    done = subprocess.run([*run, old], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["NCSNDenoiser", "Karras"]
    for new in ("samplers.Heun", "posterior.DAPS", "mcmc.effective_sample_size", "denoisers.EDMPrediction"):
        assert f"is now scorefield.{new};" in done.stderr
    new = "import pkgutil, importlib, scorefield\nfor m in pkgutil.walk_packages(scorefield.__path__, 'scorefield.'):\n"
    new += "    module = importlib.import_module(m.name); [getattr(module, n) for n in dir(module)]"
    done = subprocess.run([*run[:2], "error::DeprecationWarning:scorefield", "-c", new], capture_output=True, text=True)
    assert (done.returncode, "is now" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("path", ["process.Nothing", "sample.ode.Nothing", "metrics.Nothing", "sample.nothing"])
def test_what_never_was_is_not_found(path):
    module, _, name = path.rpartition(".")
    with pytest.raises(AttributeError, match="has no attribute"):
        getattr(import_module(f"scorefield.{module}"), name)
    with pytest.raises(ImportError):
        import_module(f"scorefield.{path}")


@pytest.mark.parametrize("path", GONE)
def test_what_is_gone_says_what_serves_instead(path):
    module, _, name = path.rpartition(".")
    message = re.escape(f"scorefield.{path} is gone: use scorefield.{GONE[path]}")
    if path in PUBLIC:
        with pytest.raises(ModuleNotFoundError, match=message):
            import_module(f"scorefield.{path}")
    else:
        with pytest.raises(AttributeError, match=message):
            getattr(import_module(f"scorefield.{module}"), name)
    place, _, last = GONE[path].rpartition(".")
    assert getattr(import_module(f"scorefield.{place}".rstrip(".")), last)


def test_old_and_new_names_do_not_overlap():
    for table in (MODULES, NAMES):
        assert not set(table) & set(table.values())
        assert all(current(new) == new for new in table.values()), "a new name must not be an old one as well"
    assert not {argument for _, argument in ARGUMENTS} & set(ARGUMENTS.values())


@pytest.mark.parametrize("path", sorted(set(NAMES.values())))
def test_new_names_are_there(path):
    assert warned(lambda: named(path))[1] == []


def test_descriptions_get_the_names_of_today(monkeypatch):
    monkeypatch.setitem(ARGUMENTS, ("processes.EDM", "bend"), "rho")
    old = {"class": "scorefield.process.EDM", "arguments": {"bend": 5.0}}
    old = {"class": "scorefield.objective.Clock", "arguments": {"process": old, "count": None}}
    new = renames.updated([old, 3, None, "scorefield.process.EDM", {"tensor": 1}])
    assert spec.build(new[0]) == ProcessLevels(EDM(rho=5.0))
    assert new[0]["class"] == "scorefield.objectives.ProcessLevels"
    assert new[1:] == [3, None, "scorefield.process.EDM", {"tensor": 1}]
    assert renames.updated(new) == new
    assert old["class"] == "scorefield.objective.Clock"


@pytest.mark.parametrize(
    "text, base, new",
    [
        ("given((10, 1, 0.1))", Schedule, "ExplicitLevels"),
        ("Uniform", Schedule, None),  # a part of its new name, which is enough
        ("karras(0.5)", Parametrization, "EDMPrediction"),
        ("karras(5)", Schedule, None),
        ("normal(0.1)", NoiseModel, "WhiteNoise"),
    ],
)
def test_calls_know_old_names(text, base, new):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = parse_call(text, base)
    assert isinstance(made, base)
    assert [type(made).__name__ for _ in caught] == ([new] if new else [])
    assert all(f"is now {new}: write {new.lower()}" in str(w.message) for w in caught)


def page():
    """The glossary's section on renames, as the tables say it should be."""
    lines = ["", ""]
    lines += ["Old names work with a warning until version 0.3. Names are below `scorefield`.", ""]
    for head, table in (
        ("module", MODULES),
        ("name", NAMES),
        ("argument", {f"{owner}({old}=…)": f"{owner}({new}=…)" for (owner, old), new in ARGUMENTS.items()}),
        ("gone", GONE),
    ):
        if table:
            rows = [f"| `{old}` | `{new}` |" for old, new in sorted(table.items())]
            lines += [f"| {head} in 0.1.0 | {'use' if table is GONE else 'now'} |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def test_the_glossary_has_the_tables():
    assert GLOSSARY.read_text().split(HEADING)[1] == page(), "write it anew: python tests/test_renames.py"


def test_foreign_descriptions_stay():
    foreign = {"class": "mine.process.EDM", "arguments": {"sample": [1, {"class": "os.system", "arguments": {}}]}}
    assert renames.updated(foreign) == foreign
    assert renames.updated({"class": 3, "arguments": {}}) == {"class": 3, "arguments": {}}


if __name__ == "__main__":  # writes the glossary's section anew
    GLOSSARY.write_text(GLOSSARY.read_text().split(HEADING)[0] + HEADING + page())
