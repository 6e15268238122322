"""What a file is, told from its first bytes and its name, so that one of the wrong kind is called what it is. Needs no torch."""

from __future__ import annotations

import os
from pathlib import Path

from faithkd.archives import open_zip
from faithkd.errors import UserError
from faithkd.files import open_regular

SAFETENSORS, STATE, PICKLE = "a safetensors file", "a file of torch.save", "a pickle"
SCRIPT, PROGRAM = "a TorchScript file (torch.jit.save)", "an exported program (torch.export.save)"
ARRAYS, ARRAY = "a NumPy archive (.npz)", "a NumPy array (.npy)"
ARCHIVE = "a zip archive"

_ENDINGS = {".onnx": "an ONNX model", ".pb": "a TensorFlow graph", ".mlmodel": "a Core ML model"}
_HDF5, _KERAS, _LITE, _GGUF = (
    "an HDF5 file, as Keras writes it",
    "a Keras model",
    "a TensorFlow Lite model",
    "a GGUF file",
)
MODELS = (_HDF5, _KERAS, _LITE, _GGUF, *_ENDINGS.values())
"""Networks of other programs."""

_HEAD, _LARGEST_ARCHIVE = 512, 2**40
_BEGINNINGS = {
    # The number that PyTorch before 1.6 begins a file with, pickled.
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": STATE,
    **{b"\x80" + bytes([protocol]): PICKLE for protocol in range(2, 6)},
    b"version https://git-lfs": "a pointer of Git LFS, which stands for the file itself (git lfs pull fetches it)",
    b"\x89HDF\r\n\x1a\n": _HDF5,
    b"\x93NUMPY": ARRAY,
    b"GGUF": _GGUF,
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
}


def kind_of(path: str | Path) -> str:
    """One of the constants above, or another phrase such as "an HDF5 file". Raises `UserError` when it is a folder or cannot be read."""
    path = Path(path)
    if path.is_dir():
        raise UserError(_folder(path))
    with open_regular(path) as file:
        head = file.read(_HEAD)
        size = os.fstat(file.fileno()).st_size
    if not head:
        return "an empty file"
    if head[8:9] == b"{":
        fits = 2 <= int.from_bytes(head[:8], "little") <= size - 8
        return SAFETENSORS if fits else "a damaged or truncated safetensors file"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _archive(path)
    if head[4:8] == b"TFL3":
        return _LITE
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    known = next((phrase for start, phrase in _BEGINNINGS.items() if head.startswith(start)), None)
    text = "a text file" if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) else "a file of an unknown kind"
    return known or _ENDINGS.get(path.suffix.lower(), text)


def _archive(path: Path) -> str:
    """What a zip archive is, by the names in it."""
    try:
        with open_zip(path, _LARGEST_ARCHIVE) as archive:
            names = archive.namelist()
    except UserError:
        return "a damaged or truncated zip archive"
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return SCRIPT
    if "archive_format" in inner or "serialized_exported_program.json" in names or "models/model.json" in inner:
        return PROGRAM
    if "data.pkl" in inner:
        return STATE
    if "model.weights.h5" in names:
        return _KERAS
    return ARRAYS if names and all(name.endswith(".npy") for name in names) else ARCHIVE


def _folder(path: Path) -> str:
    """A folder is no file, but it may hold the one that is meant."""
    names = ("model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors")
    inner = next((path / name for name in names if (path / name).is_file()), None)
    inner = inner or next(iter(sorted(path.glob("*.safetensors"))), None)
    return f"{path} is a folder; give the file in it, {inner}" if inner else f"{path} is a folder; give a file"
