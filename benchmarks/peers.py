"""What others do for the same: a plain PyTorch loop, and the recipes of DDPM and EDM on the U-Net of diffusers.

    python benchmarks/peers.py [--batch 32] [--seconds 20]      # images of 28 x 28: training images per CPU second, of each

The U-Net of diffusers has widths 32, 64 and 64, in float32, with AdamW, as in its tutorial of unconditional generation. Without
diffusers (`pip install diffusers`) only the plain loop runs, and a line says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise

import torch
from torch import Tensor, nn

from scorefield.denoisers import Denoiser, Preconditioned
from scorefield.nn import choose

__all__ = ["RECIPES", "eager", "plain_flow", "recipe"]

Step = Callable[[Tensor], None]


def eager(denoiser: Denoiser, rate: float = 1e-3) -> Step:
    """A step as in a notebook: noise, the denoising loss, a clipped gradient, fused AdamW, an average of the weights."""
    parameters = list(denoiser.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, rate, fused=True)

    def step(x0: Tensor) -> None:
        level = torch.exp(-0.5 + 1.2 * torch.randn(len(x0), *(1,) * (x0.ndim - 1)))
        found = denoiser(x0 + level * torch.randn_like(x0), level)
        loss = ((1 / level**2 + 1) * (found - x0) ** 2).flatten(1).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 0.001)

    return step


def plain_flow(denoiser: Denoiser, levels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Euler's steps of the probability flow, which are those of DDIM, in the fewest operations."""
    with torch.inference_mode():
        x = levels[0] * torch.randn(shape)
        for level, below in pairwise(levels):
            mean = denoiser(x, level.expand(shape[0], *(1,) * (len(shape) - 1)))
            x = mean + (below / level) * (x - mean)
    return x


def _unet() -> nn.Module:
    from diffusers import UNet2DModel

    blocks = ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D")
    found: nn.Module = UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 64, 64),
        down_block_types=blocks[0],
        up_block_types=blocks[1],
    )
    return found


def _ddpm() -> Step:
    """DDPM as in diffusers' tutorial: noise is predicted at one of 1,000 times."""
    from diffusers import DDPMScheduler

    net, schedule = _unet(), DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4)

    def step(x0: Tensor) -> None:
        noise, t = torch.randn_like(x0), torch.randint(0, 1000, (len(x0),))
        loss = nn.functional.mse_loss(net(schedule.add_noise(x0, noise, t), t).sample, noise)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _edm() -> Step:
    """EDM (Karras et al., 2022, Table 1): its preconditioning, noise levels and weights, with Adam, on the same U-Net."""
    net, scale = _unet(), 0.5
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    average = [p.detach().clone() for p in net.parameters()]

    def step(x0: Tensor) -> None:
        level = torch.exp(-1.2 + 1.2 * torch.randn(len(x0), 1, 1, 1))
        total = level**2 + scale**2
        x = x0 + level * torch.randn_like(x0)
        answer = net(x / total.sqrt(), level.log().flatten() / 4).sample
        found = scale**2 / total * x + level * scale / total.sqrt() * answer
        loss = (total / (level * scale) ** 2 * (found - x0) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(net.parameters()), 0.001)

    return step


def _plain() -> Step:
    return eager(Preconditioned(choose((1, 28, 28), 60_000)[0]))


RECIPES = {
    "plain loop": (_plain, ""),
    "diffusers, DDPM": (_ddpm, "diffusers"),
    "EDM on that U-Net": (_edm, "diffusers"),
}


def recipe(name: str) -> Step | None:
    """A step of a recipe for images `(B, 1, 28, 28)`, or None if its package is not installed, which is printed."""
    make, package = RECIPES[name]
    if package and find_spec(package) is None:
        print(f"{name}: {package} is not installed and is skipped (pip install {package})", flush=True)
        return None
    return make()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in RECIPES:
        step = recipe(name)
        if step is None:
            continue
        step(torch.randn(options.batch, 1, 28, 28))  # warm up
        steps, begin = 0, time.process_time()
        while time.process_time() - begin < options.seconds:
            step(torch.randn(options.batch, 1, 28, 28))
            steps += 1
        print(
            f"{name:20} {options.batch * steps / (time.process_time() - begin):8.1f} images per CPU second", flush=True
        )


if __name__ == "__main__":
    main()
