"""Transforms of images."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl.data import transforms as T


def image(*shape, seed=0):
    return minidl.tensor(np.random.default_rng(seed).random(shape).astype("float32"))


def test_to_tensor():
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    x = T.ToTensor()(picture)
    assert x.shape == (3, 2, 4)
    np.testing.assert_allclose(x.numpy(), picture.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert T.ToTensor()(picture[..., 0]).shape == (1, 2, 4)
    assert T.ToTensor()(picture.astype("float64")).dtype is minidl.float64
    with pytest.raises(ValueError, match=r"\(H, W\).*\(24,\)"):
        T.ToTensor()(picture.reshape(-1))


def test_normalize():
    x = image(3, 4, 5)
    y = T.Normalize((0.1, 0.2, 0.3), (0.5, 1.0, 2.0))(x)
    np.testing.assert_allclose(y[2].numpy(), (x[2].numpy() - 0.3) / 2, rtol=1e-5)
    with pytest.raises(ValueError, match="std evaluated to zero"):
        T.Normalize((0.0,), (0.0,))
    with pytest.raises(TypeError, match="float tensor"):
        T.Normalize((0.0,), (1.0,))(minidl.zeros(1, 2, 2, dtype=minidl.uint8))
    with pytest.raises(TypeError, match="ToTensor"):
        T.Normalize((0.0,), (1.0,))(np.zeros((1, 2, 2)))


def test_compose_says_what_it_does():
    both = T.Compose([T.ToTensor(), T.Normalize((0.5,), (0.5,))])
    assert both(np.full((2, 2), 255, np.uint8)).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    assert "Normalize(mean=(0.5,), std=(0.5,))" in repr(both)
    assert T.Lambda(lambda x: x + 1)(1) == 2


def test_crops():
    x = image(1, 6, 8)
    np.testing.assert_array_equal(T.CenterCrop(4)(x).numpy(), x.numpy()[:, 1:5, 2:6])
    minidl.manual_seed(0)
    places = {T.RandomCrop(4, padding=1)(x).numpy().tobytes() for _ in range(200)}
    assert len(places) == 5 * 7, "every place is drawn"
    with pytest.raises(ValueError, match=r"\(7, 7\) is larger than input image size \(6, 8\)"):
        T.RandomCrop(7)(x)


@pytest.mark.parametrize(("flip", "axis"), [(T.RandomHorizontalFlip, -1), (T.RandomVerticalFlip, -2)])
def test_flips(flip, axis):
    x = image(2, 3, 4)
    np.testing.assert_array_equal(flip(1.0)(x).numpy(), np.flip(x.numpy(), axis))
    np.testing.assert_array_equal(flip(0.0)(x).numpy(), x.numpy())
    minidl.manual_seed(0)
    flipped = sum(not np.array_equal(flip(0.25)(x).numpy(), x.numpy()) for _ in range(400))
    assert 70 < flipped < 130
    with pytest.raises(ValueError, match="between 0 and 1"):
        flip(1.5)


def test_a_quarter_turn_is_exact_and_shifts_move_whole_pixels():
    x = image(1, 5, 5)
    turned = T.RandomRotation((90, 90))(x).numpy()
    np.testing.assert_allclose(turned[0], np.rot90(x.numpy()[0], -1), atol=1e-6)
    moved = T.resample(x.numpy(), np.eye(2), (1.0, 2.0), 0.0)
    np.testing.assert_allclose(moved[0, 1:, 2:], x.numpy()[0, :-1, :-2], atol=1e-6)
    assert (moved[0, 0] == 0).all()


def test_random_affine_repeats_with_the_seed_and_keeps_the_shape():
    affine = T.RandomAffine(20, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=10)
    x = image(3, 9, 7)

    def draw():
        minidl.manual_seed(5)
        return affine(x).numpy()

    np.testing.assert_array_equal(draw(), draw())
    assert draw().shape == (3, 9, 7)
    assert not np.array_equal(draw(), x.numpy())
    np.testing.assert_allclose(T.RandomAffine(0)(x).numpy(), x.numpy(), atol=1e-6)
    for arguments in ({"degrees": -1}, {"degrees": 1, "translate": (2, 0)}, {"degrees": 1, "scale": (0, 1)}):
        with pytest.raises(ValueError, match=r"positive|between 0 and 1"):
            T.RandomAffine(**arguments)


def test_random_erasing():
    x = minidl.ones(1, 10, 10)
    minidl.manual_seed(0)
    erased = T.RandomErasing(1.0)(x)
    assert 0 < (erased == 0).sum().item() < 60
    assert (x == 1).all(), "the given image stays as it was"
    assert T.RandomErasing(0.0)(x) is x
