"""DDPM and score-based models are one model: the equivalence in numbers.

python examples/ddpm_equivalence.py

Ho et al. (2020) and Song & Ermon (2019) found the same model from two sides. Each line below computes one identity in both
notations, for the exact posterior mean of a mixture in two dimensions, and prints how far the two sides differ. DDPM has
1,000 steps with β from 1e-4 to 0.02; NCSN has levels σ. The state x_t of DDPM divided by √ᾱ_t is the state of NCSN at σ =
√((1 - ᾱ_t)/ᾱ_t).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.diffusion import Diffusion
from scorefield.objectives import DenoisingScoreMatching, NoiseWeighting, SingleLevel
from scorefield.processes import VP
from scorefield.rng import Samples
from scorefield.samplers import Ancestral
from scorefield.toys import unequal_modes

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
KEPT = (1 - BETAS).cumprod(0)  # ᾱ
DATA = unequal_modes().mixture


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def main() -> None:
    rng, i = Samples(0, count=5000), 400
    x0, z = DATA.sample(5000, rng), rng.child("noise").normal((5000, 2), torch.float64)
    kept, before, beta = KEPT[i], KEPT[i - 1], BETAS[i]
    x, level = kept.sqrt() * x0 + (1 - kept).sqrt() * z, ((1 - kept) / kept).sqrt()

    process = VP()
    diffusion = Diffusion(process, DATA, DATA.moments())
    t, s = process.time(level), process.time(((1 - before) / before).sqrt())
    mean, noise = diffusion.split(x, t)  # E[x_0 | x_t], and DDPM's ε
    score = diffusion.score(x, t)
    print(f"score = -ε/√(1 - ᾱ):                            {difference(score, -noise / (1 - kept).sqrt()):.1e}")
    scaled = x / kept.sqrt()  # a state of NCSN, with noise of that level
    ncsn = (DATA(scaled, level) - scaled) / level**2
    print(f"score of DDPM = score of NCSN at x/√ᾱ, over √ᾱ: {difference(score, ncsn / kept.sqrt()):.1e}")

    loss = (noise - z).square().mean(1)  # DDPM's L_simple, for this draw of the noise
    weighted = level**2 * (ncsn + z / level).square().mean(1)  # NCSN's loss with λ = σ²
    print(f"L_simple = denoising score matching with λ = σ²: {difference(loss, weighted):.1e}")
    ours = DenoisingScoreMatching(SingleLevel(float(level)), weighting=NoiseWeighting())(DATA, x0, rng).mean()
    print(f"  the same by `DenoisingScoreMatching`, with other noise: {float(ours):.4f} and {float(loss.mean()):.4f}")

    posterior = (before.sqrt() * beta * mean + (1 - beta).sqrt() * (1 - before) * x) / (1 - kept)  # DDPM, equation 7
    width = (beta * (1 - before) / (1 - kept)).sqrt()
    step = Ancestral().step(diffusion, x, t, s, rng.child("step"))
    drawn = posterior + width * rng.child("step").normal_like(x)
    print(f"DDPM's step from x_t to x_(t-1) = `Ancestral`:   {difference(step, drawn):.1e}")
    predicted = (x - beta / (1 - kept).sqrt() * noise) / (1 - beta).sqrt()  # equation 11, by ε
    print(f"  its mean by ε = its mean by E[x_0 | x_t]:      {difference(predicted, posterior):.1e}")

    times = (torch.arange(1, 1001, dtype=torch.float64)) / 1000
    continuous = process.alpha(times) ** 2
    apart = float((continuous.log() - KEPT.log()).abs().max())
    print(f"ᾱ of the VP process at t = i/1000 and of the 1,000 steps: up to {apart:.3f} apart in log ᾱ")
    print(f"  at the end {float(continuous[-1]):.2e} and {float(KEPT[-1]):.2e}: convert by levels, not by times")


if __name__ == "__main__":
    main()
