"""Operators along the axes of grids: blur, coarser grids, projections, frequencies, grey from colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..user_values import real_tensor
from .base import LinearOperator, axes_of, kept_parts

__all__ = ["Blur", "Downsample", "Fourier", "Grey", "Radon"]

_DEFAULT = (-2, -1)
_REACH = 4  # standard deviations of a Gaussian kernel that are kept on either side


def _last(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The axes moved to the end."""
    return x.movedim(axes, tuple(range(-len(axes), 0)))


def _back(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.movedim(tuple(range(-len(axes), 0)), axes)


class AlongAxes(LinearOperator):
    """An operator along spatial axes of a data point: the last two, unless `axes` says which."""

    axes: tuple[int, ...] | None

    @property
    def along(self) -> tuple[int, ...]:
        """The axes along which it acts."""
        return _DEFAULT if self.axes is None else self.axes

    def _keep_axes(self) -> None:
        object.__setattr__(self, "axes", None if self.axes is None else tuple(self.axes))

    def spatial_axes(self, spatial: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], int] | None:
        if self.axes is None and tuple(axis + rank for axis in _DEFAULT) != spatial:
            what = f"{type(self).__name__} acts along the last two axes of a data point, unless axes=… says otherwise"
            raise ValueError(
                f"{what}, and the spatial axes of these data are {_written(spatial)}: {self._advice(spatial)}"
            )
        return spatial, rank

    def _advice(self, spatial: tuple[int, ...]) -> str:
        """Which axes to give for data with these spatial ones."""
        whole = f"give axes={_written(spatial)}"
        return whole if len(spatial) < 3 else f"{whole}, or fewer of them, axes={_written(spatial[-2:])}"


def _written(axes: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, axes))}{',' * (len(axes) == 1)})"


@dataclass(frozen=True, eq=False)
class Blur(AlongAxes):
    """A convolution: a Gaussian of a width, or a kernel that is given.

    Arguments:
        width: The standard deviation of the Gaussian, in grid points.
        kernel: The weights of the convolution, an odd number along each of `axes`, in place of the Gaussian.
        boundary: What is beyond the edge: the mirror image ("reflect", each edge point twice), or the other side ("periodic").
        axes: The axes of a data point along which it acts; by default the last two, which suits `(H, W)` and `(C, H, W)`. It is
            `(-1,)` for signals, `(0, 1)` for `(H, W, C)`, and `(0, 1, 2)` for volumes: `Model.observe` asks for it there.
    """

    width: float = 1.0
    kernel: Tensor | None = None
    boundary: Literal["reflect", "periodic"] = "reflect"
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._keep_axes()
        if not 0 < self.width < math.inf:
            raise ValueError(f"Blur needs width > 0, got width={self.width:g}")
        if self.boundary not in ("reflect", "periodic"):
            raise ValueError(f'the boundary of Blur is "reflect" or "periodic", got {self.boundary!r}')
        if not 1 <= len(self.along) <= 3:
            raise ValueError(f"Blur works along 1 to 3 axes, got axes={self.along}")
        if self.kernel is not None:
            kernel = real_tensor(self.kernel, "kernels")
            if kernel.ndim != len(self.along) or any(n % 2 == 0 for n in kernel.shape):
                need = f"an odd number of points along each of its {len(self.along)} axes"
                raise ValueError(f"the kernel of Blur needs {need}, got shape {tuple(kernel.shape)}")
            object.__setattr__(self, "kernel", kernel)

    def __call__(self, x: Tensor) -> Tensor:
        axes = axes_of(x, self.along, self)
        if self.kernel is None:
            for axis in axes:
                x = self._along(x, (axis,), self._gaussian().to(x))
            return x
        return self._along(x, axes, self.kernel.to(x))

    def _gaussian(self) -> Tensor:
        reach = math.ceil(_REACH * self.width)
        weight = torch.exp(-(torch.arange(-reach, reach + 1, dtype=torch.float64) ** 2) / (2 * self.width**2))
        return weight / weight.sum()

    def _along(self, x: Tensor, axes: tuple[int, ...], kernel: Tensor) -> Tensor:
        """Pads by taking what is beyond the edge from inside, and convolves (with the reflected kernel)."""
        for axis, length in zip(axes, kernel.shape):
            n, reach = x.shape[axis], length // 2
            place = torch.arange(-reach, n + reach, device=x.device)
            if self.boundary == "reflect":
                place = place.remainder(2 * n)
                place = torch.minimum(place, 2 * n - 1 - place)
            x = x.index_select(axis, place.remainder(n))
        moved = _last(x, axes)
        flat = moved.reshape(-1, 1, *moved.shape[-len(axes) :])
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(axes) - 1]
        y = convolve(flat, kernel.flip(tuple(range(kernel.ndim)))[None, None])
        return _back(y.reshape(*moved.shape[: -len(axes)], *y.shape[2:]), axes)


