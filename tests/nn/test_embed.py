from __future__ import annotations

import torch

from scorefield.nn import FourierEmbedding


def test_cosines_and_sines_at_geometric_frequencies():
    embed = FourierEmbedding(5, low=0.5, high=8.0)
    c = torch.tensor([-1.5, 0.0, 2.0])
    frequencies = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])
    angles = c[:, None] * frequencies
    torch.testing.assert_close(embed(c), torch.cat([angles.cos(), angles.sin()], 1), rtol=1e-5, atol=1e-5)


def test_frequencies_are_buffers():
    assert not list(FourierEmbedding().parameters())
    assert set(FourierEmbedding().state_dict()) == {"frequencies", "phases"}
