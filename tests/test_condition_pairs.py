"""Every ordered pair of ways to condition a model, in everything that a model is used for: right, or refused with the truth."""

from __future__ import annotations

import copy
import re
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import exact_models as exact
from exact_models import METHODS, WAYS, Expected, Formula, Way
from scorefield.model import Model, load
from scorefield.posterior import Posterior
from scorefield.samplers import AdaptiveSDE, DormandPrince, Heun, Sampling

USES = ("sample", "log_prob", "encode", "save and load", "a context for each sample", "float64")
SAMPLERS = {type(method).__name__: method for method in METHODS if method.sampler is not None}
PAGE = Path(__file__).parent.parent / "docs" / "conditional.md"
PAIRS = [pytest.param(a, b, id=f"{a.name}, {b.name}") for a, b in product(WAYS, WAYS)]


def apart(first: Way, second: Way) -> int:
    """How many ways, in turn, lie between two: for each number of them every way is in both places."""
    return (WAYS.index(second) - WAYS.index(first)) % len(WAYS)


FIRST = [  # these are in the suite; the others are slow
    pytest.param(*p.values, id=p.id, marks=[] if apart(*p.values) in (0, 3, 7) else [pytest.mark.slow]) for p in PAIRS
]


def built(first: Way, second: Way, count: int = 1) -> Model:
    model = exact.model(exact.base(first, second))
    return second.apply(first.apply(model, 0, count), 1, count)


def expected(first: Way, second: Way, count: int = 1) -> Model:
    """A model of the denoiser that the formulas say, without any condition."""
    like = exact.model(exact.base(first, second))
    found = second.expect(first.expect(Expected(), 0, count, exact.kind_of(like)), 1, count, exact.kind_of(like))
    last = [(place, name) for place, name in found.observed if name in SAMPLERS]
    rest = [(place, name) for place, name in found.observed if name not in SAMPLERS]
    rest += [(place, "MomentMatching") for place, _ in last[:-1]]
    denoiser = Formula(Expected(**{**vars(found), "observed": tuple(rest)}))
    sampling = built(first, second, count).sampling  # whose levels follow measurements: tests/posterior
    for place, name in last[-1:]:
        parts = (None, like.schema.layout, like.standardize, like.moments)
        denoiser = Posterior(denoiser, exact._measured(place, like), *parts)
        sampling = Sampling(SAMPLERS[name]).merged(sampling)
    return Model(like.schema, like.standardize, denoiser, like.moments, sampling)


def refusal(first: Way, second: Way, use: str) -> str:
    """Why a pair is refused in a use; "" if it is not. Nothing is computed."""
    one, more = refusals(first, second, 1), "a context for each sample"
    return refusals(first, second, 2)[0] if use == more else one[use in ("log_prob", "encode")]


@cache
def refusals(first: Way, second: Way, count: int) -> tuple[str, str]:
    """The same of a model with some contexts, and of its density."""
    try:
        model = built(first, second, count)
    except ValueError as error:
        return str(error), str(error)
    try:
        model.density()
        return "", ""
    except ValueError as error:
        return "", str(error)


