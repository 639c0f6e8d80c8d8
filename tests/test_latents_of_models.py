"""What a model takes as latents, and latents of no rows."""

import numpy as np
import pandas
import pytest
import torch

import scorefield


@pytest.mark.parametrize("table", [False, True], ids=["array", "table"])
def test_latents_of_no_rows_and_of_arrays(table):
    x = np.random.default_rng(0).normal(size=(200, 2))
    x = pandas.DataFrame(x, columns=["a", "b"]) if table else x
    model = scorefield.fit(x, training=scorefield.Training(steps=5))
    assert model.encode(x[:0]).shape == (0, 2) and model.log_prob(x[:0]).value.shape == (0,)
    assert [len(frame) for frame in model.interpolate(x[:0], x[:0], frames=3)] == [0, 0, 0]
    assert type(model.decode(torch.zeros(0, 2))) is type(x) and model.decode(np.zeros((0, 2))).shape == (0, 2)
    z = model.encode(x[:3])
    expected = np.asarray(model.decode(z))
    for latents in (z.numpy(), z.tolist(), z.float()):
        np.testing.assert_allclose(np.asarray(model.decode(latents)), expected, atol=1e-5)
    for wrong, kind, message in (
        (
            np.zeros((3, 4)),
            ValueError,
            r"^latents have the shape \(N, 2\), as encode gives them, got \(3, 4\): reshape them$",
        ),
        (np.zeros(2), ValueError, r"got \(2,\)"),
        (0.0, ValueError, r"got \(\)"),
        (
            np.array([[0.0, 0.0], [np.nan, 0.0]]),
            ValueError,
            "^latents are finite numbers, and row 1 has others: leave it out$",
        ),
        (np.zeros((3, 2), complex), TypeError, "^latents must be real"),
        ("z", ValueError, "^latents must be numbers, got 'z'"),
    ):
        with pytest.raises(kind, match=message):
            model.decode(wrong)
