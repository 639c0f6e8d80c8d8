"""The mapping inward and back is the identity, and impossible grids are refused."""

import pytest
import torch

from scorefield.data.layout import Layout

CASES = [
    (Layout(()), (1,)),
    (Layout((5,)), (5,)),
    (Layout((2, 3)), (6,)),
    (Layout((7,), "grid"), (1, 7)),
    (Layout((4, 5), "grid"), (1, 4, 5)),
    (Layout((4, 5, 3), "grid", 2), (3, 4, 5)),
    (Layout((3, 4, 5), "grid", 0), (3, 4, 5)),
    (Layout((4, 5, 6), "grid"), (1, 4, 5, 6)),
    (Layout((4, 5, 6, 2), "grid", 3), (2, 4, 5, 6)),
]


@pytest.mark.parametrize(("layout", "inner"), CASES)
def test_inward_and_outward(layout, inner):
    x = torch.randn(3, *layout.shape)
    assert layout.inner_shape == inner
    assert layout.inward(x).shape == (3, *inner)
    assert torch.equal(layout.outward(layout.inward(x)), x)


def test_channels_last_are_moved_not_reshaped():
    x = torch.arange(24.0).reshape(1, 2, 4, 3)
    assert torch.equal(Layout((2, 4, 3), "grid", 2).inward(x)[0, 1], x[0, :, :, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,), "mesh"), 'structure must be "vector" or "grid", got \'mesh\''),
        (((3,), "vector", 0), "a vector has no channels, got channel_axis=0"),
        (((3, 4), "grid", 2), "channel_axis=2 is not an axis of an example of shape (3, 4)"),
        (((), "grid"), "1 to 3 spatial axes, an example of shape () has 0"),
        (((3,), "grid", 0), "has 0"),
        (((2, 2, 2, 2), "grid"), "has 4: reshape the data or set structure"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError) as error:
        Layout(*arguments)
    assert message in str(error.value)
