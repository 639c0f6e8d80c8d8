"""The NCSN of a guide to score-based image models on MNIST, by its own network, levels and steps, and by the default.

python examples/mnist_guide.py mnist_train.npz [--steps 600] [--count 24] [-o mnist_guide.png]

"Code Focused Guide on Score-Based Image Models" (2023) trains a small U-Net, which takes σ as one more channel, on the ten
levels 0.63096^i, and samples by 100 moves x + ε/2 s + √ε z per level, ε = 2e-5. It calls these the settings of NCSN, whose
levels fall by 0.599, and whose code has moves x + ε s + √(2ε) z for images: steps of 0.2 of the squared level, not 0.04. Both
are shown. The guide trains for 100,000 steps of 120 images; here both models train for a few hundred of 40.
"""

import argparse
from pathlib import Path

import torch
from guide_unet import LEVELS, trained
from panels import draw

import scorefield
from scorefield.mcmc import Langevin
from scorefield.metrics import energy_distance, with_floor
from scorefield.rng import Samples
from scorefield.samplers import annealed_langevin

STEPS = {"the guide's steps": Langevin.from_half(2e-5, LEVELS[-1]), "NCSN's steps": Langevin.from_full(2e-5, 0.01)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a file of 8-bit images, (N, 28, 28), as `images`")
    parser.add_argument("--steps", type=int, default=600, help="training steps of each model")
    parser.add_argument("--count", type=int, default=24, help="samples of each kind")
    parser.add_argument("-o", "--output", type=Path, default=Path("mnist_guide.png"))
    options = parser.parse_args()
    images = scorefield.read(options.data, key="images")[:20_500, None] / 255.0
    x, held_out, rng = images[500:], images[:500], Samples(1, count=options.count)
    network = trained(torch.from_numpy(x).float(), options.steps)
    print(f"the guide's network: {sum(p.numel() for p in network.parameters()):,} parameters")

    def chains(move: Langevin) -> torch.Tensor:
        def score(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            return network(x, level.expand(len(x)))

        first = rng.child("start").uniform((options.count, 1, 28, 28))
        return annealed_langevin(score, first, LEVELS, rng, move, denoise=False).state

    small = {"network": scorefield.Network(widths=(16, 32, 48)), "training": scorefield.Training(batch=40)}
    panels = {name: chains(move) for name, move in STEPS.items()}
    panels["the default"] = scorefield.fit(x, steps=options.steps, **small).sample(options.count)
    for name, drawn in panels.items():
        far = with_floor(energy_distance, drawn, held_out, x[:5000])
        print(f"{name}: energy distance {far.value:.2f} (real digits: 95 % below {far.high:.2f})")
    draw(
        {name: x[:, 0] for name, x in [("held-out digits", held_out), *panels.items()]},
        options.output,
        (4, 6),
        (12, 3.1),
    )
    print(options.output)


if __name__ == "__main__":
    main()