@dataclass(frozen=True)
class Downsample(AlongAxes):
    """A coarser grid: means over blocks.

    Arguments:
        factor: The side of a block, in grid points.
        axes: The axes of a data point along which it acts: the last two by default, as for `Blur`.
    """

    factor: int = 2
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._keep_axes()
        if self.factor < 1:
            raise ValueError(f"Downsample needs factor >= 1, got factor={self.factor}")

    def __call__(self, x: Tensor) -> Tensor:
        for axis in axes_of(x, self.along, self):
            n = x.shape[axis]
            if n % self.factor:
                raise ValueError(f"Downsample by {self.factor} needs axes that it divides, got {n} points")
            x = x.unflatten(axis, (n // self.factor, self.factor)).mean(axis + 1)  # type: ignore[no-untyped-call]
        return x


@dataclass(frozen=True)
class Grey(LinearOperator):
    """Colour to grey: a weighted sum over the channels.

    Arguments:
        axis: The axis of the channels in a data point: the last, `(H, W, C)`; 0 for `(C, H, W)`.
        weights: One for each channel; by default the luma of Rec. 601.
    """

    axis: int = -1
    weights: tuple[float, ...] = (0.299, 0.587, 0.114)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(map(float, self.weights)))

    def spatial_axes(self, spatial: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], int] | None:
        gone = self.axis % rank
        return tuple(axis - (axis > gone) for axis in spatial if axis != gone), rank - 1

    def __call__(self, x: Tensor) -> Tensor:
        (axis,) = axes_of(x, (self.axis,), self)
        if x.shape[axis] != len(self.weights):
            what = f"Grey has weights for {len(self.weights)} channels"
            have = f"axis {self.axis} of a data point has {x.shape[axis]}"
            raise ValueError(f"{what}, and {have}: give axis=… or weights=(…)")
        return torch.tensordot(x, x.new_tensor(self.weights), ([axis], [0]))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Radon(AlongAxes):
    """Projections of square images at several angles: computed tomography, few angles being sparse views.

    The image is rotated about its centre by bilinear interpolation, with zeros around, and summed along its columns: in
    the units of the image times grid points.

    Arguments:
        angles: How many, evenly over half a turn; or the angles themselves, in degrees.
        axes: The two axes of the image in a data point: the last two by default, as for `Blur`.

    Example:
        >>> Radon(5)(torch.ones(1, 8, 8)).shape  # (angle, position)
        torch.Size([1, 5, 8])
    """

    angles: int | tuple[float, ...] = 18
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._keep_axes()
        if not isinstance(self.angles, int):
            object.__setattr__(self, "angles", tuple(map(float, self.angles)))
        if len(self.along) != 2 or (self.angles < 1 if isinstance(self.angles, int) else not self.angles):
            raise ValueError(f"Radon needs two axes and one angle or more, got axes={self.along}, angles={self.angles}")

    @property
    def degrees(self) -> tuple[float, ...]:
        """The angles."""
        if isinstance(self.angles, int):
            return tuple(180 * i / self.angles for i in range(self.angles))
        return self.angles

    def spatial_axes(self, spatial: tuple[int, ...], rank: int) -> None:
        super().spatial_axes(spatial, rank)  # of what it gives, none are those of the data

    def _advice(self, spatial: tuple[int, ...]) -> str:
        if len(spatial) < 2:
            return "Radon needs two spatial axes, take another operator"
        return f"give axes={_written(spatial[-2:])}" + ", or two others of them" * (len(spatial) > 2)

    def __call__(self, x: Tensor) -> Tensor:
        axes = axes_of(x, self.along, self)
        moved = _last(x, axes)
        n = moved.shape[-1]
        if moved.shape[-2] != n:
            got = f"{moved.shape[-2]} x {n} points"
            raise ValueError(f"Radon projects square images, got {got}: pad them, or give axes=…")
        flat = moved.reshape(1, -1, n, n)
        phase = torch.tensor(self.degrees, dtype=torch.float64).deg2rad().to(x)
        rows = torch.stack([phase.cos(), -phase.sin(), 0 * phase, phase.sin(), phase.cos(), 0 * phase], 1)
        lattice = F.affine_grid(rows.reshape(-1, 2, 3), [len(phase), 1, n, n], align_corners=False)
        projections = [F.grid_sample(flat, points[None], align_corners=False).sum(2)[0] for points in lattice]
        return torch.stack(projections, 1).reshape(*moved.shape[:-2], len(phase), n)


@dataclass(frozen=True, eq=False)
class Fourier(AlongAxes):
    """Frequencies: the discrete Fourier transform, of which some are kept, real and imaginary parts side by side. MRI.

    It keeps lengths: the transform is orthonormal. A real image has each frequency twice, once as the conjugate of the
    other: keep one of the two, unless both were measured.

    Arguments:
        keep: True where a frequency is measured, of the shape of the image along `axes`, with frequency 0 first as in
            `torch.fft`; all by default.
        axes: The axes of a data point along which it acts: the last two by default, as for `Blur`.

    Example:
        >>> Fourier(torch.eye(8).bool())(torch.ones(1, 3, 8, 8)).shape  # 3 channels, 8 frequencies, two parts
        torch.Size([1, 3, 8, 2])
    """

    keep: Tensor | None = None
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._keep_axes()
        if self.keep is not None:
            object.__setattr__(self, "keep", kept_parts(self.keep, "Fourier", ("frequency", "frequencies")))

    def spatial_axes(self, spatial: tuple[int, ...], rank: int) -> None:
        super().spatial_axes(spatial, rank)  # of what it gives, none are those of the data

    def __call__(self, x: Tensor) -> Tensor:
        moved = _last(x, axes_of(x, self.along, self))
        here = tuple(range(-len(self.along), 0))
        shape = moved.shape[-len(here) :]
        keep = torch.ones(shape, dtype=torch.bool) if self.keep is None else self.keep
        if keep.shape != shape:
            what = f"Fourier keeps frequencies of shape {tuple(keep.shape)}, and the image is {tuple(shape)}"
            raise ValueError(f"{what}: give them the same")
        found = torch.fft.fftn(moved, dim=here, norm="ortho").flatten(-len(here))[..., keep.to(x.device).flatten()]
        return torch.view_as_real(found)
