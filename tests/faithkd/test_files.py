"""Files are read only if they are files and not too long; whatever else has their name is refused at once."""

import gzip
import io
import os
import socket
import threading
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from faithkd import UserError
from faithkd.files import open_regular, read_at_most, read_bytes, sha256


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def link(path: Path, to: str) -> Path:
    path.symlink_to(to)
    return path


def listening(path: Path) -> Path:
    # The name of a socket must be short: it is made where it stands.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)
    return path


def without_leave(path: Path) -> Path:
    path.write_bytes(b"secret")
    path.chmod(0)
    return path


NOT_FILES = {
    "nothing": (lambda path: path, "none at"),
    "named pipe": (fifo, "named pipe"),
    "link to a pipe": (lambda path: link(path, str(fifo(path.with_name("pipe")))), "named pipe"),
    "folder": (folder, "folder"),
    "endless device": (lambda path: link(path, "/dev/zero"), "device"),
    "terminal": (lambda path: link(path, "/dev/tty"), ""),
    "socket": (listening, "cannot read"),
    "link to itself": (lambda path: link(path, path.name), "cannot read"),
    "link to nothing": (lambda path: link(path, "nowhere"), "none at"),
    "below a file": (lambda path: path.write_bytes(b"") or path / "below", "cannot read"),
    "a name too long": (lambda path: path.with_name("a" * 300), "cannot read"),
    "a name with a zero": (lambda path: path.with_name("a\0b"), "name of a file"),
}


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize(
    "read", [open_regular, sha256, lambda path: read_bytes(path, 10)], ids=["open", "sha256", "read"]
)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, kind, read):
    make, words = NOT_FILES[kind]
    path = make(tmp_path / "name")
    found: list[BaseException] = []

    def attempt() -> None:
        try:
            read(path)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits"
    (error,) = found
    assert isinstance(error, UserError) and words in str(error), error
    assert "\n" not in str(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_bytes(without_leave(tmp_path / "name"), 10)


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_file_is_read_whole_up_to_the_limit(tmp_path, size):
    (tmp_path / "file").write_bytes(bytes(range(size)))
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "file", 10) == read_bytes(str(tmp_path / "link"), 10) == bytes(range(size))


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "file").write_bytes(bytes(11))
    with pytest.raises(UserError, match=r"at most 10 bytes were expected in .*file, but there are 11"):
        read_bytes(tmp_path / "file", 10)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    tracemalloc.start()
    with pytest.raises(UserError, match="at most 1,000 bytes"):
        read_bytes(tmp_path / "sparse", 1000)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a file whose size is not known before")
def test_a_file_that_hides_its_size_is_read_up_to_the_limit():
    assert read_bytes("/proc/self/status", 10**6).startswith(b"Name:")
    with pytest.raises(UserError, match="there are more"):
        read_bytes("/proc/self/status", 10)


def unpacked(content: bytes, limit: int) -> bytes:
    with gzip.open(io.BytesIO(content)) as stream:
        return read_at_most(stream, limit, "gzipped")


def test_what_unpacks_to_more_is_never_unpacked_whole():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    gzipped = gzip.compress(gzip.compress(bytes(300 * 2**20), 1), 1)
    tracemalloc.start()
    with zipfile.ZipFile(packed) as archive, archive.open("zeros") as member, pytest.raises(UserError, match="zeros"):
        read_at_most(member, 5 * 2**20, "zeros")
    inner = unpacked(gzipped, 10 * 2**20)
    with (
        gzip.open(io.BytesIO(inner)) as stream,
        pytest.raises(UserError, match="5,242,880 bytes were expected in ones"),
    ):
        read_at_most(stream, 5 * 2**20, "ones")
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()


def test_a_stream_is_read_to_its_end_so_that_its_sum_is_checked():
    content = bytes(range(256)) * 10
    damaged = bytearray(gzip.compress(content))
    damaged[-8] ^= 1
    assert unpacked(gzip.compress(content), len(content)) == content
    with pytest.raises(gzip.BadGzipFile):
        unpacked(bytes(damaged), len(content))
