"""Area interpolation against its definition: pixels repeated to a common grid, then averaged."""

from __future__ import annotations

import numpy as np
import pytest

from acme_r2i.environments.atari import AreaResize


def _by_definition(image, height, width):
    """Means over blocks, after every pixel has been repeated height times one way, width the other.

    One way after the other, which is the same, since the sums are of whole numbers.
    """
    rows, columns, channels = image.shape
    lines = image.astype(np.int64).repeat(height, axis=0)
    lines = lines.reshape(height, rows, columns, channels).sum(axis=1)
    sums = lines.repeat(width, axis=1).reshape(height, width, columns, channels).sum(axis=2)
    return np.rint(sums / (rows * columns)).astype(np.uint8)


@pytest.mark.parametrize(
    ("input_size", "output_size"),
    [
        ((210, 160), (64, 64)),
        ((250, 160), (84, 84)),
        ((6, 9), (2, 3)),
        ((7, 5), (3, 4)),
        ((5, 3), (8, 7)),
        ((4, 4), (4, 4)),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_mean_of_the_area_exactly(input_size, output_size, channels):
    image = np.random.default_rng(0).integers(0, 256, (*input_size, channels), np.uint8)
    resized = AreaResize(input_size, output_size)(image)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, _by_definition(image, *output_size))


def test_a_pixel_counts_for_the_part_that_is_covered():
    image = np.uint8([[[30], [60], [90]]])  # each output covers one pixel and half of the second
    np.testing.assert_array_equal(AreaResize((1, 3), (1, 2))(image), [[[40], [80]]])


def test_white_stays_white():
    image = np.full((210, 160, 3), 255, np.uint8)
    assert np.all(AreaResize((210, 160), (64, 64))(image) == 255)
