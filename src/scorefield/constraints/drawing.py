"""Samples that satisfy constraints, by rejection: each sample is drawn again until it does."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.columns import Column
from ..progress import part
from ..rng import Device, Dtype, Rng, Samples, Shape
from .constraint import Constraint

__all__ = ["Rules", "ValidDraws", "draw_valid"]

_AT_ONCE = 256  # draws, where few samples are left
_PARALLEL = 16  # attempts of a sample at once
_TRIED = 2000  # draws after which the acceptance rate is known well enough

Keys = tuple[Hashable, ...]


class Rules:
    """What drawn samples must satisfy.

    Unique constraints make samples depend on earlier ones: use one object for all batches of one set of samples, in order.

    Arguments:
        constraints: The constraints.
        form: Gives drawn states the form in which constraints hold: a table, or an array `(B, C)`; `model.schema.pack`.
        names: The names of the columns, where `form` gives an array.
        columns: What the columns of the table were taken for; `model.schema.table`.
        outside: Which drawn states are impossible for another reason, `(B, *D)` to `(B,)`: `relations.outside`, say.

    Example:
        >>> rules = Rules([Constraint("a < b")], lambda x: x.numpy(), ["a", "b"])
        >>> rules.violations(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
        array([[False],
               [ True]])
    """

    def __init__(
        self,
        constraints: Sequence[Constraint],
        form: Callable[[Tensor], Any],
        names: Sequence[object] | None = None,
        outside: Callable[[Tensor], Tensor] | None = None,
        columns: Sequence[Column] = (),
    ) -> None:
        self.constraints, self.form, self.outside = tuple(constraints), form, outside
        self.names, self.columns = names, tuple(columns)
        self.taken: set[Keys] = set()

    def __bool__(self) -> bool:
        return bool(self.constraints) or self.outside is not None

    def without_missing(self) -> Rules:
        """The same without constraints that say where values are missing."""
        kept = [constraint for constraint in self.constraints if not constraint.missing]
        return Rules(kept, self.form, self.names, self.outside, self.columns)

    @property
    def titles(self) -> list[str]:
        """What a column of `violations` is about."""
        found = [str(c) for c in self.constraints if not c.unique]
        return found if self.outside is None else [*found, "relations of columns"]

    def violations(self, x: Tensor) -> NDArray[np.bool_]:
        """Which rules each of some states violates on its own, `(B, K)`."""
        table = self.form(x) if self.constraints else None
        found = [~c.holds(table, self.names, self.columns) for c in self.constraints if not c.unique]
        if self.outside is not None:
            found.append(self.outside(x).cpu().numpy())
        return np.stack(found, 1) if found else np.zeros((len(x), 0), bool)

    def keys(self, x: Tensor) -> list[set[Keys]]:
        """For each of some states, what no other may have."""
        found = [set[Keys]() for _ in range(len(x))]
        table = self.form(x) if any(c.unique for c in self.constraints) else None
        for k, constraint in enumerate(self.constraints):
            for keys, values in zip(
                found, constraint.keys(table, self.names, self.columns) if constraint.unique else ()
            ):
                if values is not None:
                    keys.add((k, *values))
        return found


class ValidDraws(NamedTuple):
    """Samples that satisfy rules.

    Arguments:
        x: The samples, `(B, *D)`.
        draws: How many were drawn for them: for each sample, up to the one that was accepted.
    """

    x: Tensor
    draws: int

    @property
    def acceptance(self) -> float:
        """The acceptance rate, B / draws: an estimate of the probability that a draw satisfies the rules."""
        return len(self.x) / self.draws


class _Candidates:
    """The valid draws of one sample so far, in the order of the attempts."""

    def __init__(self) -> None:
        self.tried = 0
        self.valid: list[tuple[int, Tensor, set[Keys]]] = []

    def first(self, taken: set[Keys]) -> tuple[int, Tensor, set[Keys]] | None:
        """The first one whose values are not taken."""
        return next((each for each in self.valid if not each[2] & taken), None)


def draw_valid(
    draw: Callable[[Tensor, Rng], Tensor], rules: Rules, samples: Samples, attempts: int = 1000, least: float = 0.01
) -> ValidDraws:
    """Draws samples until each satisfies the rules: from the distribution of the draws, given that it does.

    Each sample has its own attempts: attempt k of sample i has its own random numbers, so that the result depends on the
    seed and on i alone, whatever the batch; with unique constraints on the samples before it, too. The first attempt is
    what would be drawn without rules.

    Arguments:
        draw: Draws the samples of some numbers `(B,)`, some of them more than once, from a source of as many: `(B, *D)`.
        rules: What samples must satisfy.
        samples: The numbers of the samples, and their source.
        attempts: The number of attempts that a sample has.
        least: The acceptance rate that is needed.

    Returns:
        The samples, and how many were drawn.

    Raises:
        RuntimeError: If fewer than `least` of the draws satisfy the rules, or a sample has used up its attempts; the
            message says how many do, and which rule is violated most.

    References:
        von Neumann, Various techniques used in connection with random digits (1951), on rejection.

    Example:
        >>> rules = Rules([Constraint("a <= b")], lambda x: x.numpy(), ["a", "b"])
        >>> found = draw_valid(lambda numbers, rng: rng.normal((len(numbers), 2)), rules, Samples(seed=0, count=1000))
        >>> bool((found.x[:, 0] <= found.x[:, 1]).all()), 0.45 < found.acceptance < 0.55
        (True, True)
    """
    found = [_Candidates() for _ in range(samples.count)]
    pending, count, wrong = list(range(samples.count)), 0, np.zeros(len(rules.titles), np.int64)
    rounds = 0
    while pending:
        width = max(1, min(_PARALLEL, _AT_ONCE // len(pending))) if count else 1
        pairs = sorted((found[i].tried + k, i) for i in pending for k in range(width))
        places = torch.tensor([i for _, i in pairs])
        rng = samples if not count else _Attempts(samples, pairs)
        with part(1 - 0.1**rounds, 1 - 0.1 ** (rounds + 1)):
            x = draw(samples.start + places, rng)
        rounds += 1
        violations = rules.violations(x)
        wrong += violations.sum(0)
        for row, ((attempt, i), bad, keys) in enumerate(zip(pairs, np.asarray(violations.any(1)), rules.keys(x))):
            found[i].tried += 1
            if not bad:
                found[i].valid.append((attempt, x[row], keys))
        count += len(pairs)
        chosen, taken = _chosen(found, rules.taken)
        pending = [i for i, each in enumerate(chosen) if each is None]
        valid = sum(len(each.valid) for each in found)
        spent = any(found[i].tried >= attempts for i in pending)
        if pending and (spent or (count >= _TRIED and valid < least * count)):
            raise RuntimeError(_refusal(rules, count, valid, wrong, len(pending), least))
    rules.taken = taken
    kept = [each for each in chosen if each is not None]
    return ValidDraws(torch.stack([x for _, x, _ in kept]), sum(attempt + 1 for attempt, _, _ in kept))


def _chosen(
    found: Sequence[_Candidates], before: set[Keys]
) -> tuple[list[tuple[int, Tensor, set[Keys]] | None], set[Keys]]:
    """For each sample in order, its first valid draw that no earlier sample excludes; and what is taken then."""
    taken, chosen = set(before), list[tuple[int, Tensor, set[Keys]] | None]()
    for each in found:
        chosen.append(each.first(taken))
        taken |= chosen[-1][2] if chosen[-1] is not None else set()
    return chosen, taken


def _refusal(rules: Rules, count: int, valid: int, wrong: NDArray[np.int64], pending: int, least: float) -> str:
    what = f"{valid:,} of {count:,} draws satisfy the constraints ({valid / count:.2%}; {least:.2%} are needed)"
    if valid >= least * count:
        unique = ", ".join(str(c) for c in rules.constraints if c.unique)
        cause = f"too few distinct values for {unique}" if unique else "a sample used up its attempts"
        return f"{what}, and {pending} samples are without one, {cause}: draw fewer, or leave a constraint out"
    worst = f'"{rules.titles[int(wrong.argmax())]}" is violated in {wrong.max() / count:.0%}'
    given = "check what is given, " if wrong.max() == count else ""
    return f"{what}; {worst}: {given}train longer, or leave it out, if data rarely come near it"


class _Attempts(Rng):
    """The random numbers of some attempts of some samples.

    Arguments:
        samples: The source of the first attempts of all samples.
        pairs: Attempts and places of samples in `samples`, in the order of the attempts.
        purpose: A name: sources with different names are independent.
    """

    def __init__(self, samples: Samples, pairs: Sequence[tuple[int, int]], purpose: str = "") -> None:
        self.samples, self.pairs, self.purpose = samples, pairs, purpose
        self.parts = [
            (samples.child(f"attempt {attempt}{purpose}"), [i for _, i in group])
            for attempt, group in groupby(pairs, lambda pair: pair[0])
        ]

    def child(self, purpose: str) -> _Attempts:
        return _Attempts(self.samples, self.pairs, f"{self.purpose}/{purpose}")

    def normal(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        return torch.cat([part.normal(whole, dtype, device)[places] for part, places, whole in self._each(shape)])

    def uniform(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        return torch.cat([part.uniform(whole, dtype, device)[places] for part, places, whole in self._each(shape)])

    def stratified(self, count: int, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self.uniform((count,), dtype, device)

    def _each(self, shape: Shape) -> Iterator[tuple[Samples, list[int], tuple[int, ...]]]:
        shape = tuple(shape)
        if not shape or shape[0] != len(self.pairs):
            raise ValueError(f"this source has {len(self.pairs)} draws, got shape {shape}")
        return ((part, places, (self.samples.count, *shape[1:])) for part, places in self.parts)
