"""Statistics of fields as curves: spectra, correlations, variograms and histograms.

Fields are `(N, C, *S)` with one to three axes S. Curves are `(N, C, R)`, one per field, at R abscissas.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["asymmetry", "correlation", "histogram", "lags_of", "spectrum", "variogram"]

CHUNK = 2**22  # numbers that are processed together
_SATURATED = 0.3  # of the root mean square of increments: larger ones count nearly the same


def spectrum(x: Tensor, window: bool = False) -> tuple[Tensor, Tensor]:
    """The isotropic power spectrum: mean squared Fourier coefficients in shells of the wave number |k|.

    The transform is orthonormal, so that white noise of variance v has the flat spectrum v. The width of a shell is the lowest
    frequency of the longest axis. The mean is left out, and so are frequencies above half a cycle per cell, in the corners of
    the grid.

    Arguments:
        x: Fields `(N, C, *S)`.
        window: Whether to taper the fields to zero at the border (Hann window), for fields that are not periodic. The mean
            power is preserved.

    Returns:
        Frequencies in cycles per cell, `(R,)`, and the power, `(N, C, R)`.

    Raises:
        ValueError: If there are not one to three axes S.

    Example:
        >>> wave = torch.cos(2 * torch.pi * 4 * torch.arange(32) / 32).reshape(1, 1, 32)
        >>> at, power = spectrum(wave)
        >>> float(at[power[0, 0].argmax()]), round(float(power.max()), 4)
        (0.125, 8.0)
    """
    sizes = _sizes(x)
    axes = tuple(range(2, x.ndim))
    waves = torch.meshgrid(*(torch.fft.fftfreq(size, dtype=torch.float64) for size in sizes), indexing="ij")
    length = torch.stack(waves).square().sum(0).sqrt()
    longest = max(sizes)
    shell = (length * longest).round().long()
    shell[(length > 0.5 + 1e-9) | (shell > longest // 2)] = 0
    taper = _hann(sizes).to(x) if window else 1.0
    at, power = _by_shell(shell.to(x.device), longest // 2)
    parts = []
    for chunk in torch.split(x, max(1, CHUNK // max(1, x[0].numel()))):
        chunk = chunk - chunk.mean(axes, keepdim=True)
        squared = torch.fft.fftn(chunk * taper, dim=axes, norm="ortho").abs().square()
        parts.append(power(squared.flatten(2)))
    return at / longest, torch.cat(parts)


def correlation(x: Tensor, periodic: bool = False, centre: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """The two-point correlation E[(x(u) − c)(x(u + r) − c)] as a function of the distance r, averaged over directions.

    For a phase, given as a field of 0 and 1 with c = 0, it is the two-point probability S₂(r) of stochastic geometry. Every
    pair of cells counts once, by a Fourier transform of the padded field, at its distance rounded to an integer.

    Arguments:
        x: Fields `(N, C, *S)`.
        periodic: Whether the fields are periodic.
        centre: The constant c, one for all or one per channel, `(C,)`. The mean of many fields keeps the fluctuations of the
            mean of single ones.

    Returns:
        Distances 0, 1, … in cells, up to half the shortest axis longer than one, and correlations, `(N, C, R)`.

    Raises:
        ValueError: If there are not one to three axes S.

    References:
        Torquato, 2002, Random heterogeneous materials, section 2.2.

    Example:
        >>> stripes = torch.tensor([0.0, 1.0]).repeat(8).reshape(1, 1, 16)
        >>> correlation(stripes, periodic=True)[1][0, 0, :3].round(decimals=6).tolist()
        [0.5, 0.0, 0.5]
    """
    sizes = _sizes(x)
    axes = tuple(range(2, x.ndim))
    padded = sizes if periodic else [2 * size for size in sizes]
    places = [torch.fft.fftfreq(size, dtype=torch.float64) * size for size in padded]
    distance = torch.stack(torch.meshgrid(*places, indexing="ij")).square().sum(0).sqrt()
    reach = lags_of(sizes)
    shell = torch.where(distance.round() <= reach, distance.round().long(), -1)
    offset = torch.as_tensor(centre, dtype=x.dtype, device=x.device).reshape(-1, *[1] * len(sizes))
    ones = torch.fft.rfftn(torch.ones(sizes, dtype=torch.float64), s=padded)
    pairs = torch.fft.irfftn(ones.abs().square(), s=padded).round()
    kept = (shell >= 0) & (pairs > 0)
    index = shell[kept].to(x.device)
    total = torch.zeros(reach + 1, dtype=torch.float64).index_add_(0, shell[kept], pairs[kept]).to(x)
    parts = []
    for chunk in torch.split(x, max(1, CHUNK // max(1, x[0].numel()))):
        power = torch.fft.rfftn(chunk - offset, s=padded, dim=axes).abs().square()
        products = torch.fft.irfftn(power, s=padded, dim=axes)
        sums = torch.zeros(*chunk.shape[:2], reach + 1, dtype=x.dtype, device=x.device)
        parts.append(sums.index_add_(2, index, products[:, :, kept.to(x.device)]) / total)
    return torch.arange(reach + 1, dtype=torch.float64), torch.cat(parts)


def variogram(x: Tensor, lags: int = 24) -> tuple[Tensor, Tensor]:
    """The semivariogram γ(h) = ½ E[(x(u + h) − x(u))²] along each axis, which shows anisotropy.

    Arguments:
        x: Fields `(N, C, *S)`.
        lags: The maximum number of lags per axis, up to half of its length.

    Returns:
        Lags in cells, concatenated over the axes, `(R,)`, and γ, `(N, C, R)`.

    Raises:
        ValueError: If there are not one to three axes S.

    References:
        Matheron, 1963, Principles of geostatistics.

    Example:
        >>> ramp = torch.arange(8.0).reshape(1, 1, 8)
        >>> at, gamma = variogram(ramp)
        >>> at.tolist(), gamma[0, 0].tolist()
        ([1.0, 2.0, 3.0, 4.0], [0.5, 2.0, 4.5, 8.0])
    """
    at, curves = [], []
    for axis, size in enumerate(_sizes(x), start=2):
        if size < 2:
            continue
        reach = max(1, size // 2)
        for lag in torch.linspace(1, reach, min(lags, reach)).round().int().tolist():
            step = x.narrow(axis, lag, size - lag) - x.narrow(axis, 0, size - lag)
            curves.append(step.square_().flatten(2).mean(2) / 2)
            at.append(float(lag))
    return torch.tensor(at, dtype=torch.float64), torch.stack(curves, 2)


def asymmetry(x: Tensor, lags: int = 8) -> tuple[Tensor, Tensor]:
    """The asymmetry of increments, E[Δ / (|Δ| + s)] with Δ = x(u + h) − x(u), along each axis.

    Spectra, correlations, variograms and the statistics of phases are the same for a field and its mirror image; this changes
    its sign, and is 0 where a reversed axis changes nothing. Steep rises and long recessions give negative numbers. Increments
    count by their size up to about s, 0.3 of their root mean square in all fields, so that a few large ones do not decide.

    Arguments:
        x: Fields `(N, C, *S)`.
        lags: The maximum number of lags per axis, up to half of its length, in equal ratios.

    Returns:
        Lags in cells, concatenated over the axes, `(R,)`, and the asymmetry, from -1 to 1, `(N, C, R)`.

    Raises:
        ValueError: If there are not one to three axes S.

    Example:
        >>> fall = torch.tensor([[[4.0, 3.0, 2.0, 1.0, 4.0, 3.0, 2.0, 1.0]]])
        >>> at, found = asymmetry(fall)
        >>> at.tolist(), bool((found < 0)[0, 0, 0]), torch.equal(asymmetry(fall.flip(2))[1], -found)
        ([1.0, 2.0, 3.0, 4.0], True, True)
    """
    at, curves = [], []
    for axis, size in enumerate(_sizes(x), start=2):
        reach = size // 2
        for lag in sorted({round(reach ** (i / max(1, lags - 1))) for i in range(lags)} if reach else ()):
            step = x.narrow(axis, lag, size - lag) - x.narrow(axis, 0, size - lag)
            rms = step.transpose(0, 1).flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(x.dtype).tiny)
            scale = _SATURATED * rms.reshape(1, -1, *[1] * (x.ndim - 2))
            curves.append((step / (step.abs() + scale)).flatten(2).mean(2))
            at.append(float(lag))
    return torch.tensor(at, dtype=torch.float64), torch.stack(curves, 2)


def histogram(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The fraction of the values of each field in each bin: its one-point distribution.

    Arguments:
        x: Fields `(N, C, *S)`.
        edges: The inner edges of the bins, increasing, `(C, R − 1)`; a value on an edge belongs to the bin on the left.

    Returns:
        Indices 0 … R − 1 of the bins, and fractions, `(N, C, R)`.

    Example:
        >>> histogram(torch.tensor([[[0.0, 1.0, 2.0, 3.0]]]), torch.tensor([[0.5, 2.5]]))[1].tolist()
        [[[0.25, 0.5, 0.25]]]
    """
    count = edges.shape[1] + 1
    flat = x.flatten(2)
    below = torch.stack([(flat > edge[:, None]).sum(2) for edge in edges.T], 2)
    whole = torch.full_like(below[:, :, :1], flat.shape[2])
    above = torch.cat([whole, below, torch.zeros_like(whole)], 2)
    return torch.arange(count, dtype=torch.float64), (above[:, :, :-1] - above[:, :, 1:]).to(x) / flat.shape[2]


