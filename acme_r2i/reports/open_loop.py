"""Pictures of an open-loop prediction, beside what happened in the environment."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from acme_r2i.runs import files
from acme_r2i.runs.imagine import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Most columns of a strip of images, and most elements of a vector, that are drawn.
MAX_COLUMNS = 14
MAX_LINES = 6

_TRUE, _SEEN, _IMAGINED = "black", "tab:blue", "tab:orange"


def draw(prediction: Prediction, title: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Draws a prediction.

    Returns:
      The files: lines.png (vector, reward, continue), and for images strip.png and animation.gif.

    Raises:
      OSError: if one of them cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_draw_lines(prediction, title, folder / "lines.png")]
    if prediction.image is not None:
        paths.append(_draw_strip(prediction, title, folder / "strip.png"))
        paths.append(_animate(prediction, folder / "animation.gif"))
    return paths


def _draw_lines(prediction: Prediction, title: str, path: pathlib.Path) -> pathlib.Path:
    """Draws numbers over time: the truth, the model's reconstruction, and its imagination."""
    panels = [
        ("reward", prediction.reward, prediction.predicted_reward),
        ("continue", prediction.discount, prediction.predicted_continue),
    ]
    if prediction.vector is not None:
        number = min(MAX_LINES, prediction.vector.shape[-1])
        panels = [
            (f"vector {i}", prediction.vector[:, i], prediction.predicted_vector[:, i])
            for i in range(number)
        ] + panels
    plt = _pyplot()
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(8, 1.1 * len(panels) + 1), sharex=True, layout="constrained"
    )
    time, context = np.arange(len(prediction.reward)), prediction.context
    for axis, (name, truth, predicted) in zip(axes, panels, strict=True):
        axis.plot(time, truth, color=_TRUE, linewidth=2.5, alpha=0.35, label="what happened")
        seen, imagined = slice(0, context), slice(context - 1, None)
        axis.plot(time[seen], predicted[seen], color=_SEEN, label="model, observing")
        axis.plot(time[imagined], predicted[imagined], color=_IMAGINED, label="model, imagining")
        axis.axvline(context - 0.5, color="grey", linewidth=0.8, linestyle=":")
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("row of the episode")
    axes[0].set_title(title)
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1.25), ncols=3, frameon=False, fontsize=8)
    return _save(figure, path)


def _draw_strip(prediction: Prediction, title: str, path: pathlib.Path) -> pathlib.Path:
    """Draws images in rows: truth, model, error. Of many columns, some at even distances."""
    total, context = len(prediction.image), prediction.context
    columns = np.unique(np.linspace(0, total - 1, min(total, MAX_COLUMNS)).round().astype(int))
    error = np.abs(prediction.image - prediction.predicted_image)
    rows = [
        ("what\nhappened", prediction.image),
        ("model", prediction.predicted_image),
        ("error", error),
    ]
    plt = _pyplot()
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(0.85 * len(columns) + 0.8, 3.4),
        squeeze=False,
        layout="constrained",
    )
    for line, (name, images) in enumerate(rows):
        for axis, time in zip(axes[line], columns, strict=True):
            axis.imshow(_rgb(images[time]), interpolation="nearest", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
            colour = _SEEN if time < context else _IMAGINED
            for spine in axis.spines.values():
                spine.set(color=colour, linewidth=2)
            if line == 0:
                axis.set_title(str(time), fontsize=8, color=colour)
        axes[line, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(f"{title}: observed up to row {context - 1} (blue), then imagined (orange)")
    return _save(figure, path)


def _animate(prediction: Prediction, path: pathlib.Path) -> pathlib.Path:
    """Animates truth (left) and model (right), framed blue if observed, orange if imagined."""
    from PIL import Image

    size = prediction.image.shape[1]
    zoom, border = max(1, 192 // size), 6
    colours = {True: (31, 119, 180), False: (255, 127, 14)}
    frames = []
    for time, pair in enumerate(zip(prediction.image, prediction.predicted_image, strict=True)):
        sides = [np.kron(_rgb(image), np.ones((zoom, zoom, 1))) for image in pair]
        picture = np.concatenate(sides, axis=1)
        frame = np.empty((picture.shape[0] + 2 * border, picture.shape[1] + 2 * border, 3))
        frame[:] = np.array(colours[time < prediction.context]) / 255
        frame[border:-border, border:-border] = picture
        frames.append(Image.fromarray(np.rint(255 * frame).astype(np.uint8)))
    how = {"format": "GIF", "save_all": True, "append_images": frames[1:], "duration": 250}
    files.write_whole(path, lambda file: frames[0].save(file, loop=0, **how))
    return path


def _save(figure: Figure, path: pathlib.Path) -> pathlib.Path:
    files.write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))
    _pyplot().close(figure)
    return path


def _rgb(image: np.ndarray) -> np.ndarray:
    """Returns an image [H, W, C] in [0, 1] with three channels: the first three, or grey."""
    if image.shape[-1] >= 3:
        return image[..., :3]
    return np.repeat(image[..., :1], 3, axis=-1)


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
