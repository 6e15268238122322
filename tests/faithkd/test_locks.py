"""A run folder has one writer at a time, and what killed writers left is removed by the next."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from faithkd import UserError
from faithkd.files import atomic, remove_leftovers
from faithkd.runs import RunFolder, merge, read_run
from faithkd.runs import lock as locks
from faithkd.runs.lock import Lock
from tests.faithkd import mutations_runs as damage
from tests.faithkd.four_parts import ASKED, OLD, interrupted_run
from tests.faithkd.running import certify, environment, run, untimed
from tests.faithkd.test_bad_inputs import said
from tests.faithkd.test_engines import started, wait_for
from tests.faithkd.test_tampering import within


@pytest.mark.slow
def test_a_second_writer_is_refused_until_the_first_has_ended(four_parts, pair, tmp_path):
    folder = tmp_path / "run"
    slow = ("--method", "complete", "--max-nodes", 100_000, "--timeout", 1000, "--gap", 0)
    process = started(*pair, *ASKED[:-2], *slow, "--out", folder)
    wait_for(lambda: (folder / "summary.json").exists() and (folder / ".lock").read_text(), process)
    for result in (certify("--resume", "--out", folder), certify(*pair, *ASKED, "--out", folder)):
        assert result.exit_code == 1
    assert f"process {process.pid} on " in said(certify("--resume", "--out", folder))
    shards = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, shard in enumerate(shards, start=1):
        assert certify(*pair, *ASKED, "--shard", f"{k}/2", "--out", shard).exit_code == 0
    assert str(folder) in said(run("report", *shards, "--out", folder))
    assert run("report", *shards, "--out", tmp_path / "merged").exit_code == 0
    assert untimed(tmp_path / "merged") == untimed(four_parts)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # The lock went with the process, though its file is still there.
    assert (folder / ".lock").exists()
    with RunFolder.open(folder):
        assert f"process {os.getpid()} on " in said(certify("--resume", "--out", folder))
    assert not (folder / ".lock").exists()


def test_two_merges_into_one_folder_are_one(pair, tmp_path):
    shards = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, shard in enumerate(shards, start=1):
        assert certify(*pair, *ASKED, "--shard", f"{k}/2", "--out", shard).exit_code == 0
    (tmp_path / "merged").mkdir()
    lock = Lock(tmp_path / "merged")
    with pytest.raises(UserError, match=rf"process {os.getpid()} on .* is writing in .*merged"):
        merge(shards, tmp_path / "merged")
    lock.release()
    merge(shards, tmp_path / "merged")
    with pytest.raises(UserError, match="not empty"):
        merge(shards, tmp_path / "merged")
    with pytest.raises(UserError, match="each once"):
        merge([shards[0], *shards], tmp_path / "again")


@pytest.mark.slow
def test_shards_of_an_older_format_are_brought_up_to_date_first(pair, tmp_path):
    for k in (1, 2):
        folder = tmp_path / f"shard{k}"
        assert certify(*pair, *ASKED, "--shard", f"{k}/2", "--out", folder).exit_code == 0
        values = json.loads((folder / "summary.json").read_text())
        for name in ("scale", "image_shape", "classes", "files", "digest"):
            del values[name]
        (folder / "summary.json").write_text(json.dumps(values | {"format": 1}))
    shards = [tmp_path / "shard1", tmp_path / "shard2"]
    assert f"certify --resume --out {shards[0]}" in said(run("report", *shards, "--out", tmp_path / "merged"))
    for shard in shards:
        assert certify("--resume", "--out", shard).exit_code == 0
    assert run("report", *shards, "--out", tmp_path / "merged").exit_code == 0


@pytest.mark.slow
def test_a_study_has_one_writer(tmp_path):
    folder = damage.copied(OLD / "study", tmp_path / "study")
    before = (folder / "study.json").read_bytes()
    lock = Lock(folder)
    assert f"process {os.getpid()} on " in said(run("benchmark", "mnist", "--resume", "--out", folder))
    assert (folder / "study.json").read_bytes() == before
    assert run("report", folder).exit_code == 0
    lock.release()
    assert run("benchmark", "mnist", "--resume", "--out", folder).exit_code == 0


@pytest.mark.parametrize("number", locks.WITHOUT_LOCKS)
def test_where_there_are_no_locks_it_works_without(four_parts, pair, tmp_path, monkeypatch, number):
    def none(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    assert untimed(tmp_path / "run") == untimed(four_parts)
    # Who cannot know whether somebody writes leaves what may be somebody's.
    left = tmp_path / "run" / ".summary.json.abcd1234.part"
    left.touch()
    assert certify("--resume", "--out", tmp_path / "run").exit_code == 0
    assert left.exists()


def test_a_lock_whose_file_is_taken_away_is_taken_anew(tmp_path, monkeypatch):
    """The file may be removed by its last holder between our opening and our locking it."""
    flock, tries = fcntl.flock, []

    def meanwhile(file, how):
        flock(file, how)
        if not tries:
            (tmp_path / ".lock").unlink()
        tries.append(how)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    lock = Lock(tmp_path)
    assert len(tries) == 2 and (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    lock.release()
    lock.release()
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero")])
def test_something_else_in_place_of_the_lock_is_refused(four_parts, tmp_path, make):
    folder = damage.copied(four_parts, tmp_path / "run")
    make(folder / ".lock")
    assert said(certify("--resume", "--out", folder))


def test_a_lock_tells_nothing_that_it_was_not_told(tmp_path):
    (tmp_path / ".lock").write_text("\x1b[2Jprocess 1 on x")
    with (tmp_path / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"^another process is writing"):
            Lock(tmp_path)


# Leftovers


def test_what_killed_writers_left_is_removed_by_the_next_one(four_parts, pair, tmp_path, monkeypatch):
    folder = interrupted_run(pair, tmp_path / "run", monkeypatch, 1)
    left = [folder / name for name in (".summary.json.abcd1234.part", "parts/.x.npz.abcd_234.part", ".report.html.00000000.part",
                                       "figures/.examples.png.zzzzzzzz.part")]  # fmt: skip
    others = [folder / name for name in ("mine.part", ".part", ".summary.json.part", "figures/.notes")]
    (folder / "figures").mkdir()
    for path in [*left, *others]:
        path.write_text("half")
    os.mkfifo(folder / ".witnesses.npz.abcd1234.part")
    with atomic(folder / "report.html") as file:
        file.write(b"a page that another process is writing")
        assert certify("--resume", "--out", folder).exit_code == 0
    assert (folder / "report.html").read_text() == "a page that another process is writing"
    assert not any(path.exists() for path in left) and all(path.exists() for path in others)
    assert untimed(folder) == untimed(four_parts)


def test_a_writer_that_was_killed_leaves_what_the_next_removes(tmp_path):
    code = (
        "import os, signal, sys\nfrom faithkd.files import atomic\n"
        "with atomic(sys.argv[1]) as file:\n    file.write(b'half')\n    file.flush()\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "file"], env=environment(), check=False, timeout=60)
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_nothing_but_leftovers_is_free(pair, tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", ".summary.json.abcd1234.part"):
        (tmp_path / "run" / name).write_text("process 1 on here")
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "certificates.jsonl",
        "summary.json",
        "witnesses.npz",
    ]


def test_parts_that_a_kill_left_in_a_complete_run_are_removed(four_parts, tmp_path):
    folder = damage.copied(four_parts, tmp_path / "run")
    (folder / "parts").mkdir()
    (folder / "parts" / "radius0-images00000.npz").write_bytes(b"half")
    assert len(read_run(folder).certificates) == 54
    assert certify("--resume", "--out", folder).exit_code == 0
    assert not (folder / "parts").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.touch()])
def test_something_else_in_place_of_a_folder_of_the_run_is_not_waited_for(
    four_parts, pair, tmp_path, monkeypatch, make
):
    folder = damage.copied(four_parts, tmp_path / "run")
    make(folder / "parts")
    make(folder / "figures")
    with within(60):
        assert certify("--resume", "--out", folder).exit_code == 0
        assert "figures" in said(run("report", folder))
    folder = interrupted_run(pair, tmp_path / "other", monkeypatch, 1)
    shutil.rmtree(folder / "parts")
    make(folder / "parts")
    with within(60):
        assert "digests.jsonl" in said(certify("--resume", "--out", folder))
