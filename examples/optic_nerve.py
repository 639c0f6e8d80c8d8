"""Shear modulus around the optic nerve head: the NCSNv2 recipe next to the default, and the 16 variables of the samples.

python examples/optic_nerve.py [--fields 4000] [--steps 1000] [--count 48] [-o optic_nerve.png]

Example 3 of the USC summer school on score-based diffusion models (2023): five tissues in a square of 1.75 mm, whose shapes
follow from 10 random variables and whose moduli from 6. The generator and its ranges are ours: that of the lecture was not
published. Fields are 32 x 32 here, for a few minutes on a CPU; `--side 64 --fields 12000` makes the size of the lecture's. A
regression that was fitted to the generator recovers the 16 variables of each sample. With `-o optic_nerve.gif` samples are
shown on their way out of the noise instead, those of NCSNv2 above those of the default.
"""

import field_models
import numpy as np
from panels import animate, draw
from scipy.stats import ks_2samp
from sklearn.neural_network import MLPRegressor

NAMES = ["retina", "dip", "sclera", "canal", "taper", "tilt", "lamina", "bow", "pia", "nerve"]  # shapes, then moduli:
NAMES += ["G sclera", "G lamina", "G pia", "G nerve", "G retina", "G orbit"]
LOW = [0.18, 0.05, 0.38, 0.30, 0.00, -0.12, 0.12, 0.00, 0.06, 0.02, 0.70, 0.35, 0.50, 0.15, 0.08, 0.00]
HIGH = [0.30, 0.20, 0.60, 0.45, 0.15, 0.12, 0.24, 0.15, 0.12, 0.15, 1.00, 0.60, 0.80, 0.30, 0.22, 0.06]


def fields(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Moduli relative to the stiffest, `(N, side, side)`, each pixel the mean of 4 x 4 points; and the variables, `(N, 16)`."""
    variables = np.random.default_rng(seed).uniform(LOW, HIGH, (count, 16))
    at = (np.arange(4 * side) + 0.5) / (4 * side) * 1.75
    found = np.empty((count, side, side), np.float32)
    for i, (retina, dip, sclera, canal, taper, tilt, lamina, bow, pia, widening, *modulus) in enumerate(variables):
        x, y = np.meshgrid(at - 0.875, at)  # millimetres from the axis, and of depth from the vitreous to the orbit
        y = y + tilt * x
        top = retina + 0.1  # of the sclera; above the canal the retina dips
        radius = np.where(y < top + sclera, canal - taper * (y - top) / sclera, canal - taper + widening)
        inside, front = np.abs(x) < radius, top + 0.08 + bow * (1 - (x / canal) ** 2).clip(0)
        surface = 0.1 + dip * np.exp(-((x / 0.2) ** 2))
        g = np.where(y < top + sclera, modulus[0], modulus[5])
        g = np.where((y > top + sclera) & (np.abs(x) < radius + pia), modulus[2], g)
        g = np.where(inside & (y > front), np.where(y < front + lamina, modulus[1], modulus[3]), g)
        g = np.where((y < top) | (inside & (y <= front)), np.where(y > surface, modulus[4], 0.0), g)
        found[i] = g.reshape(side, 4, side, 4).mean((1, 3))
    return found, variables


def recovered(train: np.ndarray, variables: np.ndarray) -> MLPRegressor:
    """A regression from fields to variables, as fractions of their ranges around the middle."""
    network = MLPRegressor(hidden_layer_sizes=(256, 128), alpha=1e-3, random_state=0)
    for _ in range(60):
        network.partial_fit(train.reshape(len(train), -1), scaled(variables))
    return network


def scaled(variables: np.ndarray) -> np.ndarray:
    return (variables - np.mean([LOW, HIGH], 0)) / np.subtract(HIGH, LOW)


def main() -> None:
    options = field_models.options(__doc__, "optic_nerve.png")
    train, variables = fields(options.fields, options.side, 0)
    models = field_models.models(train, options)
    if options.output.suffix == ".gif":
        animate(models.values(), options.output)
    else:
        held_out, truth = fields(500, options.side, 1)
        samples = field_models.compared(models, train, held_out, options.count)
        found = recovered(train, variables)
        known = {name: found.predict(x.reshape(len(x), -1)) for name, x in {"real": held_out, **samples}.items()}
        errors = zip(NAMES, (known["real"] - scaled(truth)).std(0) * 12**0.5)
        print("error of the regression over the standard deviation:", ", ".join(f"{n} {e:.2f}" for n, e in errors))
        for name in samples:
            far = [ks_2samp(known[name][:, k], known["real"][:, k]) for k in range(16)]
            worst, differ = np.argmax([each.statistic for each in far]), sum(each.pvalue < 0.05 / 16 for each in far)
            print(f"{name}: {differ} of 16 variables differ, most {NAMES[worst]}")
        draw({"generator": held_out, **samples}, options.output, (4, 4), (12, 3.4), colours="viridis")
    print(options.output)


if __name__ == "__main__":
    main()