def data(model: Model, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(1.0, 2.0, size=(count, *model.schema.layout.shape))


def close(found: object, known: object, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(known), rtol=tolerance, atol=tolerance)


def in_full(first: Way, second: Way) -> bool:
    """A quarter of all pairs, with every way in both places: densities are integrated, and samples choose their steps."""
    return apart(first, second) in (0, 3, 5)


def agree(model: Model, known: Model, index: Tensor | None = None) -> None:
    """The denoisers that densities are integrated with: the same at all levels, in float64."""
    found, formula = (each.density().inner.diffusion.denoiser for each in (model, known))
    if index is not None:
        found, formula = found.samples(index), formula.samples(index)
    x = torch.randn(3, *model.schema.inner_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for level in (0.1, 0.7, 3.0):
        at = torch.tensor(level, dtype=torch.float64)
        close(found(x, at), formula(x, at))


def log_prob(model: Model, count: int = 3) -> torch.Tensor:
    return model.log_prob(data(model, count), tolerance=1.0).value


def encode(model: Model, count: int = 3) -> torch.Tensor:
    return model.encode(data(model, count), Heun(), steps=2)


@pytest.mark.parametrize(("first", "second"), FIRST)
def test_every_pair_is_right_or_refused(first, second, tmp_path):
    if refusal(first, second, "sample"):
        for use in USES:
            with pytest.raises(ValueError, match=f"^{re.escape(refusal(first, second, 'sample'))}$"):
                built(first, second, 2 if use.startswith("a context") else 1)
        return
    model, known = built(first, second), expected(first, second)
    drawn = model.sample(3, seed=1)
    close(drawn, known.sample(3, seed=1))
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors", trusted=("scorefield", "exact_models"))
    assert np.array_equal(loaded.sample(3, seed=1), drawn)
    double = copy.deepcopy(model).double()
    close(double.sample(3, seed=1), drawn, 1e-5)
    if why := refusal(first, second, "log_prob"):
        for use in (log_prob, encode):
            with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
                use(model)
        return
    agree(model, known)
    for use in (log_prob, encode) if in_full(first, second) else (encode,):
        found = use(model)
        close(found, use(known))
        assert found.dtype == torch.float64
    assert torch.equal(encode(loaded), found)


@pytest.mark.parametrize(("first", "second"), FIRST)
def test_every_pair_with_a_context_for_each_sample(first, second):
    """Two contexts for three samples, whose steps are fixed or their own, and for latents and densities of two rows."""
    if refusal(first, second, "sample") or (first.kind is None and second.kind is None):
        return
    model, known = built(first, second, 2), expected(first, second, 2)
    adaptive = AdaptiveSDE(1.0, 1.0) if WAYS.index(first) % 2 else DormandPrince(0.3, 0.3)
    density = not refusal(first, second, "log_prob")
    for sampler in [None, adaptive] if density and in_full(first, second) else [None]:
        close(model.sample(3, seed=1, sampler=sampler), known.sample(3, seed=1, sampler=sampler))
    close(model.sample(3, seed=1, batch=2), model.sample(3, seed=1))
    if density:
        agree(model, known, torch.tensor([4, 0, 1]))
        close(encode(model, 2), encode(known, 2))
    if density and in_full(first, second):
        close(log_prob(model, 2), log_prob(known, 2))


@pytest.mark.parametrize(("first", "second"), [p for p in FIRST if p.values[0].name < p.values[1].name])
def test_conditions_commute(first, second):
    """Where the second replaces nothing of the first, the order does not matter."""
    replaced = {first.kind, second.kind} == {"any"} or (first.kind == second.kind and first.kind is not None)
    likewise = first.kind is None and second.kind is None and first.name != "classifier" != second.name
    if refusal(first, second, "sample") or replaced or likewise or "any" in (first.kind, second.kind):
        return
    model = exact.model(exact.base(first, second))
    one, other = second.apply(first.apply(model, 0, 1), 1, 1), first.apply(second.apply(model, 1, 1), 0, 1)
    assert np.array_equal(one.sample(3, seed=1), other.sample(3, seed=1))


# -- the page says the same ----------------------------------------------------------------------------------------------


def table() -> str:
    """The table of docs/conditional.md: what works, and what is refused, by whom."""
    reasons: list[str] = []
    lines = ["| first \\ then | " + " | ".join(way.name for way in WAYS) + " |", "| --- " * (len(WAYS) + 1) + "|"]
    for first in WAYS:
        cells = [cell(first, second, reasons) for second in WAYS]
        lines.append(f"| {first.name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{i + 1}. `{reason}`" for i, reason in enumerate(reasons))])


def cell(first: Way, second: Way, reasons: list[str]) -> str:
    """all, samples alone, or no; with a number for why."""
    why = {use: refusal(first, second, use) for use in USES}
    for reason in why.values():
        if reason and reason not in reasons:
            reasons.append(reason)
    refused = [use for use in USES if why[use]]
    if not refused:
        return "all"
    numbers = sorted({reasons.index(why[use]) + 1 for use in refused})
    what = {6: "no", 2: "samples"}[len(refused)]  # but log_prob and encode
    assert len(refused) == len(USES) or refused == ["log_prob", "encode"]
    return f"{what} ({', '.join(map(str, numbers))})"


def test_the_page_has_the_table():
    """To renew it: python tests/test_condition_pairs.py."""
    page = PAGE.read_text()
    assert table() in page, "docs/conditional.md differs from what models do: python tests/test_condition_pairs.py"


if __name__ == "__main__":
    page = PAGE.read_text()
    start, end = "<!-- pairs -->\n", "\n<!-- end of pairs -->"
    head, rest = page.split(start)
    PAGE.write_text(head + start + table() + end + rest.split(end)[1])
