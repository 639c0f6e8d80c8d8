"""The network of "Code Focused Guide on Score-Based Image Models" (2023), its levels and its training; no command line."""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d

LEVELS = torch.tensor([0.63096**i for i in range(10)])


def pair(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ELU(), nn.Conv2d(b, b, 3, padding=1), nn.ELU())


class GuideUNet(nn.Module):
    """The guide's network s(x, σ): images `(B, 1, 28, 28)` and levels `(B,)` to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([pair(2, 16), pair(16, 32), pair(32, 64)])
        larger = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}
        self.larger = nn.ModuleList([nn.ConvTranspose2d(64, 32, **larger), nn.ConvTranspose2d(32, 16, **larger)])
        self.up = nn.ModuleList([pair(64, 32), pair(32, 16)])
        self.output = nn.Conv2d(16, 1, 1)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        fine = self.down[0](torch.cat((x, level.reshape(-1, 1, 1, 1).expand_as(x)), 1))
        middle = self.down[1](avg_pool2d(fine, 2))
        h = self.larger[0](self.down[2](avg_pool2d(middle, 2)))
        h = self.larger[1](self.up[0](torch.cat((h, middle), 1)))
        return self.output(self.up[1](torch.cat((h, fine), 1)))


def trained(x: torch.Tensor, steps: int) -> GuideUNet:
    """The guide's training: Adam, the loss (σ s + z)², and as many images of each level."""
    torch.manual_seed(0)
    network, level = GuideUNet(), LEVELS.repeat(4)
    adam, sigma = torch.optim.Adam(network.parameters(), 1e-3), level.reshape(-1, 1, 1, 1)
    for _ in range(steps):
        x0, z = x[torch.randint(len(x), (40,))], torch.randn(40, 1, 28, 28)
        adam.zero_grad()
        (sigma * network(x0 + sigma * z, level) + z).square().mean().backward()
        adam.step()
    return network.requires_grad_(False)
