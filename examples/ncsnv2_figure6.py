"""Figure 6 of NCSNv2 (Song & Ermon, 2020), interpolation through noise; and the last denoising of its Table 1, in small.

python examples/ncsnv2_figure6.py [--steps 1500] [--count 100] [-o ncsnv2_figure6.png]

Network, levels and sampler are those of `ncsnv2_digits.py`, for scikit-learn's digits of 8 x 8 pixels; the paper has
photographs of up to 256 x 256. Between the chains of two seeds the noise of each move is cos φ z + sin φ z', which is standard
normal again, so that every frame is a sample. On a straight line, (1 - w) z + w z', half of the variance is lost half-way.

The paper ends with one more step, x + σ² s(x, σ), at the last level of 0.01: the FID of CIFAR-10 is 31.75 without it and 10.87
with it. The Fréchet distance that is printed here is one of pixels, and shows what they see of so little noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ncsnv2_digits import SMALL, digits
from ncsnv2_recipe import experiment, trained
from panels import draw

from scorefield.metrics import energy_distance, frechet_distance, with_floor

FRAMES = 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="training steps")
    parser.add_argument("--count", type=int, default=100, help="pairs of seeds, and samples of each kind")
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsnv2_figure6.png"))
    options = parser.parse_args()
    images, others = digits()
    ncsnv2 = experiment("digits", images, options.steps, **SMALL)
    model = ncsnv2.model(trained(ncsnv2, images), images[:, 0].numpy())
    train, held_out = images.flatten(1).numpy(), others.flatten(1).numpy()

    frames = np.stack(model.interpolate_seeds(options.count, frames=FRAMES), 1)  # (count, FRAMES, 8, 8)
    for name, k in {"the first frame": 0, "the frame half-way": FRAMES // 2}.items():
        far = with_floor(energy_distance, frames[:, k].reshape(-1, 64), held_out, train)
        print(f"{name}: energy distance {far.value:.3f} (real digits: 95 % below {far.high:.3f})")
    step = np.linalg.norm(np.diff(frames, axis=1), axis=(2, 3)).mean()
    ends = np.linalg.norm(frames[:, 0] - frames[:, -1], axis=(1, 2)).mean()
    print(f"a frame is {step:.2f} from the next, and the two ends are {ends:.2f} apart")

    for name, denoise in {"with its last noise": False, "denoised": True}.items():
        x = np.asarray(model.sample(5 * options.count, denoise=denoise)).reshape(-1, 64)
        far = with_floor(frechet_distance, x, held_out, train)
        print(f"samples {name}: Fréchet distance {far.value:.4f} (real digits: {far.floor:.4f})")
    draw({"each row from one sample to another": frames.reshape(-1, 8, 8)}, options.output, (6, FRAMES), (9, 4.5))
    print(options.output)


if __name__ == "__main__":
    main()
