"""Networks of others: checkpoints, state dicts and pickles that were damaged or are something else."""

import json
import re
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from tests.faithkd.mutations_common import Case, damaged, reading_networks, take

PAIR = ("teacher.safetensors", "student.safetensors")
ODD_JSON = (
    "-5", "0", "-1", "1", "2", "1e400", "1e308", "NaN", "Infinity", "null", "true", '""', '"mlp"', '"\\ud800"', '"\\u001b[31m"', "[]",
    "{}",
    "0.5", "[[1]]", "[1, 2, 3]", "123456789012345678901234567890", "1" + "0" * 400, "[" * 3000 + "]" * 3000, '{"a": {"b": [1]}}',
    "1000000000", '"x"', '"resnet"', '"vit"', "[10, 10]", "[1, 28, 28]",
)  # fmt: skip
"""JSON texts that stand in for a value."""


def bytes_of_a_checkpoint(seeds: Path, folder: Path, rng: Random) -> Case:
    """A checkpoint with damaged bytes."""
    take(seeds, folder, *PAIR)
    path = folder / rng.choice(PAIR)
    path.write_bytes(damaged(path.read_bytes(), rng))
    return Case(reading_networks(seeds, folder, rng, *PAIR))


def card_of_a_checkpoint(seeds: Path, folder: Path, rng: Random) -> Case:
    """A checkpoint whose card says something else."""
    take(seeds, folder, *PAIR)
    tensors = safetensors.torch.load_file(folder / PAIR[0])
    with safetensors.safe_open(folder / PAIR[0], "pt") as file:
        text = file.metadata()["faithkd"]
    for _ in range(rng.choice((1, 1, 2))):
        text = _odd_json(text, rng)
    (folder / PAIR[0]).write_bytes(safetensors.torch.save(tensors, {"faithkd": text}))
    return Case(reading_networks(seeds, folder, rng, *PAIR))


def _odd_json(text: str, rng: Random) -> str:
    """A value, a name or a piece of a JSON text changed."""
    kind = rng.randrange(5)
    values = list(re.finditer(r'(?<=: )("[^"]*"|[-\d.e]+|null|true|false|\[[^\]]*\])', text))
    if kind < 3 and values:
        found = rng.choice(values)
        return text[: found.start()] + rng.choice(ODD_JSON) + text[found.end() :]
    names = list(re.finditer(r'"\w+"(?=:)', text))
    if kind == 3 and names:
        found = rng.choice(names)
        other = rng.choice(('"x"', '"format"', '"classes"', '""', '"\\u0000"'))
        return text[: found.start()] + other + text[found.end() :]
    place = rng.randrange(len(text) + 1)
    piece = rng.choice(("", "{", "}", "]", '"', ",", "\\", "[" * 1000))
    return text[:place] + piece + text[place + rng.randrange(3) :]


def header_of_a_checkpoint(seeds: Path, folder: Path, rng: Random) -> Case:
    """A checkpoint whose header says something else of its tensors."""
    take(seeds, folder, *PAIR)
    content = (folder / PAIR[0]).read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    name = rng.choice([name for name in header if name != "__metadata__"])
    entry, kind = header[name], rng.randrange(7)
    if kind == 0:
        entry["dtype"] = rng.choice(("F64", "F16", "BF16", "I64", "I8", "BOOL", "U8", "F8_E4M3", "C64", "X", 3, None))
    elif kind == 1:
        shapes = [], [0], [1], [-1], [10**12], [2**63], [1] * 70, [784, 8], "x", None, [8.0, 784]
        entry["shape"] = rng.choice(shapes)
    elif kind == 2:
        entry["data_offsets"] = rng.choice(([0, 0], [0, 4], [4, 0], [0, 2**63], [-4, 4], "x", [], None))
    elif kind == 3:
        names = "x", "0.scale", "2.weight", "__metadata__", "a" * 3000, "\x00"
        header[rng.choice(names)] = header.pop(name)
    elif kind == 4:
        metadata = None, 3, [], {"faithkd": 3}, {}, {"x": "y"}, {"faithkd": ""}, "faithkd"
        header["__metadata__"] = rng.choice(metadata)
    elif kind == 5:
        empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        header |= {f"t{k}": empty for k in range(rng.choice((1, 2000)))}
    else:
        header[name] = rng.choice((None, 3, [], {}, "x"))
    text = json.dumps(header).encode()
    (folder / PAIR[0]).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    return Case(reading_networks(seeds, folder, rng, *PAIR))


