"""A measurement: the operator, its output and the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..calls import parse_call, split_call
from ..data.axis_labels import AxisLabels
from ..user_values import real_tensor
from .base import Operator
from .noise import CorrelatedNoise, Noise, WhiteNoise
from .plain import Compose, Mask

__all__ = ["Measurement"]

_PARTS = "numpy.stack([y.real, y.imag], -1), as Fourier does"


@dataclass(frozen=True, eq=False)
class _Source:
    """What was measured as it was given: the operator, y and its labels."""

    operator: Operator | str
    y: np.ndarray
    labels: AxisLabels

    @property
    def whole(self) -> bool:
        """Whether y is a whole data point, NaN where nothing was measured."""
        return isinstance(self.operator, str) and _is_mask(self.operator)


@dataclass(frozen=True, eq=False, init=False)
class Measurement:
    """y = A(x) + noise, in the units and the axes of the data x.

    Arguments:
        operator: A, which acts on data as their user has them: `Mask`, `Blur`, `Linear`, `Function`, …; or its call as on the
            command line, "blur(width=2) | downsample(factor=2)". "mask" observes what is not NaN in y, a whole data point.
        y: What was measured of one data point, of the shape `E` that A gives; an array, a tensor or nested lists. A DataArray
            or a Dataset of xarray is brought into the order of the data by its axes, variables and coordinates.
        noise: The standard deviation of independent Gaussian noise, one number or one for each component; or its covariance,
            of shape `(m, m)` for m measured numbers; or the noise itself: `PoissonNoise(gain)`, "poisson(gain=2)".

    Raises:
        TypeError: If `operator` is not an operator, or y or the noise are complex: real and imaginary parts are numbers of
            their own.
        ValueError: If y is not finite, the noise is not positive, their shapes do not agree, or a call cannot be read.

    Example:
        >>> from scorefield.measurement import Mask
        >>> measurement = Measurement(Mask(torch.tensor([True, False])), [1.5], noise=0.1)
        >>> measurement.y, measurement.noise
        (tensor([1.5000], dtype=torch.float64), WhiteNoise(std=0.1))
    """

    operator: Operator
    y: Tensor
    noise: Noise
    _source: _Source | None = field(init=False, repr=False)

    def __init__(self, operator: Operator | str, y: Any, noise: Any) -> None:
        y = y.to_dataarray() if hasattr(y, "data_vars") else y
        labels, asked = AxisLabels.of(y), operator
        if labels is not None and (own := AxisLabels.of(noise)) is not None:
            noise = own.order_of(labels, "the noise")(np.asarray(noise), own.dims)
        given = y
        if isinstance(operator, str):
            operator, y = _called(operator, y)
        noise = parse_call(noise, Noise) if isinstance(noise, str) else noise
        if not isinstance(operator, Operator):
            hint = "measurement.Linear(…)" if isinstance(operator, np.ndarray | Tensor) else "measurement.Function(…)"
            raise TypeError(f"a measurement needs an operator, got {type(operator).__name__}: wrap it in {hint}")
        values = real_tensor(y, "measured numbers", _PARTS)
        bad = ~torch.isfinite(values)
        if values.numel() == 0 or bool(bad.any()):
            found = f"{int(bad.sum())} of {values.numel()} measured numbers are not finite"
            what = found if values.numel() else "y is empty"
            raise ValueError(f"{what}: leave those out with Mask, and measure at least one")
        if not isinstance(noise, Noise):
            size = real_tensor(noise, "standard deviations of noise", "one standard deviation for each")
            square = size.ndim == 2 and size.shape == (values.numel(),) * 2 and size.shape != values.shape
            noise = CorrelatedNoise(size) if square else WhiteNoise(size)
        noise.check(values)
        source = None if labels is None else _Source(asked, np.asarray(given, dtype=np.float64), labels)
        for name, value in (("operator", operator), ("y", values), ("noise", noise), ("_source", source)):
            object.__setattr__(self, name, value)

    def like(self, labels: AxisLabels | None) -> Measurement:
        """The same measurement in the order of data: their axes, variables and coordinates.

        Arguments:
            labels: The labels of a data point; None where its axes have no names, and all goes by position.

        Raises:
            ValueError: If y is a data point with other axes, or has other values of a coordinate.
        """
        if labels is None or self._source is None:
            return self
        y, own = self._source.y, self._source.labels
        order = own.order_of(labels, "y", partial=not self._source.whole)
        if order.dims == own.dims and not order.places:
            return self
        places = order(np.arange(y.size).reshape(y.shape), own.dims)
        moved, places = y.reshape(-1)[places], places.reshape(-1)
        there = ~np.isnan(y.reshape(-1))  # what was measured, where a mask leaves out the rest
        taken = (there.cumsum() - 1)[places[there[places]]]
        return Measurement(self._source.operator, moved, self.noise.taken(torch.from_numpy(taken)))

    def check(self, shape: Sequence[int], spatial: Sequence[int] = ()) -> None:
        """Whether A takes data, and gives the shape of y.

        Arguments:
            shape: The shape `D` of a data point.
            spatial: Its spatial axes, counted from 0, where it is a grid.

        Raises:
            TypeError: If A gives complex numbers.
            ValueError: If it does not take such data, the shapes differ, or it acts along spatial axes that were left open and
                takes others than these.
        """
        if spatial:
            self.operator.spatial_axes(tuple(spatial), len(shape))
        made = self.operator(torch.zeros(1, *shape, dtype=torch.float64))
        if made.is_complex():
            name = type(self.operator).__name__
            raise TypeError(
                f"what is measured must be real, {name} gives complex numbers: return torch.view_as_real(y)"
            )
        found = tuple(made.shape[1:])
        if found != tuple(self.y.shape):
            what = f"{type(self.operator).__name__} makes {found} of a data point of shape {tuple(shape)}"
            raise ValueError(f"{what}, and y has the shape {tuple(self.y.shape)}: they must agree")


def _is_mask(call: str) -> bool:
    return call.strip().lower() in ("mask", "mask()")


def _called(text: str, y: Any) -> tuple[Operator, Any]:
    """The operator of calls with | between them, and what it observes: a last "mask" takes what is not NaN in y."""
    *before, last = split_call(text, "operator")
    acting = [parse_call(each, Operator) for each in before]
    if _is_mask(last):
        values = real_tensor(y, "measured numbers", _PARTS).cpu().numpy()
        keep = ~np.isnan(values)
        acting, y = [*acting, Mask(torch.from_numpy(keep))], values[keep]
    else:
        acting.append(parse_call(last, Operator))
    return (acting[0] if len(acting) == 1 else Compose(tuple(acting))), y
