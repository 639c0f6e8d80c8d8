"""The plan of the house, read from the source: who imports whom, and what nobody does."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import scorefield

SOURCE = Path(scorefield.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Rooms from the ground up: a room may use what is on lower floors, and its own files.
FLOORS = [
    {
        "renames",
        "migrations",
        "condition_migrations",
        "deprecation",
        "warned",
        "display",
        "overwriting",
        "plotting",
        "progress",
        "replacing",
    },
    {"bars", "distributed", "settings", "tensors", "user_values"}
    | {"rng", "spec", "limits", "_old_names", "reading", "destinations"},
    {"derivatives", "calls", "sharding"},
    {"ode", "nn", "data", "mcmc"},
    {"processes", "denoisers", "units", "checkpoint", "metrics", "measurement", "context"},
    {"diffusion", "schedules", "objectives", "noise_levels", "toys"},
    {"gaussian_frame", "measured_columns"},
    {"training", "samplers", "likelihood"},
    {"posterior"},
    {"conditions"},
    {"constraints", "blockwise", "known_readings", "complete_rows"},
    {"generative"},
    {"conditionable"},
    {"model", "given_text"},
    {"presets", "inverse", "classifier_guidance"},
    {"fitting"},
    {"runs"},
    {"evaluation"},
    {"comparison", "diagnostics"},
    {"interop", "reporting", "show"},
    {"cli"},
    {"__main__"},
]
OPTIONAL = {
    "PIL",
    "cyclopts",
    "h5py",
    "jinja2",
    "matplotlib",
    "netCDF4",
    "pandas",
    "pyarrow",
    "rich",
    "scipy",
    "sklearn",
}
OPTIONAL |= {"starlette", "tensorboard", "uvicorn", "xarray", "zarr"}
AT_THE_DOOR = {"cli": {"cyclopts", "rich"}}  # which rooms may import which of these as soon as they are imported
NEVER_CALLED = {"eval", "exec", "compile", "__import__"}
NEVER_USED = {("pickle", "load"), ("pickle", "loads"), ("joblib", "load")}
NEVER_IMPORTED = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def in_every_file(check: Callable[[Path], None]) -> Callable[[], None]:
    """A test that checks all files and names those that fail: thousands of tests would take longer than what they check."""

    @functools.wraps(check)
    def test() -> None:
        failed = []
        for path in FILES:
            try:
                check(path)
            except AssertionError as error:
                failed.append(f"{name(path)}: {error}")
        assert not failed, "\n".join(failed)

    del test.__wrapped__  # the test has no argument
    return test


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """The trees of all files are let go of in the end."""
    yield
    for known in (read, nodes, ours):
        known.cache_clear()


def room(module: str) -> str:
    """The room of `scorefield.samplers.ode` is `sample`; that of `scorefield` is the empty word: the public face."""
    return [*module.split("."), ""][1]


def floor(module: str) -> int:
    here = [i for i, rooms in enumerate(FLOORS) if room(module) in rooms]
    if not here:
        pytest.fail(f"{module} is in no room of the plan: say in FLOORS on which floor it stands")
    return here[0]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def at_import(tree: ast.AST) -> list[ast.AST]:
    """The nodes that run when the module is imported."""
    nodes = []
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not is_for_types(child):
            nodes += [child, *at_import(child)]
    return nodes


def imported(nodes: list[ast.AST], package: str) -> set[str]:
    """The modules, with their whole names, that import statements among `nodes` of a file of `package` ask for."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inside = SOURCE.parent.joinpath(*base.split("."))
            for alias in node.names:
                is_module = (inside / f"{alias.name}.py").exists() or (inside / alias.name / "__init__.py").exists()
                found.add(f"{base}.{alias.name}" if is_module else base)
    return found


@cache
def read(path: Path) -> tuple[ast.Module, str, str]:
    """The tree of a file, its module's name and its package's."""
    parts = ["scorefield", *path.relative_to(SOURCE).with_suffix("").parts]
    if parts[-1] == "__init__":
        return ast.parse(path.read_text()), ".".join(parts[:-1]), ".".join(parts[:-1])
    return ast.parse(path.read_text()), ".".join(parts), ".".join(parts[:-1])


@cache
def nodes(path: Path) -> list[ast.AST]:
    """What the tests look at in a file, wherever it stands."""
    kinds = (ast.Call, ast.Attribute, ast.Assert, ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom)
    return [node for node in ast.walk(read(path)[0]) if isinstance(node, kinds)]


@cache
def ours(path: Path) -> set[str]:
    _, _, package = read(path)
    return {module for module in imported(nodes(path), package) if module.split(".")[0] == "scorefield"}


@in_every_file
def test_imports_run_down(path):
    module = read(path)[1]
    if room(module) == "":
        return  # the public face looks everywhere
    for other in ours(path):
        if room(other) == room(module):
            continue
        if room(other) == "":
            assert other == "scorefield", other  # for __version__
            assert all(a.name == "__version__" for a in face_names(path)), f"{module} imports from the public face"
            continue
        assert floor(other) < floor(module), f"{module} imports {other}, which is not below it"


