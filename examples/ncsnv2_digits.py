"""NCSNv2 on scikit-learn's handwritten digits, from end to end: noise levels, network, training and sampler.

python examples/ncsnv2_digits.py [--steps 4000] [--moves 5 20] [--seed 0] [-o ncsnv2_digits.png]

The recipe of NCSNv2 for CIFAR-10 (Song & Ermon, 2020), adapted to images of 8 x 8 pixels: other noise levels and steps, which
`ncsnv2_recipe.py` takes from the data, a smaller network, a larger learning rate and a shorter average of the weights.
Training takes a few minutes on one core. The same weights are then sampled by annealed Langevin dynamics, with a few moves
x + a s + √(2a) z at each level, and by the default for images, and both are compared with held-out digits.
"""

import time

import numpy as np
import torch
from arguments import arguments
from ncsnv2_recipe import experiment, trained
from panels import draw
from sklearn.datasets import load_digits
from torch import Tensor

from scorefield.mcmc import Langevin
from scorefield.metrics import energy_distance, memorization, with_floor
from scorefield.noise_levels import Annealing, best_ratio
from scorefield.samplers import AnnealedLangevin, ExponentialAdams, Sampling
from scorefield.schedules import Karras

SMALL = {"features": 16, "batch": 64, "average": 0.995}


def digits() -> tuple[Tensor, Tensor]:
    """1,297 digits for training and 500 held out, with values between 0 and 1, of shape `(N, 1, 8, 8)`."""
    images = torch.from_numpy(load_digits().images.astype(np.float32) / 16)[:, None]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[500:]], images[order[:500]]


def main() -> None:
    parser = arguments(__doc__, "ncsnv2_digits.png")
    parser.add_argument("--steps", type=int, default=4000, help="training steps")
    parser.add_argument("--moves", type=int, nargs="+", default=[5, 20], help="moves of Langevin dynamics per level")
    parser.add_argument("--count", type=int, default=500, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    options = parser.parse_args()

    # Train one network at all levels by denoising score matching, with weights σ².
    train, held_out = digits()
    recipe = experiment("digits", train, options.steps, options.moves[0], **SMALL)
    model = recipe.model(trained(recipe, train, options.seed), train[:, 0].numpy())

    # Annealed Langevin dynamics from the largest level to the smallest, and the default, with a quarter of the evaluations.
    samplers, ladder = {}, recipe.ladder
    for n in options.moves:  # the step a = r σ² with the best r for so many moves, and the variance it ends with
        step = Annealing(n, best_ratio(n, ladder.gap), ladder.gap)
        print(f"{n} moves per level: step {step.ratio:.3f} σ², final variance {step.variance:.3f} σ²")
        name = f"annealed Langevin, {n} moves per level: {1 + n * (ladder.count - 1)} evaluations"
        samplers[name] = Sampling(AnnealedLangevin(Langevin(step.ratio), n))
    default = Sampling(ExponentialAdams(2, scale=float(train.std()), eta=1.0), 24, Karras())
    samplers["the default for images: 25 evaluations"] = default

    # Compare: distance to the data distribution, copies of training digits, and pixels that no image has.
    panels = {"held-out digits": held_out[:, 0].numpy()}
    for name, sampling in samplers.items():
        start = time.process_time()
        x = panels[name] = model.sample(options.count, sampler=sampling)
        print(f"{name}, {options.count} samples in {time.process_time() - start:.0f} CPU seconds")
        far, near = with_floor(energy_distance, x[:, None], held_out, train), memorization(x[:, None], train, held_out)
        print(f"  energy distance {far.value:.4f} (real digits: {far.floor:.4f}, 95 % below {far.high:.4f})")
        print(f"  nearest training digit {np.median(near.samples):.2f} (real digits: {np.median(near.held_out):.2f})")
        outside = ((x < -0.25) | (x > 1.25)).any((1, 2)).mean()
        print(f"  with pixels outside the range {outside:.1%}", flush=True)
    draw(panels, options.output, (5, 16), (12, 4.2), across=2)
    print(options.output)


if __name__ == "__main__":
    main()
