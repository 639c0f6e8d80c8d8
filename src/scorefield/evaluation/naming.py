"""What channels of grids are called, and the values that they have in the units of the user."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..data import Schema
from ..model import Model

__all__ = ["channel_names", "is_photograph", "point_names", "values_of"]

_NAMED = 2**16  # points of a grid that get a name


def is_photograph(schema: Schema) -> bool:
    """Whether data are colour images: three channels of 0 to 255."""
    shape = schema.inner_shape
    return len(shape) == 3 and shape[0] == 3 and schema.dtype == "uint8"


def channel_names(schema: Schema) -> tuple[str, ...]:
    """The names of the channels: red, green and blue of colour images, those of a DataArray or a Dataset, or their numbers.

    Example:
        >>> import numpy as np
        >>> channel_names(Schema.of(np.zeros((4, 16, 16, 3), np.uint8)))
        ('red', 'green', 'blue')
    """
    count, axis = schema.inner_shape[0], schema.channel_axis
    if is_photograph(schema):
        return "red", "green", "blue"
    if schema.variables and axis is not None:
        return tuple(each.name for each in schema.variables)
    if schema.dims is not None and axis is not None:
        known = schema.coordinate_variables().get(schema.dims[axis + 1])
        if known is not None and len(known[1]) == count:
            return tuple(str(name) for name in known[1])
    return tuple(f"channel {c + 1}" for c in range(count))


def point_names(schema: Schema) -> tuple[str, ...]:
    """The names of the values of a grid, in the order of the flattened grid: by their place; () if they are very many.

    Example:
        >>> import numpy as np
        >>> point_names(Schema.of(np.zeros((4, 16, 16, 3), np.uint8)))[-1], point_names(Schema.of(np.zeros((4, 8, 8))))[9]
        ('the value at [15, 15] in blue', 'the value at [1, 1]')
    """
    count, *axes = schema.inner_shape
    if int(np.prod(schema.inner_shape)) > _NAMED:
        return ()
    channels = [f" in {name}" for name in channel_names(schema)] if count > 1 else [""]
    places = [f"the value at [{', '.join(map(str, place))}]" for place in np.ndindex(*axes)]
    return tuple(f"{place}{channel}" for channel in channels for place in places)


def values_of(model: Model) -> Callable[[Tensor], Tensor]:
    """A function from standard values `(C, K)` of the channels of grids to those in the units of the data."""
    inner, units = model.schema.inner_shape, model.standardize

    def values(x: Tensor) -> Tensor:
        whole = x.T.reshape(x.shape[1], inner[0], *(1,) * (len(inner) - 1)).expand(-1, *inner)
        found = units.inverse(whole.to(units.device, torch.float64)).cpu()
        return found.flatten(2)[:, :, 0].T

    return values
