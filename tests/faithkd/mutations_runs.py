"""Random damage to a run folder or the folder of a study, one piece at a time: what accidents and people do to files.

`mutations(folder, random)` is what a campaign calls; `reseal` is what somebody does who knows the format.
"""

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from faithkd.runs.sealed import sealed

ODD_VALUES = (
    "-5", "0", "-1", "1", "2", "1e400", "-1e400", "1e308", "NaN", "Infinity", "null", "true", '""', '"closed"', '"<b>"', "[]", "{}",
    "0.5", "1.5", "[[1]]", '"\\ud800"', '"\\u001b[31m"', "123456789012345678901234567890", "[" * 3000 + "]" * 3000,
)  # fmt: skip
"""JSON texts that stand in for a value."""


def mutations(folder: Path, random: Random) -> None:
    """Damage a finished run folder, or the folder of a study, in place, in one random way."""
    _choose(random, MUTATORS)(folder, random)


def files_of(folder: Path) -> list[Path]:
    """What is read back of a folder, in order."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [
        folder / name for name in sorted(names) if re.search(r"(summary|study)\.json$|\.jsonl$|\.npz$|searches/", name)
    ]


def change_value(folder: Path, random: Random) -> None:
    """Another value anywhere in a file of JSON, or in a line."""
    path = random.choice(_of_json(folder))
    lines = _texts(path)
    place = random.randrange(len(lines))
    values = json.loads(lines[place])
    where = random.choice(list(leaves(values)))
    old = _at(values, where)
    text = (
        random.choice(ODD_VALUES) if random.random() < 0.5 or not isinstance(old, float | int) else _near(old, random)
    )
    lines[place] = with_value(values, where, text)
    _write(path, lines)


def remove_key(folder: Path, random: Random) -> None:
    """A name less in some record."""
    _change_keys(folder, random, lambda record, name: record.pop(name))


def add_key(folder: Path, random: Random) -> None:
    """A name more in some record."""
    _change_keys(folder, random, lambda record, name: record.update({random.choice(("x", "<b>", "\x1b[2J")): 1}))


def swap_bounds(folder: Path, random: Random) -> None:
    """EMPLB for FAITHUB."""
    path = random.choice([path for path in files_of(folder) if path.name == "certificates.jsonl"])
    lines = _texts(path)
    place = random.randrange(len(lines))
    line = json.loads(lines[place])
    line["emplb"], line["faithub"] = line["faithub"], line["emplb"]
    lines[place] = json.dumps(line)
    _write(path, lines)


def change_lines(folder: Path, random: Random) -> None:
    """Lines twice, in another order, missing, torn, or joined by one that is none."""
    path = random.choice([path for path in files_of(folder) if path.suffix == ".jsonl"])
    lines = _texts(path)
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(6)
    if kind == 0:
        lines.insert(other, lines[one])
    elif kind == 1:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 2:
        del lines[min(one, other) : max(one, other) + 1]
    elif kind == 3:
        lines.insert(one, random.choice(("", "{}", "?", "x" * 100_000, "[" * 1900)))
    content = "".join(f"{line}\n" for line in lines)
    if kind == 4:
        content = content[: -random.randrange(1, 100)]
    elif kind == 5:
        content += random.choice(("{", "x" * 3000, "\0" * 3000, "{}\n"))
    path.write_text(content)


def change_array(folder: Path, random: Random) -> None:
    """Other numbers, rows, types, shapes or members in a file of witnesses."""
    path = random.choice([path for path in files_of(folder) if path.suffix == ".npz"])
    with np.load(path) as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    name = random.choice(list(arrays))
    values = arrays[name]
    kind = random.randrange(8)
    if kind == 0:
        flat = values.reshape(-1)
        flat[random.randrange(len(flat))] = (
            random.choice((0, 1, 7)) if values.dtype == np.bool_ else random.choice((-1, 0, 1, 7))
        )
    elif kind == 1 and values.dtype.kind == "f":
        values.reshape(-1)[random.randrange(values.size)] = random.choice((np.nan, np.inf, -np.inf, 1e30))
    elif kind == 2:
        arrays[name] = values[::-1]
    elif kind == 3:
        arrays[name] = values[:-1]
    elif kind == 4:
        arrays[name] = values.astype(random.choice(("f8", "f2", "i4", "U3", "c8")))
    elif kind == 5:
        arrays[name] = values.reshape(-1)
    elif kind == 6:
        del arrays[name]
    else:
        arrays["more"] = values
    np.savez_compressed(path, **arrays)


def damage_bytes(folder: Path, random: Random) -> None:
    """Bits that flip, an end that is missing, a file that is empty or holds something else."""
    path = random.choice(files_of(folder))
    content = bytearray(path.read_bytes())
    kind = random.randrange(5)
    if kind < 2:
        for _ in range(random.choice((1, 1, 3, 20))):
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    elif kind == 2:
        del content[random.randrange(len(content)) :]
    elif kind == 3:
        content = bytearray(random.choice((b"", b"\0" * 5000, b"{}", b"[]", b"\xff" * 100, b"PK\x05\x06" + bytes(18))))
    else:
        start = random.randrange(len(content))
        content[start : start + 10] = random.randbytes(random.randrange(30))
    path.write_bytes(content)


def replace_file(folder: Path, random: Random) -> None:
    """Something else of the same name."""
    _choose(random, REPLACEMENTS)(random.choice(files_of(folder)))


def swap_files(folder: Path, random: Random) -> None:
    """One file for another."""
    one, other = random.sample(files_of(folder), 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


MUTATORS: dict[str, Callable[[Path, Random], None]] = {
    "another value": change_value,
    "a name less": remove_key,
    "a name more": add_key,
    "bounds swapped": swap_bounds,
    "other lines": change_lines,
    "other arrays": change_array,
    "other bytes": damage_bytes,
    "another kind of file": replace_file,
    "files swapped": swap_files,
}


def make_pipe(path: Path) -> None:
    """A named pipe."""
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    """A folder."""
    path.unlink()
    path.mkdir()


def make_device(path: Path) -> None:
    """A link to a device that never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    """A link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def make_sparse(path: Path) -> None:
    """A file of a terabyte, nothing of which is on the disk."""
    with path.open("wb") as file:
        file.truncate(2**40)


def make_bomb(path: Path) -> None:
    """An archive of less than a megabyte that unpacks 600 of them, as its headers say; of a file that is none, a long end."""
    if path.suffix != ".npz":
        path.write_bytes(path.read_bytes() + b" " * 2**20)
        return
    with np.load(path) as stored:
        members = {name: _npy(stored[name]) for name in stored.files}
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (150000000,), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if name == "image":
                    member.write(header)
                    for _ in range(60):
                        member.write(bytes(10_000_000))
                else:
                    member.write(content)


def remove(path: Path) -> None:
    """Nothing."""
    path.unlink()


REPLACEMENTS: dict[str, Callable[[Path], None]] = {
    "pipe": make_pipe,
    "folder": make_folder,
    "device": make_device,
    "link to itself": make_loop,
    "sparse file": make_sparse,
    "bomb": make_bomb,
    "nothing": remove,
}


def leaves(values: Any, where: tuple[Any, ...] = ()) -> Any:
    """The places of everything that is no record or list, and of empty ones."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    if not inner:
        yield where
    for name, value in inner:
        yield from leaves(value, (*where, name))