def state_dict_of_another(seeds: Path, folder: Path, rng: Random) -> Case:
    """A state dict with other names, shapes, types, values or surroundings, or none."""
    take(seeds, folder, "weights.pt")
    path = folder / "weights.pt"
    state: dict[Any, Any] = dict(torch.load(path, weights_only=True))
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(list(state)) if state else "x"
        value = state.get(name)
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        state = _changed(state, name, rng) if plain and rng.random() < 0.6 else _put(state, name, rng)
    content = rng.choice((state, state, state, list(state.values())))
    torch.save(content, path, _use_new_zipfile_serialization=rng.random() < 0.8)
    if rng.random() < 0.3:
        path.write_bytes(damaged(path.read_bytes(), rng))
    elif rng.random() < 0.1 and zipfile.is_zipfile(path):
        _pack(path)
    architecture = rng.choice(("mnist-student", "mnist-student", "mnist-student", "mnist-teacher", "resnet-18"))
    said = ["--architecture", architecture, "--mean", "0.1307", "--std", "0.3081"]
    command = reading_networks(seeds, folder, rng, "weights.pt")
    return Case([*command, *(said if command[0] != "distill" and rng.random() < 0.9 else [])])


def _changed(state: dict[Any, Any], name: Any, rng: Random) -> dict[Any, Any]:
    """One tensor of a state dict changed."""
    tensor = state[name] if state[name].ndim else state[name][None]
    flat = tensor.reshape(-1)
    kinds = (
        tensor.double, tensor.half, tensor.long, tensor.bool, tensor.bfloat16, lambda: tensor.transpose(0, -1), lambda: tensor[:1],
        lambda: tensor[None], lambda: flat, lambda: tensor[..., None], tensor.to_sparse, lambda: torch.zeros(0),
        lambda: torch.full_like(tensor.double(), rng.choice((float("nan"), float("inf"), 1e300, 1e-300, 1 / 3))),
        lambda: nn.Parameter(tensor.double()), lambda: flat.expand(3, -1), lambda: tensor + 0j,
    )  # fmt: skip
    return {**state, name: rng.choice(kinds)()}


def _put(state: dict[Any, Any], name: Any, rng: Random) -> dict[Any, Any]:
    """Names or surroundings of a state dict changed."""
    kind, value = rng.randrange(9), state.get(name)
    if kind == 0:
        prefix = rng.choice(("module.", "_orig_mod.", "a.b.", ".", "", "1."))
        return {f"{prefix}{key}": tensor for key, tensor in state.items()}
    if kind == 1:
        return {key: tensor for key, tensor in state.items() if key != name}
    if kind == 2:
        return {**state, rng.choice(("x", "0.scale", "2.weight", 3, "", "a.num_batches_tracked")): value}
    if kind == 3:
        huge, nowhere = torch.zeros(1).expand(10**6, 10**6), torch.zeros(2, device="meta")
        return {**state, name: rng.choice((None, 3, "x", [1], {}, huge, nowhere))}
    if kind == 4:
        return {rng.choice(("state_dict", "model", "x")): state, "epoch": 3}
    if kind == 5:
        return {"model": state, "ema": state}
    if kind == 6:
        return {rng.choice(("a", "b")): state}
    if kind == 7:
        return dict(reversed(state.items()))
    return state | {f"x{k}": torch.zeros(1) for k in range(rng.choice((1, 500)))}


def _pack(path: Path) -> None:
    """The same archive, compressed and longer."""
    with zipfile.ZipFile(path) as file:
        members = [(entry.filename, file.read(entry)) for entry in file.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content + bytes(10**6))


PIECES = (
    b"(", b"]", b"}", b")", b"N", b"K\x01", b"J\xff\xff\xff\x7f", b"U\x01a", b"X\x01\0\0\0b", b"q\x01", b"r\xff\xff\xff\x7f", b"h\x01",
    b"j\xff\0\0\0", b"t", b"l", b"d", b"s", b"u", b"a", b"e", b"0", b"1", b"2", b"R", b"b", b"o", b"\x81", b"\x85", b"\x86", b"\x87",
    b"\x88",
    b"Q", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n",
    b"cbuiltins\nbytearray\n", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"B\xff\xff\xff\x7f", b"\x8e" + struct.pack("<Q", 2**40),
    b"\x95" + struct.pack("<Q", 2**40), b"\x8b\xff\xff\xff\x7f",
)  # fmt: skip
"""Steps of a pickle's program."""


def pickle_of_anything(seeds: Path, folder: Path, rng: Random) -> Case:
    """A random pickle program, plain or in PyTorch's archive."""
    program = b"\x80\x02" + b"".join(rng.choices(PIECES, k=rng.randrange(1, 40))) + b"."
    path = folder / rng.choice(("a.pt", "a.safetensors", "a.pkl"))
    if rng.random() < 0.6:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a/data.pkl", program)
            file.writestr("a/version", "3\n")
            file.writestr("a/data/0", bytes(rng.choice((0, 4, 100))))
    else:
        path.write_bytes(program)
    said = ["--architecture", "mnist-student", "--mean", "0", "--std", "1"] if rng.random() < 0.7 else []
    return Case([rng.choice(("info", "evaluate")), path.name, *said])
