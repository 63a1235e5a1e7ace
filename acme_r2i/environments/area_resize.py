"""Images made smaller (or larger) by area interpolation, in numpy alone."""

from __future__ import annotations

import numpy as np


class AreaResize:
    """Resizes uint8 images of one size to another.

    A pixel of the result is the mean of the area of the input that it covers, in which a pixel that
    it covers in part counts for that part: what OpenCV calls INTER_AREA when it shrinks. (Pillow's
    BOX filter takes such a pixel whole or leaves it out.) Halves are rounded to the even number.

    The sums are of whole numbers in float32, so they are exact for inputs of up to 65,793 pixels:
    256 x 256, and a little more.
    """

    def __init__(self, input_size: tuple[int, int], output_size: tuple[int, int]) -> None:
        """Takes both sizes as (height, width)."""
        self._rows, self._columns = map(_overlaps, input_size, output_size)
        self._area = np.float32(input_size[0] * input_size[1])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns an image, uint8 [height, width, channels], in the other size."""
        sums = _weighted_sums(image.astype(np.float32), *self._rows)
        sums = _weighted_sums(sums, *self._columns)
        return np.rint(sums / self._area).astype(np.uint8)


def _weighted_sums(image: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the sums over the first axis, which comes second in the result, [m, n', k]."""
    number, *others = image.shape
    # Not a matrix product: what runs those starts threads, which costs far more than it saves here.
    sums = np.einsum("tnk,tn->nk", image.reshape(number, -1)[indices], weights)
    return np.ascontiguousarray(sums.reshape(-1, *others).swapaxes(0, 1))


def _overlaps(num_inputs: int, num_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which inputs an output overlaps, and by how much, along one axis.

    Lengths are in units in which an input is ``num_outputs`` long and an output ``num_inputs``.

    Returns:
      indices: int64 [overlaps, num_outputs]; where an output has fewer overlaps than others, an
        index of weight 0.
      weights: float32 [overlaps, num_outputs], whole numbers with sum ``num_inputs``.
    """
    starts = np.arange(num_outputs) * num_inputs
    ends = starts + num_inputs
    first = starts // num_outputs
    number = np.max((ends - 1) // num_outputs - first) + 1
    indices = first + np.arange(number)[:, None]
    overlaps = np.minimum(ends, (indices + 1) * num_outputs) - np.maximum(
        starts, indices * num_outputs
    )
    weights = np.maximum(overlaps, 0).astype(np.float32)
    return np.minimum(indices, num_inputs - 1), weights
