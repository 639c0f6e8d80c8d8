"""Grids with a point mass: fields of rain with 58 % exact zeros, next to temperature that depends on it.

Rain is the square of what a correlated Gaussian field exceeds a threshold by; temperature is correlated with that field. Of
4,000 new fields and of samples it prints: the share of exact zeros, and the least and the largest one at a point; the standard
deviation of the share of zeros of a field; the share of 4 x 4 blocks that are dry altogether, and of neighbours of which one is
dry; mean, standard deviation and quantiles of positive rain; the power of log(rain + 1) at low, middle and high wavenumbers;
its correlation with temperature, and the standard deviation of that.

    python benchmarks/wet_fields.py --steps 400 --seeds 2
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import xarray

import scorefield as sf

SHAPE = 24, 32
QUANTILES = 0.5, 0.9, 0.99, 0.999


def gaussian_fields(rng: np.random.Generator, count: int) -> np.ndarray:
    """Fields of mean 0 and variance 1 with the covariance exp(-d² / 2 / 3²), cut out of periodic ones twice as large."""
    sizes = [2 * n for n in SHAPE]
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in sizes), indexing="ij")
    root = np.exp(-((2 * np.pi * 3.0) ** 2) * (k[0] ** 2 + k[1] ** 2) / 4)
    fields = np.fft.ifft2(np.fft.fft2(rng.normal(size=(count, *sizes))) * root).real
    found: np.ndarray = (fields / np.sqrt((root**2).mean()))[:, : SHAPE[0], : SHAPE[1]]
    return found


def rain_and_temperature(seed: int, count: int) -> xarray.Dataset:
    """A Dataset of rain, 58 % of it 0, and temperature, whose correlation with the field behind the rain is -0.6."""
    rng = np.random.default_rng(seed)
    g, other = gaussian_fields(rng, count), gaussian_fields(rng, count)
    rain = np.maximum(0, g - statistics.NormalDist().inv_cdf(0.58)) ** 2
    temperature = 285 + 5 * (-0.6 * g + 0.8 * other)
    axes = ("time", "lat", "lon")
    return xarray.Dataset({"rain": (axes, rain.astype("f4")), "temperature": (axes, temperature.astype("f4"))})


def described(data: xarray.Dataset) -> dict[str, float]:
    """What is compared, by name."""
    rain, warm = (np.asarray(data[name].values, float) for name in ("rain", "temperature"))
    dry, wet = rain == 0, rain[rain > 0]
    blocks = dry.reshape(len(rain), SHAPE[0] // 4, 4, SHAPE[1] // 4, 4).all((2, 4))
    power = (np.abs(np.fft.rfft2(np.log(rain + 1))) ** 2).mean(0)
    wave = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None])
    found = {"zeros": dry.mean(), "zeros, least": dry.mean(0).min(), "zeros, most": dry.mean(0).max()}
    found |= {"zeros, deviation": dry.mean((1, 2)).std(), "dry blocks": blocks.mean()}
    found |= {"edges": (dry[:, :, 1:] != dry[:, :, :-1]).mean(), "mean": wet.mean(), "deviation": wet.std()}
    found |= {f"quantile {q}": np.quantile(wet, q) for q in QUANTILES}
    for name, low, high in (("low", 0.02, 0.1), ("middle", 0.1, 0.2), ("high", 0.2, 0.5)):
        found[f"power, {name}"] = power[(wave >= low) & (wave < high)].mean()
    found["correlation"] = np.corrcoef(np.log(rain + 1).ravel(), warm.ravel())[0, 1]
    found["temperature"] = warm.std()
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    """Fits, draws and compares, for several seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    columns = [described(rain_and_temperature(100, 4000))]
    for seed in range(options.seeds):
        start = time.perf_counter()
        model = sf.fit(rain_and_temperature(seed, options.rows), steps=options.steps, seed=seed)
        columns.append(described(model.sample(options.samples, seed=seed)))
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"{'':16} {'true':>10}" + "".join(f" {f'seed {seed}':>10}" for seed in range(options.seeds)))
    for name in columns[0]:
        print(f"{name:16}" + "".join(f" {column[name]:10.4g}" for column in columns))


if __name__ == "__main__":
    main()