def lags_of(sizes: tuple[int, ...]) -> int:
    """The largest lag of the curves: half the shortest axis longer than one."""
    return max(1, min((size for size in sizes if size > 1), default=1) // 2)


def _sizes(x: Tensor) -> tuple[int, ...]:
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"fields must be (N, C, *S) with one to three axes S, got shape {tuple(x.shape)}")
    return tuple(x.shape[2:])


def _by_shell(shell: Tensor, count: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The indices of the nonempty shells among 1 … count, and a function that averages over them."""
    flat = shell.flatten()
    members = torch.bincount(flat, minlength=count + 1)[1 : count + 1]
    full = members > 0

    def average(squared: Tensor) -> Tensor:
        sums = torch.zeros(*squared.shape[:2], count + 1, dtype=squared.dtype, device=squared.device)
        sums.index_add_(2, flat, squared)
        return sums[:, :, 1:][:, :, full] / members[full]

    return (torch.arange(1, count + 1, device=shell.device)[full]).double().cpu(), average


def _hann(sizes: tuple[int, ...]) -> Tensor:
    taper = torch.ones(sizes, dtype=torch.float64)
    for axis, size in enumerate(sizes):
        if size > 1:
            place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
            window = torch.sin(math.pi * place).square()
            taper = taper * window.reshape(-1, *[1] * (len(sizes) - axis - 1))
    return taper / taper.square().mean().sqrt()
