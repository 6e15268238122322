"""The card of a checkpoint: what is known of a network besides its weights. Read without torch."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faithkd.embedded import PAIRS, find
from faithkd.errors import UserError
from faithkd.files import open_regular
from faithkd.kinds import ARRAY, ARRAYS, MODELS, PICKLE, PROGRAM, SAFETENSORS, SCRIPT, STATE, kind_of
from faithkd.strict_json import loads

if TYPE_CHECKING:
    from faithkd.data.records import Dataset

FORMAT = 1
KEY = "faithkd"
LARGEST_HEADER = 4_000_000
"""Bytes; a network of a thousand tensors needs a fortieth of it."""


@dataclass(frozen=True)
class Card:
    """The metadata of a checkpoint (JSON under the key `faithkd`).

    architecture: `{"name", "arguments"}`, with `input_shape` among the arguments. normalisation: `{"mean", "std"}`. dataset: the
    name of the data it was trained on. recipe: the recipe's settings or name. method: how it was trained (`at`, `sd`, `fd`, ...).
    teacher: the SHA-256 of the teacher's file, or a list of them. student_from: that of the file whose weights it began with. metrics:
    measured numbers by name. versions: of the packages that wrote it.
    """

    architecture: dict[str, Any]
    normalisation: dict[str, Any]
    classes: int
    dataset: str | None = None
    recipe: dict[str, Any] | str | None = None
    method: str | None = None
    teacher: str | list[str] | None = None
    student_from: str | None = None
    seed: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return tuple(self.architecture["arguments"]["input_shape"])

    def to_json(self) -> str:
        """The JSON object that the file holds."""
        return json.dumps(asdict(self), allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str | Path = "this checkpoint") -> Card:
        """Read and check the JSON object; `source` names the file in errors. Raises `UserError` when it is not a card."""
        content = _object(text, source)
        _check_types(content, source)
        _check_values(content, source)
        return cls(**{f.name: content[f.name] for f in fields(cls) if content.get(f.name) is not None})


def read_card(name_or_path: str | Path) -> Card:
    """The card of a checkpoint, from the file's header alone. Raises `UserError` when there is none."""
    path = find(name_or_path)
    metadata = read_metadata(path)
    if KEY not in metadata:
        raise UserError(
            f"{path} is a safetensors file without faithkd metadata; say what network it is with --architecture"
        )
    return Card.from_json(metadata[KEY], path)


def read_own_card(name_or_path: str | Path, what: str) -> Card:
    """The card of a network of which nothing else can be said, so that it must be a checkpoint of faithkd. what: its part, for messages."""
    path = find(name_or_path)
    kind = kind_of_network(path)
    if kind == SAFETENSORS and KEY not in read_metadata(path):
        kind = "a safetensors file without faithkd metadata"
    if kind != SAFETENSORS:
        raise UserError(
            f"{what} must be a checkpoint of faithkd or an embedded network, but {path} is {kind}; in Python, faithkd.load reads a state "
            "dict, and faithkd.checkpoint.save writes a checkpoint of it"
        )
    return read_card(path)


def compatible(teacher: Card, student: Card) -> None:
    """Raise `UserError` unless teacher and student read the same images and decide among the same classes of the same data."""
    for what, one, other in (
        ("number of classes", teacher.classes, student.classes),
        ("input shape", teacher.input_shape, student.input_shape),
        ("data set", _full(teacher.dataset), _full(student.dataset)),
    ):
        if one != other and one is not None and other is not None:
            raise UserError(
                f"teacher and student must have the same {what}, but have {one} and {other}; choose another pair"
            )


def check_data(card: Card, dataset: Dataset) -> None:
    """Raise `UserError` when a network cannot be used on a data set: other image shape, more classes, or made for another one."""
    if card.input_shape != dataset.image_shape:
        raise UserError(
            f"the network reads images of shape {card.input_shape} but those of {dataset.name} have shape {dataset.image_shape}; "
            f"{_reshaping(card.input_shape, dataset.image_shape)}"
        )
    if card.classes < dataset.classes:
        raise UserError(
            f"the network has {card.classes} classes but {dataset.name} has {dataset.classes}; choose other data or another network"
        )
    published = dataset.mean is not None
    if published and card.dataset is not None and _full(card.dataset) != _full(dataset.name):
        raise UserError(
            f"the network was trained on {card.dataset}, not on {dataset.name}; use --data {_full(card.dataset)} or another network"
        )


