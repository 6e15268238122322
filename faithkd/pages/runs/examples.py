"""The images that deserve a look: those with the widest interval, and those on which the pair differs most."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from faithkd.pages.drawing import COLOURS, new_figure, save_png, styled
from faithkd.runs.reading import Run
from faithkd.runs.records import Certificate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Picture = NDArray[np.float64]
HIGHER, LOWER = (0.78, 0.24, 0.22), (0.33, 0.38, 0.80)
SHOWN = 3


@dataclass(frozen=True)
class Example:
    """One image with its certificate. image, witness: `(*shape)`; teacher, student: confidences `(2, classes)` at the two."""

    certificate: Certificate
    valid_range: tuple[float, float]
    image: Picture
    witness: Picture
    teacher: Picture
    student: Picture


def examples(run: Run, eps: float, by: str) -> list[Example]:
    """The three images with the largest `by` (`gap` or `emplb`) at one radius."""
    rows = [row for row, line in enumerate(run.certificates) if line.eps == eps]
    return [
        Example(
            run.certificates[row],
            run.summary.valid_range,
            *(run.witnesses[name][row] for name in ("image", "witness", "teacher", "student")),
        )
        for row in sorted(rows, key=lambda row: -getattr(run.certificates[row], by))[:SHOWN]
    ]


def pictures(example: Example) -> tuple[tuple[str, str], ...]:
    """The image, its witness and their difference: the name of each, and the data address of a PNG file.

    The difference is transparent where nothing changed, red where the witness is brighter and indigo where it is darker, in full
    colour at the radius.
    """
    return tuple(zip(("image", "witness", "difference"), map(_address, _pixels(example)), strict=True))


def save_examples(path: Path, rows: Sequence[tuple[str, Sequence[Example]]]) -> None:
    """The same as a PNG file: for each title a row of examples with their pictures and confidences."""
    with styled():
        columns = max(len(found) for _, found in rows)
        figure = new_figure((4.4 * columns, 2.9 * len(rows)))
        for panel, (title, found) in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
            panel.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
            space = panel.add_gridspec(2, 6 * columns, height_ratios=(1, 0.9))
            for place, example in enumerate(found):
                start, line = 6 * place, example.certificate
                names = (f"image {line.index}", f"[{line.emplb:.3f}, {line.faithub:.3f}]", "difference")
                for k, (name, pixels) in enumerate(zip(names, _pixels(example), strict=True)):
                    axes = panel.add_subplot(space[0, start + 2 * k : start + 2 * k + 2])
                    axes.imshow(pixels, interpolation="nearest")
                    axes.set_title(name, fontsize=7.5, fontweight="normal", loc="center")
                    axes.set(xticks=[], yticks=[])
                for k, name in enumerate(("image", "witness")):
                    _bars(panel.add_subplot(space[1, start + 3 * k : start + 3 * k + 3]), example, k, name)
        save_png(figure, path)


def _pixels(example: Example) -> list[Picture]:
    shades = [_shade(picture, example.valid_range) for picture in (example.image, example.witness)]
    return [*shades, _difference(example)]


def _bars(axes: Axes, example: Example, which: int, name: str) -> None:
    classes = np.arange(example.teacher.shape[1])
    for shift, network, values in ((-0.2, "teacher", example.teacher), (0.2, "student", example.student)):
        axes.bar(classes + shift, values[which], 0.4, color=COLOURS[network], label=network)
    axes.set(
        ylim=(0, 1),
        xlim=(-0.7, len(classes) - 0.3),
        xlabel=f"class, at the {name}",
        xticks=classes[:: max(1, len(classes) // 10)],
    )
    axes.grid(visible=False, axis="x")
    if which == 0:
        axes.legend(loc="best", handlelength=0.8)
    else:
        axes.set_yticklabels([])


def _shade(picture: Picture, valid_range: tuple[float, float]) -> Picture:
    """`(h, w, 3)` grey or coloured pixels in [0, 1]; an image of one dimension is a row."""
    low, high = valid_range
    pixels = np.clip((_channels_last(picture) - low) / (high - low), 0, 1)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _difference(example: Example) -> Picture:
    change = _channels_last(example.witness.astype(np.float64) - example.image).mean(axis=2)
    strength = np.clip(np.abs(change) / max(example.certificate.eps_pixel, 1e-12), 0, 1)
    colour = np.where(change[..., None] > 0, HIGHER, LOWER)
    return np.concatenate((colour, strength[..., None]), axis=2)


def _channels_last(picture: Picture) -> Picture:
    if picture.ndim == 3 and picture.shape[0] in (1, 3):
        return np.moveaxis(picture, 0, 2)
    return picture.reshape(-1, picture.shape[-1], 1)


def _address(pixels: Picture) -> str:
    buffer = io.BytesIO()
    with styled():
        from matplotlib.image import imsave

        imsave(buffer, (pixels * 255).round().astype(np.uint8), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
