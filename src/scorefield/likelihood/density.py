"""All that a model says of the density of data, in the form and the units of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import Schema
from .base import LogProb
from .bound import Bound
from .data_units import DataDensity
from .discrete import BitsPerDim, spacing
from .marginal import positions, values_of
from .typicality import typicality

__all__ = ["Density"]


@dataclass(frozen=True)
class Density:
    """Log-densities, bounds, bits, marginals and p-values by one setting of the solver, of data in their own form.

    Arguments:
        schema: The form of the data.
        scaled: The log-densities in their units.
    """

    schema: Schema
    scaled: DataDensity

    def _inner(self, x: Any) -> Tensor:
        return self.schema.unpack(x, torch.float64)

    def log_prob(self, x: Any) -> LogProb:
        """The log-densities of N data, with their errors, each of shape `(N,)`."""
        return self.scaled(self._inner(x))

    def bound(self, x: Any, draws: int = 64) -> Bound:
        """Lower bounds on the log-densities of the SDE model (ELBO), with their standard errors.

        Arguments:
            x: N data.
            draws: How many noise levels are drawn for each datum, an even number; each costs two evaluations.
        """
        return self.scaled.bound(self._inner(x), draws)

    def bits_per_dim(self, x: Any, draws: int = 4, step: Any = None) -> BitsPerDim:
        """Bits per dimension of whole or rounded numbers, by uniform dequantization, with their standard errors.

        Arguments:
            x: N data.
            draws: At how many places in its cell each datum is put.
            step: The distance between neighbouring values, 0 for continuous features: one number, or one a feature in the
                layout of networks. By default 1 for integers, and what is found in `x` for others that are rounded.

        Raises:
            ValueError: If no feature is whole or rounded.
        """
        inner = self._inner(x)
        known = spacing(inner, self.schema.integer) if step is None else torch.as_tensor(step, dtype=torch.float64)
        return self.scaled.bits_per_dim(inner, known, draws)

    def typicality(self, x: Any, reference: Any) -> Tensor:
        """p-values that data are as likely, and no likelier, as others that the model was not trained on: `(N,)`.

        Arguments:
            x: N data.
            reference: Held-out data: p is no smaller than 2/(1 + their number). The function of this name in
                `scorefield.likelihood` says exactly what p is.
        """
        return typicality(self.log_prob(x).value, self.log_prob(reference).value)

    def marginal(self, x: Any, of: Sequence[Any], draws: int = 1000) -> LogProb:
        """The log-densities of some features of vectors.

        One or two others are integrated out by adaptive quadrature, more by importance sampling: exact up to the errors
        that are reported. It takes hundreds of log-densities a datum.

        Arguments:
            x: These features alone, an array `(N, k)` in the order of `of`; or a table that has them.
            of: Their positions, or names of columns.
            draws: For importance sampling: how many vectors are drawn for each datum.

        Raises:
            ValueError: If the data are no vectors, or have no such features.
        """
        keep = positions(self.schema, of)
        return self.scaled.marginal(values_of(x, of, self.schema), keep, draws)

    def conditional(self, x: Any, given: Sequence[Any], draws: int = 1000) -> LogProb:
        """The log-densities of all other features given some, log p(x) - log p(given), with the errors of both.

        Arguments:
            x: N data, whole.
            given: The positions of the features that are given, or names of columns.
            draws: As for `marginal`.
        """
        keep = positions(self.schema, given)
        return self.scaled.conditional(self._inner(x), keep, draws)
