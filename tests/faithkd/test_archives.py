"""Zip archives from elsewhere: what is damaged, too long or packed in another way is one sentence, whatever the damage."""

import io
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from faithkd import UserError
from faithkd.archives import open_zip, read_member

CONTENT = bytes(range(256)) * 40


def archive(path: Path, packing: int = zipfile.ZIP_DEFLATED, content: bytes = CONTENT) -> Path:
    with zipfile.ZipFile(path, "w", packing) as file:
        file.writestr("numbers", content)
        file.writestr("words", b"some words")
    return path


def numbers(path: Path, limit: int = len(CONTENT)) -> bytes:
    with open_zip(path, 10**7) as file:
        return read_member(file, "numbers", limit)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_is_read_whole_up_to_the_limit(tmp_path, packing):
    path = archive(tmp_path / "a.zip", packing)
    assert numbers(path) == CONTENT
    with pytest.raises(UserError, match=r"numbers in .*a\.zip, but there are 10,240"):
        numbers(path, len(CONTENT) - 1)
    with pytest.raises(UserError, match="no other in"), open_zip(path, 10**6) as file:
        read_member(file, "other", 10)
    with pytest.raises(UserError, match="at most 100 bytes"), open_zip(path, 100):
        pass


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_would_unpack_at_once_is_refused(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packing) as file, file.open("numbers", "w") as member:
        for _ in range(20):
            member.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(UserError, match="stored plainly or deflated"):
        numbers(tmp_path / "a.zip", 2**30)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def changed_header(path: Path, place: int, value: bytes) -> Path:
    """Another value in the first entry of the directory at the archive's end, and in the member's own header."""
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + place : entry + place + len(value)] = value
    content[place - 2 : place - 2 + len(value)] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (8, b"\x01\x00", "password"),
        (10, struct.pack("<H", 9), "deflated"),
        (10, struct.pack("<H", 93), "deflated"),
        (16, b"abcd", "damaged"),
        (24, struct.pack("<I", 100), "damaged"),
        (24, struct.pack("<I", 0), "damaged"),
    ],
    ids=["encrypted", "deflate64", "zstandard", "sum", "shorter", "nothing"],
)
def test_a_header_that_says_otherwise(tmp_path, place, value, words):
    with pytest.raises(UserError, match=words):
        numbers(changed_header(archive(tmp_path / "a.zip"), place, value))


def test_a_bomb_is_unpacked_no_further_than_its_header_says(tmp_path):
    path = archive(tmp_path / "a.zip", content=bytes(50 * 2**20))
    with pytest.raises(UserError, match="52,428,800"):
        numbers(path)
    tracemalloc.start()
    with pytest.raises(UserError, match="damaged"):
        numbers(changed_header(path, 24, struct.pack("<I", len(CONTENT))))
    assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    tracemalloc.stop()


def test_any_damage_is_one_sentence_or_no_damage_at_all(tmp_path):
    random.seed(0)
    whole = archive(tmp_path / "a.zip").read_bytes()
    for k in range(900):
        content = bytearray(whole)
        if k % 3 == 0:
            content = content[: random.randrange(len(content))]
        for _ in range(random.choice([0, 1, 1, 2, 8]) if k % 3 == 0 else random.choice([1, 1, 2, 8])):
            # Most of the time in the directory, where there is most to get wrong.
            first = len(content) - 200 if random.random() < 0.7 else 0
            if content:
                content[random.randrange(max(0, first), len(content))] ^= 1 << random.randrange(8)
        (tmp_path / "b.zip").write_bytes(content)
        try:
            assert numbers(tmp_path / "b.zip") == CONTENT
        except UserError as error:
            assert "\n" not in str(error)


def test_a_directory_of_many_entries_is_bounded_by_the_file(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for k in range(2000):
            file.writestr(str(k), b"")
    (tmp_path / "a.zip").write_bytes(made.getvalue())
    with pytest.raises(UserError, match="at most"), open_zip(tmp_path / "a.zip", 10_000):
        pass


def test_what_is_no_archive(tmp_path):
    for content in (b"", b"PK", os.urandom(1000), b"PK\x05\x06" + bytes(18)):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(UserError):
            numbers(tmp_path / "a.zip")
