"""The structure of models in files of version 0.1.0, brought into the present one: plain data in, plain data out.

There a conditional network answered by itself and was wrapped again for every condition, so that a model was a tree of
wrappers. Now a model holds what was learned, and its conditions as values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["migrate_conditions"]

_Spec = dict[str, Any]
_DENOISERS = "scorefield.denoisers."


def migrate_conditions(spec: Any, tensors: Mapping[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """Turns wrapped denoisers of 0.1.0 into learned denoisers with conditions.

    Arguments:
        spec: The structure of a file of 0.1.0, with the present names of classes.
        tensors: What the file holds: `argument.0`, … and `state.…`.

    Returns:
        The present structure, and the tensors with the present names. Numbers of arguments stay as they are.
    """
    state = _State(dict(tensors))
    return _migrated(spec, "", state, False), state.tensors


@dataclass
class _State:
    """The tensors of a file, whose names change with the structure."""

    tensors: dict[str, Tensor]

    def argument(self, spec: _Spec) -> Tensor:
        """The tensor that `{"tensor": i}` stands for."""
        return self.tensors[f"argument.{spec['tensor']}"]

    def under(self, path: str) -> dict[str, Tensor]:
        """The state of a module, by the names inside of it."""
        start = f"state.{path}"
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}

    def move(self, path: str, to: str | None) -> None:
        """Moves the state of a module, or removes it; what was at its new place is replaced."""
        moved = self.under(path)
        for name in moved:
            del self.tensors[f"state.{path}{name}"]
        if to is not None:
            self.tensors |= {f"state.{to}{name}": value for name, value in moved.items()}


def _is(spec: Any, name: str) -> bool:
    return isinstance(spec, dict) and spec.get("class") == f"{_DENOISERS}{name}"


def _migrated(spec: Any, path: str, state: _State, unconditional: bool) -> Any:
    """A part of the structure, whose state stands at `path`."""
    if isinstance(spec, list):
        return [_migrated(part, f"{path}{i}.", state, unconditional) for i, part in enumerate(spec)]
    if not isinstance(spec, dict) or not isinstance(spec.get("arguments"), dict):
        return spec
    parts = spec["arguments"]
    if spec["class"] == "scorefield.model.Model":
        unconditional = bool(((parts.get("context") or {}).get("arguments") or {}).get("optional"))
    if spec["class"] == "scorefield.context.Context":
        return {**spec, "arguments": {name: part for name, part in parts.items() if name != "optional"}}
    if _is(spec, "Conditioned") and "denoiser" in parts:
        return _conditioned(parts, path, state, unconditional)
    if _is(spec, "ComposedDenoiser") and "nothing" in parts:
        state.move(f"{path}nothing", None)
        conditional = _conditional(parts["denoiser"], state.argument(parts["context"]), True)
        return {**spec, "arguments": {"denoiser": conditional, "context": parts["context"]}}
    if _is(spec, "Preconditioned") and "trend" in parts:
        if parts["trend"] is not None:
            return _conditional(spec, state.argument(parts["trend"]).T, unconditional)
        return {**spec, "arguments": {name: part for name, part in parts.items() if name != "trend"}}
    spec = {**spec, "arguments": {n: _migrated(part, f"{path}{n}.", state, unconditional) for n, part in parts.items()}}
    return _model(spec, path, state) if spec["class"] == "scorefield.model.Model" else spec


def _conditional(preconditioned: _Spec, context: Tensor, unconditional: bool) -> _Spec:
    """A conditional denoiser, of the shape of the rows of a context."""
    more = {"shape": list(context.shape[1:]), "unconditional": unconditional}
    return {"class": f"{_DENOISERS}ConditionalPreconditioned", "arguments": {**preconditioned["arguments"], **more}}


def _conditioned(parts: _Spec, path: str, state: _State, unconditional: bool) -> _Spec:
    conditional = _conditional(parts["denoiser"], state.argument(parts["context"]), unconditional)
    state.move(f"{path}denoiser.", f"{path}conditional.")
    arguments = {"conditional": conditional, "context": parts["context"]}
    return {"class": f"{_DENOISERS}Conditioned", "arguments": arguments}


def _model(spec: _Spec, path: str, state: _State) -> _Spec:
    """A model, with as many of its wrappers as possible turned into conditions, from the outside in."""
    parts, conditions, at = dict(spec["arguments"]), list[tuple[_Spec, _Moves]](), f"{path}denoiser."
    denoiser = parts["denoiser"]
    if _is_observation(denoiser):
        inside = denoiser["arguments"]
        arguments = {"measurement": inside["measurement"], "method": inside["method"]}
        conditions.append((_condition("Observation", arguments), {}))
        state.move(f"{path}moments.", None)
        state.move(f"{at}moments.", f"{path}moments.")
        state.move(f"{at}units.", None)
        parts["moments"], denoiser, at = inside["moments"], inside["prior"], f"{at}prior."
    while _is(denoiser, "ClassifierGuided"):
        inside = denoiser["arguments"]
        names = inside["classifier"]["arguments"].get("names") or []
        label = names[inside["label"]] if names else inside["label"]
        arguments = {"classifier": inside["classifier"], "label": label, "weight": inside["weight"]}
        conditions.append((_condition("ClassifierGuidance", arguments), {f"{at}classifier.": "classifier."}))
        denoiser, at = inside["denoiser"], f"{at}denoiser."
    if parts.get("context") is not None:
        denoiser, at = _context(denoiser, at, state, conditions)
    for i, (_, moves) in enumerate(reversed(conditions)):
        for source, target in moves.items():
            state.move(source, f"{path}_conditions.{i}.{target}")
    if at != f"{path}denoiser.":
        state.move(at, f"{path}kept.")
        state.move(f"{path}denoiser.", None)
        state.move(f"{path}kept.", f"{path}denoiser.")
    parts |= {"denoiser": denoiser, "conditions": [condition for condition, _ in reversed(conditions)]}
    return {**spec, "arguments": parts}


_Moves = dict[str, str]


def _condition(name: str, arguments: _Spec) -> _Spec:
    return {"class": f"scorefield.conditions.{name}", "arguments": arguments}


def _is_observation(denoiser: Any) -> bool:
    """Whether it is a posterior as models made them."""
    if not isinstance(denoiser, dict) or denoiser.get("class") != "scorefield.posterior.Posterior":
        return False
    parts = denoiser["arguments"]
    return parts.get("moments") is not None and parts.get("layout") is not None and parts.get("reach", 3.0) == 3.0


def _context(denoiser: Any, at: str, state: _State, conditions: list[tuple[_Spec, _Moves]]) -> tuple[Any, str]:
    """What was learned, and where its state is; the context and the guidance are added to the conditions."""
    guidance: _Spec = {"missing": [], "guidance": 1.0, "interval": [0.0, float("inf")], "weak": None}
    moves, strong, inside = dict[str, str](), denoiser, at
    if _is(denoiser, "Guided"):
        parts = denoiser["arguments"]
        strong, weak, inside = parts["strong"], parts["weak"], f"{at}strong."
        if not (_is(strong, "Conditioned") and _is(weak, "Conditioned")):
            return denoiser, at
        guidance |= {"guidance": parts["weight"], "interval": [parts["low"], parts["high"]]}
        rows, weak_rows = (state.argument(each["arguments"]["context"]) for each in (strong, weak))
        a, b = (state.under(f"{at}{name}.conditional.") for name in ("strong", "weak"))
        same = a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        if not (_is_empty(weak_rows) and same):
            if rows.shape != weak_rows.shape or not torch.equal(rows, weak_rows):
                return denoiser, at
            guidance["weak"] = weak["arguments"]["conditional"]
            moves[f"{at}weak.conditional."] = "weak."
    if not _is(strong, "Conditioned"):
        return denoiser, at
    parts = strong["arguments"]
    if guidance["guidance"] != 1.0 or not _is_empty(state.argument(parts["context"])):
        moves[f"{inside}context"] = "rows"
        conditions.append((_condition("ContextCondition", {"rows": parts["context"], **guidance}), moves))
    return parts["conditional"], f"{inside}conditional."


def _is_empty(rows: Tensor) -> bool:
    """Whether encoded contexts are one that stands for no context."""
    empty = torch.zeros_like(rows)
    empty[:, -1] = 1
    return len(rows) == 1 and torch.equal(rows, empty)
