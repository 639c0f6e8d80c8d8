"""Trees of wrappers, as files of 0.1.0 hold them, become what was learned and its conditions, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import exact_models as exact
from scorefield import spec
from scorefield.condition_migrations import migrate_conditions
from scorefield.conditions import ContextCondition
from scorefield.denoisers import ConditionalPreconditioned
from scorefield.measurement import Mask, Measurement
from scorefield.model import Model
from scorefield.nn import MLP
from scorefield.posterior import MomentMatching

DENOISERS = "scorefield.denoisers."
TRUSTED = ("scorefield", "exact_models")
SEEN = Measurement(Mask([True, False]), [0.7], 0.6)


def learned(seed: int = 0) -> Model:
    """A conditional model with a network of random weights, and a trend."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MLP(2, 4, 1, context=3)
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.5)
        denoiser = ConditionalPreconditioned(network, (3,), True, trend=torch.randn(3, 2))
    return exact.model("label").replace(denoiser=denoiser).eval().requires_grad_(False)


class Old:
    """Writes the structure and the tensors of 0.1.0 (with the present names of classes)."""

    def __init__(self) -> None:
        self.arguments: list[Tensor] = []
        self.state: dict[str, Tensor] = {}

    def describe(self, value: object) -> object:
        return spec.describe(value, self.arguments)

    def module(self, path: str, module: torch.nn.Module) -> object:
        self.state |= {f"state.{path}{name}": value for name, value in module.state_dict().items()}
        return self.describe(module)

    def preconditioned(self, path: str, denoiser: ConditionalPreconditioned) -> object:
        described = self.module(path, denoiser)
        parts = {n: v for n, v in described["arguments"].items() if n not in ("shape", "unconditional")}
        return {"class": f"{DENOISERS}Preconditioned", "arguments": parts}

    def given(self, path: str, denoiser: ConditionalPreconditioned, rows: Tensor) -> object:
        inside = self.preconditioned(f"{path}denoiser.", denoiser)
        self.state[f"state.{path}context"] = rows
        arguments = {"denoiser": inside, "context": self.describe(rows)}
        return {"class": f"{DENOISERS}Conditioned", "arguments": arguments}

    def guided(self, path: str, strong: tuple, weak: tuple, weight: float) -> object:
        parts = {"strong": self.given(f"{path}strong.", *strong), "weak": self.given(f"{path}weak.", *weak)}
        return {"class": f"{DENOISERS}Guided", "arguments": {**parts, "weight": weight, "low": 0.1, "high": 3.0}}

    def model(self, like: Model, denoiser: object, context: bool = True) -> dict[str, Tensor] | object:
        """The structure of a model around a denoiser."""
        parts = {name: self.module(f"{name}.", getattr(like, name)) for name in ("standardize", "moments")}
        parts |= {"schema": self.describe(like.schema), "sampling": self.describe(like.sampling), "context": None}
        if context:
            described = self.module("context.", like.context)
            parts["context"] = {**described, "arguments": {**described["arguments"], "optional": True}}
        return {"class": "scorefield.model.Model", "arguments": {**parts, "denoiser": denoiser}}

    def read(self, structure: object) -> Model:
        tensors = self.state | {f"argument.{i}": value for i, value in enumerate(self.arguments)}
        structure, tensors = migrate_conditions(structure, tensors)
        found = spec.build(structure, TRUSTED, [tensors[f"argument.{i}"] for i in range(len(self.arguments))])
        state = {name[6:]: value for name, value in tensors.items() if name.startswith("state.")}
        found.load_state_dict(state, assign=True)  # strict: nothing is missing, and nothing too much
        return found.eval().requires_grad_(False)


def same(one: Model, other: Model) -> bool:
    return np.array_equal(one.sample(4, seed=1), other.sample(4, seed=1))


EMPTY = torch.tensor([[0.0, 0.0, 1.0]])
ROWS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_a_model_without_and_with_contexts():
    model = learned()
    old = Old()
    free = old.read(old.model(model, old.given("denoiser.", model.denoiser, EMPTY)))
    assert free.conditions == () and same(free, model) and same(free.condition(label="v"), model.condition(label="v"))
    old = Old()
    given = old.read(old.model(model, old.given("denoiser.", model.denoiser, ROWS)))
    assert same(given, model.condition(label=["u", "v"]))
    assert same(given.condition(label="u"), model.condition(label="u"))


@pytest.mark.parametrize("weaker", [False, True])
def test_guidance(weaker):
    """By the same network without context, or by another one with the same."""
    model, weak = learned(), learned(1)
    old = Old()
    other = (weak.denoiser, ROWS) if weaker else (model.denoiser, EMPTY)
    found = old.read(old.model(model, old.guided("denoiser.", (model.denoiser, ROWS), other, 2.0)))
    known = model.condition(label=["u", "v"], guidance=2.0, interval=(0.1, 3.0), weak=weak if weaker else None)
    assert same(found, known) and isinstance(found.conditions[0], ContextCondition)
    assert (found.conditions[0].weak is not None) == weaker


def test_a_measurement_and_a_classifier_around_a_context():
    """A posterior held no encoding of contexts: what is inside stays a denoiser; a classifier kept it."""
    model = learned()
    old = Old()
    parts = {"denoiser": old.given("denoiser.denoiser.", model.denoiser, ROWS[:1])}
    classifier = old.module("denoiser.classifier.", exact.CLASSIFIER)
    guided = {"class": f"{DENOISERS}ClassifierGuided", "arguments": {**parts, "classifier": classifier}}
    guided["arguments"] |= {"label": 0, "weight": 1.5}
    found = old.read(old.model(model, guided))
    known = model.condition(label="u").guide(exact.CLASSIFIER, "a", 1.5)
    assert same(found, known) and same(found.condition(label="v"), known.condition(label="v"))
    old = Old()
    parts = {"prior": old.given("denoiser.prior.", model.denoiser, ROWS[:1]), "reach": 3.0}
    parts |= {"units": old.module("denoiser.units.", model.standardize)}
    parts |= {"moments": old.module("denoiser.moments.", model.moments)}
    parts |= {"measurement": old.describe(SEEN), "method": None, "layout": old.describe(model.schema.layout)}
    posterior = {"class": "scorefield.posterior.Posterior", "arguments": parts}
    found = old.read(old.model(model, posterior, context=False))
    known = model.condition(label="u").observe(SEEN, MomentMatching()).replace(sampling=model.sampling)
    assert same(found, known) and len(found.conditions) == 1


def test_what_is_new_stays():
    model = exact.model("label").condition(label="u", guidance=2.0)
    arguments: list[Tensor] = []
    structure = spec.describe(model, arguments)
    tensors = {f"argument.{i}": value for i, value in enumerate(arguments)}
    found = migrate_conditions(structure["arguments"]["conditions"], tensors)
    assert found == (structure["arguments"]["conditions"], tensors)
