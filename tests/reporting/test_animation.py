"""The animation: its frames, its end, its colours."""

import io

import numpy as np
import pytest
from PIL import Image

from scorefield.reporting import animation


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def opened(data):
    image = Image.open(io.BytesIO(data))
    frames, pauses = [], []
    for index in range(image.n_frames):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGBA")))
        pauses.append(image.info["duration"])
    return image, frames, pauses


def noised(x, rng, count):
    return [x + level * rng.normal(size=x.shape) for level in np.geomspace(30, 0.01, count)]


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 40), (3, 40), (1, 16, 16), (3, 12, 12), (1, 8, 8, 8)])
def test_data_of_any_shape_are_animated(shape, rng):
    held_out = rng.normal(size=(50, *shape))
    moving, still = animation(noised(held_out[:6], rng, 5), held_out)
    image, frames, pauses = opened(moving)
    assert image.format == "GIF" and len(frames) == 5 and image.info["loop"] == 0
    assert pauses[-1] > 1000 and max(pauses[:-1]) < pauses[-1]
    last = np.asarray(Image.open(io.BytesIO(still)).convert("RGBA"))
    assert last.shape == frames[-1].shape and np.abs(last.astype(int) - frames[-1]).max() <= 8
    assert all(len(np.unique(np.ascontiguousarray(frame).view(np.uint32))) <= 64 for frame in frames)


def test_many_frames_are_thinned_and_keep_both_ends(rng):
    held_out = rng.integers(0, 256, (20, 1, 8, 8)).astype(float)
    states = [np.full((1, 1, 8, 8), value, dtype=float) for value in np.linspace(0, 255, 100)]
    _, frames, _ = opened(animation(states, held_out, count=10)[0])
    levels = [frame[0, 0, 0] for frame in frames]
    assert len(levels) == 10 and levels[0] == 0 and levels[-1] == 255 and levels == sorted(levels)


def test_the_last_frame_shows_the_values(rng):
    held_out = rng.integers(0, 256, (20, 1, 8, 8)).astype(float)
    _, frames, _ = opened(animation([held_out[:1] * 50, held_out[:1]], held_out)[0])
    assert np.abs(frames[-1][..., 0].astype(float) - held_out[0, 0]).max() <= 256 / 62
    assert frames[0][..., 0].min() < 10 and frames[0][..., 0].max() > 245


def test_large_colour_images_are_thinned(rng):
    held_out = rng.integers(0, 256, (4, 3, 200, 200)).astype(np.uint8)
    moving, _ = animation([held_out[:2]] * 3, held_out)
    image, _, _ = opened(moving)
    assert image.height < 100 and len(moving) < 200_000


def test_non_finite_states_do_not_stop_the_animation(rng):
    held_out = rng.normal(size=(20, 1, 8, 8))
    state = held_out[:2].copy()
    state[0, 0, 0, 0] = np.nan
    assert len(opened(animation([state, held_out[:2]], held_out)[0])[1]) == 2


def test_an_animation_needs_frames(rng):
    with pytest.raises(ValueError, match="at least one frame, got none"):
        animation([], rng.normal(size=(3, 2)))