def face_names(path: Path) -> list[ast.alias]:
    """What a file takes from the package itself, and not from a module of it."""
    _, _, package = read(path)
    found = []
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and imported([node], package) >= {"scorefield"}:
            found += [
                a for a in node.names if not (SOURCE / a.name).exists() and not (SOURCE / f"{a.name}.py").exists()
            ]
    return found


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "base.py"], ids=name)
def test_base_is_the_lowest_of_its_folder(path):
    _, module, package = read(path)
    beside = {other for other in ours(path) if other.startswith(f"{package}.") and other != module}
    assert not beside, f"{module} imports {beside}"


def test_no_circle_inside_a_folder():
    graph = {read(path)[1]: ours(path) for path in FILES if path.name != "__init__.py"}

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"a circle of imports: {' → '.join((*above[above.index(module) :], module))}"
        for other in graph.get(module, ()) if module not in done else ():
            visit(other, (*above, module))
        done.add(module)

    done: set[str] = set()
    for module in graph:
        visit(module, ())


@in_every_file
def test_optional_packages_are_imported_where_they_are_used(path):
    tree, module, package = read(path)
    early = {other.split(".")[0] for other in imported(at_import(tree), package)} & OPTIONAL
    assert early <= AT_THE_DOOR.get(room(module), set()), f"{module} imports {early} before anyone needs it"


def test_importing_the_package_imports_no_optional_package():
    code = "import sys, torch, numpy, safetensors.torch; before = set(sys.modules); import scorefield; "
    code += "print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & OPTIONAL


def dotted(node: ast.expr) -> str:
    """A name with its dots; "" for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@in_every_file
def test_nothing_is_unpickled_or_evaluated(path):
    _, module, package = read(path)
    assert not {other.split(".")[0] for other in imported(nodes(path), package)} & NEVER_IMPORTED
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in NEVER_USED, f"line {node.lineno}"
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            assert called not in NEVER_CALLED, f"line {node.lineno}: {called}"
            unsafe = [k for k in node.keywords if k.arg == "allow_pickle" and getattr(k.value, "value", True)]
            assert not unsafe, f"line {node.lineno}: allow_pickle"
            if dotted(node.func) == "torch.load":  # foreign checkpoints, at the door, as tensors alone
                safe = [k for k in node.keywords if k.arg == "weights_only" and getattr(k.value, "value", None) is True]
                assert room(module) == "interop" and safe, f"line {node.lineno}: torch.load"


@in_every_file
def test_users_meet_errors_not_assertions(path):
    assert not [node.lineno for node in nodes(path) if isinstance(node, ast.Assert)]


@in_every_file
def test_files_and_functions_are_short(path):
    assert len(path.read_text().splitlines()) <= 500
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0] if ast.get_docstring(node) is not None else None
            lines = node.end_lineno - node.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)
            assert lines <= 60, f"{node.name} has {lines} lines without its docstring"


@in_every_file
def test_no_hidden_world_below_the_house(path):
    module = read(path)[1]
    if (
        room(module) == "" or floor(module) > 4 or module == "scorefield.rng"
    ):  # which leaves PyTorch's generator as it was
        return
    hidden = {"print", "torch.manual_seed", "np.random.seed", "torch.set_default_dtype", "torch.set_num_threads"}
    for node in nodes(path):
        text = dotted(node.func) if isinstance(node, ast.Call) else ""
        assert text not in hidden, f"{module} calls {text} in line {node.lineno}"


@in_every_file
def test_any_integer_is_a_seed(path):
    """NumPy and PyTorch take fewer: seeds of users go through `rng`."""
    module = read(path)[1]
    for node in nodes(path) if module != "scorefield.rng" else ():
        if isinstance(node, ast.Call):
            text, plain = ast.unparse(node.func), all(isinstance(a, ast.Constant | ast.List) for a in node.args)
            assert text != "torch.manual_seed", f"{module} calls {text} in line {node.lineno}: use rng.torch_seeded"
            assert text != "np.random.default_rng" or plain, f"{module} line {node.lineno}: use rng.generator"


def test_floors_name_a_room_once():
    for below, above in pairwise(FLOORS):
        assert not below & above


@pytest.mark.parametrize(
    ("source", "package", "found"),
    [
        ("from ..rng import Rng", "scorefield.samplers", {"scorefield.rng"}),
        ("from .. import spec", "scorefield.samplers", {"scorefield.spec"}),
        ("from . import __version__, spec", "scorefield", {"scorefield", "scorefield.spec"}),
        ("import scorefield.rng as r", "scorefield", {"scorefield.rng"}),
        ("def f():\n    import pandas", "scorefield", set()),
        ("class A:\n    import pandas.api", "scorefield", {"pandas.api"}),
        ("if TYPE_CHECKING:\n    import pandas", "scorefield", set()),
        ("try:\n    import pandas\nexcept ImportError:\n    pass", "scorefield", {"pandas"}),
    ],
)
def test_the_reader_of_imports(source, package, found):
    assert imported(at_import(ast.parse(source)), package) == found
