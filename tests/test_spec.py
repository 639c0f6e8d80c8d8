from __future__ import annotations

import ast
import importlib
import inspect
import json
import math
import pkgutil
import textwrap
from dataclasses import dataclass

import pytest
import torch

import scorefield
from scorefield import spec
from scorefield.denoisers import EDMPrediction, Gaussian, Preconditioned
from scorefield.objectives import DenoisingScoreMatching, LogNormal, ProcessLevels
from scorefield.processes import EDM, VP
from scorefield.rng import Steps
from scorefield.samplers import DDIM


@dataclass(frozen=True)
class Holder:
    """Any arguments."""

    first: object = None
    second: object = None


class Forgetful:
    def __init__(self, width: int) -> None:
        pass


class Greedy:
    def __init__(self, *layers: int) -> None:
        self.layers = layers


class Layer(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


def through_json(value, **how):
    return spec.build(json.loads(json.dumps(spec.describe(value))), **how)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        "word",
        (1, (2.5, None)),
        EDM(rho=5.0),
        ProcessLevels(VP(beta_max=10.0), 7),
        DDIM(0.3),
        (EDM(), VP()),
        DenoisingScoreMatching(ProcessLevels(EDM(0.1, 2.0)), 0.5),
        DenoisingScoreMatching(LogNormal(), math.inf),
        1e-300,
        2**70,
        -0.0,
    ],
    ids=repr,
)
def test_round_trips(value):
    again = through_json(value)
    assert again == value
    assert type(again) is type(value)
    assert repr(again) == repr(value)


def test_lists_come_back_as_tuples():
    assert through_json([1, [2]]) == (1, (2,))


def test_description_is_plain():
    assert spec.describe(ProcessLevels(VP())) == {
        "class": "scorefield.objectives.ProcessLevels",
        "arguments": {
            "process": {
                "class": "scorefield.processes.VP",
                "arguments": {"beta_min": 0.1, "beta_max": 20.0, "start": 1e-5},
            },
            "count": None,
        },
    }


def test_tensors_are_kept_apart():
    gaussian, tensors = Gaussian(torch.zeros(2), torch.eye(2)), []
    plain = json.loads(json.dumps(spec.describe((gaussian, 3), tensors)))
    again, three = spec.build(plain, tensors=tensors)
    assert three == 3
    assert len(tensors) == 2
    assert torch.equal(again.mean, gaussian.mean)
    assert torch.equal(again.covariance, gaussian.covariance)
    with pytest.raises(TypeError, match="Tensor cannot be described"):
        spec.describe(gaussian)


def test_modules_are_described_by_their_arguments():
    again = spec.build(spec.describe(Preconditioned(Layer(3), EDMPrediction(0.5))), ("scorefield", __name__))
    assert isinstance(again.network, Layer)
    assert again.network.width == 3
    assert again.parametrization == EDMPrediction(0.5)


@pytest.mark.parametrize(
    "value",
    [Forgetful(3), Greedy(1, 2), {"a": 1}, print, spec, len, Holder, object(), {1, 2}, b"bytes"],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_keep_its_arguments_is_refused(value):
    with pytest.raises(TypeError, match="cannot be described: it does not keep its arguments"):
        spec.describe(value)


def test_a_class_that_no_import_finds_is_refused():
    class Local:
        pass

    with pytest.raises(TypeError, match=r"Local cannot be described: move the class to the top of its module"):
        spec.describe(Holder(Local()))


def test_arguments_are_the_constructors():
    assert spec.arguments(EDM) == ["sigma_min", "sigma_max", "rho"]
    assert spec.arguments(Greedy) is None
    assert spec.arguments(dict) is None


# -- what a file could ask for -------------------------------------------------------------------------------------


def made(path, **arguments):
    return {"class": path, "arguments": arguments}


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "subprocess.Popen",
        "torch.nn.modules.linear.Linear",
        "eval",
        "",
        "scorefieldx.Evil",
        "scorefield",
        ".rng.Samples",
    ],
)
def test_foreign_packages_are_refused(path):
    with pytest.raises(ValueError, match="is not of the trusted packages"):
        spec.build(made(path))


def test_trust_is_given_by_name():
    asked = made("torch.nn.modules.linear.Linear", in_features=2, out_features=3)
    with pytest.raises(ValueError, match=r"pass trusted=\('scorefield', 'torch'\) if you trust it"):
        spec.build(asked)
    assert spec.build(asked, ("scorefield", "torch")).out_features == 3


@pytest.mark.parametrize(
    "path",
    [
        "scorefield.rng.permutation",
        "scorefield.spec.importlib",
        "scorefield.rng.np",
        "scorefield.processes",
        "scorefield.checkpoint.Path",
        "scorefield.processes.Tensor",
        "scorefield.rng._BLOCK_SIZE",
    ],
)
def test_functions_modules_and_borrowed_classes_are_refused(path):
    assert scorefield.__name__ in path
    with pytest.raises(ValueError, match="is not a class of scorefield"):
        spec.build(made(path))


