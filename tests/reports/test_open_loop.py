"""Pictures: that they are there, whole, and of the right number of frames."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from acme_r2i.reports import open_loop
from acme_r2i.runs.imagine import Prediction


def make_prediction(rows: int, *, vector: int | None = None, image: int | None = None):
    random = np.random.default_rng(0)

    def pair(*shape):
        return (random.random((rows, *shape)) for _ in range(2))

    vectors = pair(vector) if vector else (None, None)
    images = pair(8, 8, image) if image else (None, None)
    return Prediction(2, *vectors, *images, *pair(), *pair())


@pytest.mark.parametrize("channels", [1, 3])
def test_images_become_a_strip_and_an_animation(tmp_path, channels):
    paths = open_loop.draw(make_prediction(5, image=channels), "title", tmp_path / "new")
    assert [path.name for path in paths] == ["lines.png", "strip.png", "animation.gif"]
    with Image.open(tmp_path / "new" / "animation.gif") as animation:
        assert animation.n_frames == 5
        # Two images of 8 pixels, each shown 24 times as large, in a frame.
        assert animation.size == (2 * 192 + 12, 192 + 12)
    with Image.open(tmp_path / "new" / "strip.png") as strip:
        assert strip.width > strip.height > 200


def test_the_frame_tells_what_was_seen_from_what_was_imagined(tmp_path):
    open_loop.draw(make_prediction(4, image=3), "title", tmp_path)
    corners = []
    with Image.open(tmp_path / "animation.gif") as animation:
        for frame in range(4):
            animation.seek(frame)
            corners.append(animation.convert("RGB").getpixel((1, 1)))
    assert all(blue > red for red, _, blue in corners[:2])
    assert all(red > blue for red, _, blue in corners[2:])


@pytest.mark.parametrize("size", [1, 40])
def test_vectors_become_lines_a_page_holds(tmp_path, size):
    (path,) = open_loop.draw(make_prediction(6, vector=size), "title", tmp_path)
    with Image.open(path) as picture:
        assert picture.height < 1200