def _reshaping(wanted: tuple[int, ...], found: tuple[int, ...]) -> str:
    """What makes images of one shape those of another, if they can be the same."""
    if wanted == (*found[-1:], *found[:-1]):
        return "save numpy.moveaxis(images, -1, 1) where the channels stand last"
    if math.prod(wanted) == math.prod(found):
        return f"save images.reshape(-1, {', '.join(map(str, wanted))}) if they are the same pixels in this order"
    return "choose other data or another network"


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file: 8 bytes that give the header's length, then the header in JSON."""
    kind = kind_of_network(path)
    if kind == STATE:
        raise UserError(
            f"{path} is {kind}, not a .safetensors checkpoint; if it holds a state dict, say what network it is with --architecture"
        )
    if kind != SAFETENSORS:
        raise UserError(f"{path} is {kind}, not a checkpoint; {instead(kind)}")
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise UserError(
                f"the header of {path} has {length:,} bytes, but {LARGEST_HEADER:,} at most were expected; give another file"
            )
        text = file.read(length)
    try:
        metadata = loads(text)["__metadata__"]
    except KeyError:
        return {}
    except (ValueError, TypeError) as error:
        raise damaged(path) from error
    return metadata if isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values()) else {}


def kind_of_network(path: Path) -> str:
    """What a file is, see `kind_of`, where a network was expected. Raises `UserError` when there is none, or it is a folder."""
    if not path.is_symlink() and not path.exists():
        raise UserError(
            f"there is no file {path}; give the path of a checkpoint or an embedded network: {', '.join(PAIRS)}"
        )
    return kind_of(path)


def instead(kind: str) -> str:
    """What to give in place of a file of another kind."""
    if kind in (SCRIPT, PROGRAM):
        return (
            "it holds a program: save the weights alone with torch.save(model.state_dict(), ...) and give them with --architecture, a "
            "network of your own with --import too"
        )
    if kind == PICKLE:
        return "reading it could run code: save the weights alone with torch.save(model.state_dict(), ...)"
    if kind in (ARRAYS, ARRAY):
        return "images are given with --data: give a network here"
    if kind in MODELS:
        return "convert it to PyTorch, save its weights with torch.save(model.state_dict(), ...) and give them with --architecture"
    return "save or download it again"


def damaged(path: Path) -> UserError:
    """What is raised for a file that begins like a checkpoint and is none."""
    return UserError(f"{path} is not a safetensors file, or a damaged one; save or download it again")


def _object(text: str, source: str | Path) -> dict[str, Any]:
    try:
        content = loads(text)
    except ValueError as error:
        raise UserError(
            f"the faithkd metadata of {source} are not JSON ({error}); save the checkpoint again"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"the faithkd metadata of {source} must be a JSON object, but are a {type(content).__name__}")
    if content.get("format") != FORMAT:
        raise UserError(
            f"{source} has checkpoint format {str(content.get('format'))[:40]} but this version of faithkd reads format {FORMAT}; "
            "use the version that wrote it"
        )
    return content


_REQUIRED: dict[str, tuple[type, ...]] = {"architecture": (dict,), "normalisation": (dict,), "classes": (int,)}
_OPTIONAL: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "recipe": (dict, str),
    "method": (str,),
    "teacher": (str, list),
    "student_from": (str,),
    "seed": (int,),
    "metrics": (dict,),
    "versions": (dict,),
}


def _check_types(content: dict[str, Any], source: str | Path) -> None:
    for name, kinds in (_REQUIRED | _OPTIONAL).items():
        value = content.get(name)
        if value is None and name in _OPTIONAL:
            continue
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise UserError(
                f"{name!r} in the faithkd metadata of {source} must be of type {' or '.join(kind.__name__ for kind in kinds)}, "
                f"but is {type(value).__name__}; save the checkpoint again"
            )


def _check_values(content: dict[str, Any], source: str | Path) -> None:
    name, arguments = content["architecture"].get("name"), content["architecture"].get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise UserError(
            f"'architecture' in the faithkd metadata of {source} must have a name and arguments; save it again"
        )
    shape = arguments.get("input_shape")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
        raise UserError(f"the architecture of {source} must have an input_shape of positive integers; save it again")
    if content["classes"] < 2:
        raise UserError(
            f"the faithkd metadata of {source} must give at least two classes, but give {content['classes']}"
        )
    means, spreads = (_finite_numbers(content["normalisation"].get(key)) for key in ("mean", "std"))
    if not means or len(means) != len(spreads) or min(spreads) <= 0:
        raise UserError(
            f"'normalisation' in the faithkd metadata of {source} must have a finite mean and a positive std"
        )


def _finite_numbers(value: Any) -> list[float]:
    """A number or a list of numbers as a list; empty when it is neither."""
    values = value if isinstance(value, list) else [value]
    return values if all(type(number) in (int, float) and math.isfinite(number) for number in values) else []


def _full(dataset: str | None) -> str | None:
    """The data set that an embedded sample is from."""
    return None if dataset is None else dataset.removesuffix("-sample")