CLASSES = sorted(
    {
        kind
        for info in pkgutil.walk_packages(scorefield.__path__, "scorefield.")
        for kind in vars(importlib.import_module(info.name)).values()
        if isinstance(kind, type) and kind.__module__ == info.name
    },
    key=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
)


def is_nameable(kind):
    """Whether `build` gets as far as the constructor; `arguments` that no constructor has stop it there."""
    try:
        spec.build(made(f"{kind.__module__}.{kind.__qualname__}", **{"no such argument": 1}))
    except ValueError as error:
        return "does not take these arguments" in str(error)
    return True


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("data.FileRows", {"path": "/etc/passwd"}),
        ("training.Trainer", {}),
        ("interop.NPSE", {}),
        ("rng.Samples", {"seed": 0}),
    ],
)
def test_what_opens_files_or_trains_cannot_be_named(path, arguments):
    with pytest.raises(ValueError, match="is not a module or a frozen dataclass: a model file may not name it"):
        spec.build({"class": f"scorefield.{path}", "arguments": arguments})


def test_what_cannot_be_named_is_not_described():
    with pytest.raises(TypeError, match="Steps cannot be described: it is neither a module nor a frozen dataclass"):
        spec.describe(Steps(3))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_constructors_that_a_file_may_call_touch_nothing(kind):
    """Neither files nor processes nor the state of the interpreter, as far as their source says."""
    if not is_nameable(kind):
        return
    touching = {"open", "Path", "os", "subprocess", "shutil", "tempfile", "socket", "urllib", "sys", "setattr", "print"}
    for base in kind.__mro__:
        for method in ("__init__", "__post_init__", "__new__"):
            if base.__module__.startswith("scorefield") and method in vars(base):
                function = inspect.unwrap(vars(base)[method])
                if function.__code__.co_filename.startswith("<"):
                    continue  # written by dataclass or NamedTuple
                tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
                names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
                assert not names & touching, f"{kind}.{method} uses {names & touching}"


def test_both_kinds_of_classes_are_there():
    nameable = {kind.__name__ for kind in CLASSES if is_nameable(kind)}
    assert nameable >= {"Model", "VP", "Heun", "UNet", "Karras", "Preconditioned", "Schema", "Measurement", "Blur"}
    assert not nameable & {"Run", "Trainer", "FileRows", "ArrayRows", "Samples"}


@pytest.mark.parametrize(
    "path", ["scorefield.processes.Missing", "scorefield.nowhere.VP", "scorefield.processes.VP.alpha"]
)
def test_what_is_gone_is_said_to_be_gone(path):
    with pytest.raises(ValueError, match=r"there is no .* here: the file may come from another version"):
        spec.build(made(path))


@pytest.mark.parametrize("arguments", [{"sigma": 3.0}, {"sigma_min": "0.1"}], ids=str)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match="VE does not take these arguments"):
        spec.build(made("scorefield.processes.VE", **arguments))


def test_abstract_classes_are_not_built():
    with pytest.raises(ValueError, match="does not take these arguments"):
        spec.build(made("scorefield.denoisers.Parametrization"))
    with pytest.raises(ValueError, match="is not a module or a frozen dataclass"):
        spec.build(made("scorefield.processes.Process"))


def test_values_are_checked_as_ever():
    with pytest.raises(ValueError, match="VE needs 0 < sigma_min < sigma_max"):
        spec.build(made("scorefield.processes.VE", sigma_min=2.0, sigma_max=1.0))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"class": "scorefield.processes.VE"},
        {"class": 3, "arguments": {}},
        {"class": "a.b", "arguments": [1]},
        {"class": "a.b", "arguments": {}, "more": 1},
    ],
    ids=str,
)
def test_malformed_descriptions(value):
    with pytest.raises(ValueError, match="a description needs 'class', a name, and 'arguments', a dict; got"):
        spec.build(value)


@pytest.mark.parametrize("number", [2, -1, "0", None])
def test_tensors_that_are_not_there(number):
    with pytest.raises(ValueError, match=f"a description asks for tensor {number!r} of 2: the file is not whole"):
        spec.build({"tensor": number}, tensors=[torch.zeros(1), torch.zeros(1)])


def test_an_external_part_must_be_given():
    with pytest.raises(
        ValueError, match=r"the file holds the numbers of a my\.Net, not how to build it: pass network="
    ):
        spec.build({"external": "my.Net"})
    net = Layer(1)
    assert spec.build({"external": "my.Net"}, external=net) is net


def test_levels_are_equal_by_value():
    assert through_json(LogNormal(-1.0, 0.5)) != LogNormal()