def with_value(values: Any, where: tuple[Any, ...], text: str, indent: int | None = None) -> str:
    """The JSON of `values` with a text of JSON, or of none, in one place."""
    mark = "the mark of another value"
    if not where:
        return text
    changed = json.loads(json.dumps(values))
    _at(changed, where[:-1])[where[-1]] = mark
    return json.dumps(changed, indent=indent).replace(f'"{mark}"', text)


def reseal(folder: Path) -> None:
    """Make every digest of a run folder or a study that of what is there, as far as it can still be read."""
    for path in files_of(folder):
        if path.name == "summary.json":
            _reseal_summary(path)
        elif path.name == "study.json" or path.parent.name == "searches":
            values = json.loads(_content(path))
            values.pop("digest", None)
            path.write_bytes(sealed(values, indent=2 if path.name == "study.json" else None))


def _reseal_summary(path: Path) -> None:
    values = json.loads(_content(path))
    values.pop("digest", None)
    for name, content in values.get("files", {}).items():
        held = _content(path.parent / name)
        content["sha256"] = hashlib.sha256(held).hexdigest()
        if "lines" in content:
            content["lines"] = held.count(b"\n")
    path.write_bytes(sealed(values, indent=2))


def _content(path: Path) -> bytes:
    """Of a file that was made for a test; a device, or a terabyte, is none."""
    if not path.is_file() or path.stat().st_size > 2**24:
        raise ValueError("it cannot be read")
    return path.read_bytes()


def _choose(random: Random, table: dict[str, Any]) -> Any:
    return table[random.choice(list(table))]


def _of_json(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if path.suffix in (".json", ".jsonl")]


def _texts(path: Path) -> list[str]:
    """The lines of a file of lines, or the one text of another."""
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f"{text}\n" for text in texts))


def _near(value: float, random: Random) -> str:
    """A number that could stand there, too."""
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, int):
        return str(value + random.choice((-1, 1, 2)))
    return repr(random.choice((value * 1.0001, value + 1e-6, value * 0.9, value + 0.1, 1 - value, value * (1 + 2e-16))))


def _change_keys(folder: Path, random: Random, change: Callable[[dict[str, Any], str], Any]) -> None:
    path = random.choice(_of_json(folder))
    texts = _texts(path)
    place = random.randrange(len(texts))
    values = json.loads(texts[place])
    records = [record for record in _records(values) if record]
    record = random.choice(records)
    change(record, random.choice(list(record)))
    texts[place] = json.dumps(values, indent=2 if path.name == "summary.json" else None)
    _write(path, texts)


def _records(values: Any) -> Any:
    if isinstance(values, dict):
        yield values
    for value in values.values() if isinstance(values, dict) else values if isinstance(values, list) else ():
        yield from _records(value)


def _at(values: Any, where: tuple[Any, ...]) -> Any:
    for name in where:
        values = values[name]
    return values


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def copied(folder: Path, to: Path) -> Path:
    """A copy of a folder to be damaged."""
    if to.exists():
        shutil.rmtree(to)
    return Path(shutil.copytree(folder, to))
