"""Run folders survive a kill at any moment, have one writer at a time, and those of the older format go on."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from faithkd import UserError
from faithkd.certification import Job
from faithkd.files import atomic, remove_leftovers
from faithkd.runs import RunFolder, merge, read_run
from faithkd.runs import lock as locks
from faithkd.runs.lock import Lock
from tests.faithkd import mutations_runs as damage
from tests.faithkd.made_up import made_up_run
from tests.faithkd.running import ROOT, certificates, certify, command, environment, run, untimed
from tests.faithkd.test_bad_inputs import said
from tests.faithkd.test_engines import started, wait_for
from tests.faithkd.test_tampering import within

OLD = ROOT / "tests" / "reference" / "format-1"
ASKED = ("--no-search", "--eps", 0.01, "--eps", 0.02, "--images", 27, "--method", "crown")
"""Two radii of two parts each."""


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory) -> Path:
    """A finished run of four parts; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert certify(*pair, *ASKED, "--out", folder).exit_code == 0
    return folder


# Kills


class Moments:
    """Copies of a folder before every step that changes it on the disk: what a kill at that moment leaves."""

    EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"})

    def __init__(self) -> None:
        self.copies: dict[str, Path] = {}
        self._folder: Path | None = None
        self._to: Path | None = None
        sys.addaudithook(self._see)

    def watch(self, folder: Path, to: Path) -> None:
        self._folder, self._to, self.copies = folder, to, {}

    def stop(self) -> dict[str, Path]:
        self._folder = None
        return self.copies

    def _see(self, event: str, arguments: tuple) -> None:
        folder, self._folder = self._folder, None
        if folder is None:
            return
        if event in self.EVENTS and any(str(folder) in str(argument) for argument in arguments) and folder.exists():
            digest = hashlib.sha256()
            for path in sorted(folder.rglob("*")):
                digest.update(str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b""))
            name = digest.hexdigest()[:16]
            if name not in self.copies:
                self.copies[name] = Path(shutil.copytree(folder, self._to / f"{len(self.copies):03d}"))
        self._folder = folder


@pytest.fixture(scope="module")
def moments() -> Iterator[Moments]:
    """One for the module, since an audit hook stays."""
    yield Moments()


def survives(copy: Path, expected: list[dict], pair: tuple[str, str], kept: Callable[[Path], list[dict]]) -> None:
    """What a kill left can be read, or begun anew where there is nothing yet; it goes on, and nothing finished is done again."""
    if not (copy / "summary.json").exists():
        assert certify(*pair, *ASKED, "--out", copy).exit_code == 0
    else:
        before = kept(copy)
        result = certify("--resume", "--out", copy)
        assert result.exit_code == 0, result.output
        assert all(line in certificates(copy) for line in before)
    assert untimed(copy) == expected
    assert sorted(path.name for path in copy.iterdir()) == ["certificates.jsonl", "summary.json", "witnesses.npz"]


def in_readable_parts(copy: Path) -> list[dict]:
    """The certificates that can be read, as they stand in the file."""
    read = {(line.eps, line.index) for line in read_run(copy).certificates}
    text = (copy / "certificates.jsonl").read_text() if (copy / "certificates.jsonl").exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if (line["eps"], line["index"]) in read]


def test_a_kill_at_any_moment_leaves_a_run_that_goes_on(whole, pair, moments, tmp_path):
    moments.watch(tmp_path / "run", tmp_path)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    copies = moments.stop()
    assert len(copies) > 25
    seen = set()
    for copy in copies.values():
        seen.add(len(in_readable_parts(copy)) if (copy / "summary.json").exists() else None)
        survives(copy, untimed(whole), pair, in_readable_parts)
    assert seen == {None, 0, 25, 27, 52, 54}


@pytest.mark.parametrize("cut", [1, 2, 40, 400, 2000])
def test_a_kill_in_the_middle_of_a_line(whole, pair, moments, tmp_path, cut):
    """What is torn is done again; what was whole before it is not."""
    moments.watch(tmp_path / "run", tmp_path)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    running = [copy for copy in moments.stop().values() if (copy / "parts" / "radius1-images00000.npz").exists()]
    for copy in running[:: max(1, len(running) // 4)]:
        if json.loads((copy / "summary.json").read_text())["state"] != "running":
            continue
        torn = damage.copied(copy, tmp_path / "torn")
        tear(torn / "certificates.jsonl", cut)
        survives(torn, untimed(whole), pair, in_readable_parts)
        digests = [json.loads(line) for line in (copy / "parts" / "digests.jsonl").read_text().splitlines()]
        if sum(len(part["indices"]) for part in digests) > len(certificates(copy)):
            # The digests of a part are there before its certificates.
            torn = damage.copied(copy, tmp_path / "torn")
            tear(torn / "parts" / "digests.jsonl", min(cut, 200))
            survives(torn, untimed(whole), pair, in_readable_parts)


def tear(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])


@pytest.mark.parametrize("name", ["interrupted", "complete"])
def test_a_kill_while_an_older_run_is_brought_up_to_date(moments, tmp_path, name):
    folder = damage.copied(OLD / name, tmp_path / "run")
    old = certificates(folder)
    moments.watch(folder, tmp_path)
    assert certify("--resume", "--out", folder).exit_code == 0
    copies = list(moments.stop().values())
    assert len(copies) > 15
    for copy in copies[::4]:
        assert read_run(copy).certificates
        assert certify("--resume", "--out", copy).exit_code == 0
        assert untimed(copy) == untimed(folder)
        assert all(line in certificates(copy) for line in old)


def test_a_kill_while_an_interrupted_run_is_put_in_order(whole, pair, moments, tmp_path, monkeypatch):
    """A part whose witnesses were removed is dropped; the summary stated the digests of the files with it."""
    folder = interrupted_run(pair, tmp_path / "run", monkeypatch, 3)
    (folder / "parts" / "radius0-images00000.npz").unlink()
    moments.watch(folder, tmp_path)
    assert certify("--resume", "--out", folder).exit_code == 0
    for copy in list(moments.stop().values())[:12]:
        survives(copy, untimed(whole), pair, in_readable_parts)


def test_an_interruption_after_the_run_is_complete_changes_nothing(whole, pair, tmp_path, monkeypatch):
    tidy = RunFolder._tidy

    def interrupted(folder):
        tidy(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "_tidy", interrupted)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 130
    monkeypatch.undo()
    assert read_run(tmp_path / "run").summary.state == "complete"
    assert untimed(tmp_path / "run") == untimed(whole)


def interrupted_run(pair, folder: Path, monkeypatch, after: int) -> Path:
    """A run that ended by Ctrl-C after so many parts."""
    prove, begun = Job.prove, []

    def some(job, part, progress=None):
        begun.append(part)
        if len(begun) > after:
            raise KeyboardInterrupt
        return prove(job, part, progress)

    monkeypatch.setattr(Job, "prove", some)
    assert certify(*pair, *ASKED, "--out", folder).exit_code == 130
    monkeypatch.undo()
    return folder


def test_a_run_that_was_interrupted_has_the_digests_of_its_files(whole, pair, tmp_path, monkeypatch):
    folder = interrupted_run(pair, tmp_path / "run", monkeypatch, 3)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["state"] == "interrupted" and summary["files"]["certificates.jsonl"]["lines"] == 52
    for name, content in summary["files"].items():
        assert content["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for line in map(json.loads, (folder / "parts" / "digests.jsonl").read_text().splitlines()):
        assert line["witnesses"] == hashlib.sha256((folder / "parts" / f"{line['part']}.npz").read_bytes()).hexdigest()
    for name in ("certificates.jsonl", "parts/digests.jsonl", "parts/radius0-images00001.npz", "summary.json"):
        bad = damage.copied(folder, tmp_path / "bad")
        content = bytearray((bad / name).read_bytes())
        content[len(content) // 2] ^= 1
        (bad / name).write_bytes(content)
        for result in (run("report", bad), certify("--resume", "--out", bad)):
            assert Path(name).name in said(result)
    lines = (folder / "certificates.jsonl").read_text().splitlines(keepends=True)
    bad = damage.copied(folder, tmp_path / "bad")
    (bad / "certificates.jsonl").write_text("".join(lines[:-2]))
    assert "changed" in said(run("report", bad)) and "changed" in said(certify("--resume", "--out", bad))
    assert certify("--resume", "--out", folder).exit_code == 0
    assert untimed(folder) == untimed(whole)


def test_a_part_whose_witnesses_were_removed_is_done_again(whole, pair, tmp_path, monkeypatch):
    """That is what the message about a damaged part advises."""
    folder = interrupted_run(pair, tmp_path / "run", monkeypatch, 3)
    part = folder / "parts" / "radius0-images00000.npz"
    part.write_bytes(part.read_bytes()[:-1])
    assert f"{part} was changed" in said(run("report", folder)) and "remove it" in said(
        certify("--resume", "--out", folder)
    )
    part.unlink()
    assert run("report", folder).exit_code == 0
    assert len(read_run(folder).certificates) == 27
    assert certify("--resume", "--out", folder).exit_code == 0
    assert untimed(folder) == untimed(whole)


def test_lines_of_a_running_run_that_nobody_proved_are_refused(pair, tmp_path, monkeypatch):
    """A run that was killed has no digest of its certificates, but one of each part."""
    folder = interrupted_run(pair, tmp_path / "run", monkeypatch, 2)
    copies = [json.loads(line) for line in (folder / "certificates.jsonl").read_text().splitlines()]
    values = json.loads((folder / "summary.json").read_text())
    values |= {"state": "running", "radii": [], "seconds": 0.0}
    del values["files"]
    (folder / "summary.json").write_text(json.dumps(values))
    damage.reseal(folder)
    assert len(read_run(folder).certificates) == 27
    changes = {
        "were changed": [copies[0] | {"faithub": 1.0, "status": "open"}, *copies[1:]],
        "no part that was finished": [*copies, copies[0] | {"eps": 0.02, "eps_pixel": 0.02}],
    }
    for words, lines in changes.items():
        (folder / "certificates.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for result in (run("report", folder), certify("--resume", "--out", folder)):
            assert words in said(result)


def test_a_certificate_that_cannot_be_true_is_not_written(pair, tmp_path, monkeypatch):
    prove = Job.prove

    def wrong(job, part, progress=None):
        lines, arrays = prove(job, part, progress)
        return lines, {**arrays, "witness": arrays["witness"] + np.float32(1)}

    monkeypatch.setattr(Job, "prove", wrong)
    result = certify(*pair, *ASKED, "--out", tmp_path / "run")
    assert "outside the radius" in said(result)
    assert read_run(tmp_path / "run").summary.state == "failed"
    assert not (tmp_path / "run" / "certificates.jsonl").exists()


def test_a_folder_can_be_read_while_it_is_put_in_order(whole, monkeypatch):
    """A reader that meets the folder half in order looks again."""
    tries = []
    from faithkd.runs import reading

    read = reading._read_run

    def at_first_disturbed(path):
        tries.append(path)
        if len(tries) < 3:
            os.utime(path / "certificates.jsonl", ns=(0, len(tries)))
            raise UserError("half in order")
        return read(path)

    monkeypatch.setattr(reading, "_read_run", at_first_disturbed)
    assert len(read_run(whole).certificates) == 54 and len(tries) == 3
    monkeypatch.setattr(reading, "_read_run", lambda path: (_ for _ in ()).throw(UserError("damaged")))
    with pytest.raises(UserError, match="damaged"):
        read_run(whole)


# One writer


def test_a_second_writer_is_refused_until_the_first_has_ended(whole, pair, tmp_path):
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
    assert untimed(tmp_path / "merged") == untimed(whole)
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
def test_where_there_are_no_locks_it_works_without(whole, pair, tmp_path, monkeypatch, number):
    def none(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    assert untimed(tmp_path / "run") == untimed(whole)
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
def test_something_else_in_place_of_the_lock_is_refused(whole, tmp_path, make):
    folder = damage.copied(whole, tmp_path / "run")
    make(folder / ".lock")
    assert said(certify("--resume", "--out", folder))


def test_a_lock_tells_nothing_that_it_was_not_told(tmp_path):
    (tmp_path / ".lock").write_text("\x1b[2Jprocess 1 on x")
    with (tmp_path / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"^another process is writing"):
            Lock(tmp_path)


# Leftovers


def test_what_killed_writers_left_is_removed_by_the_next_one(whole, pair, tmp_path, monkeypatch):
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
    assert untimed(folder) == untimed(whole)


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


def test_parts_that_a_kill_left_in_a_complete_run_are_removed(whole, tmp_path):
    folder = damage.copied(whole, tmp_path / "run")
    (folder / "parts").mkdir()
    (folder / "parts" / "radius0-images00000.npz").write_bytes(b"half")
    assert len(read_run(folder).certificates) == 54
    assert certify("--resume", "--out", folder).exit_code == 0
    assert not (folder / "parts").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.touch()])
def test_something_else_in_place_of_a_folder_of_the_run_is_not_waited_for(whole, pair, tmp_path, monkeypatch, make):
    folder = damage.copied(whole, tmp_path / "run")
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


# The older format


def test_a_complete_run_of_format_1_opens_and_is_brought_up_to_date(tmp_path):
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    old = read_run(folder)
    assert old.summary.format == 1 and len(old.certificates) == 8
    before = (folder / "certificates.jsonl").read_bytes(), (folder / "witnesses.npz").read_bytes()
    assert run("report", folder).exit_code == 0
    assert before == ((folder / "certificates.jsonl").read_bytes(), (folder / "witnesses.npz").read_bytes())
    assert certify("--resume", "--out", folder).exit_code == 0
    new = read_run(folder)
    assert new.summary.format == 2 and new.summary.scale == 0.3081 and new.summary.image_shape == (1, 28, 28)
    assert new.certificates == old.certificates and (folder / "certificates.jsonl").read_bytes() == before[0]
    assert new.summary.radii == old.summary.radii
    for name in ("image", "witness", "index", "eps", "empirical_agreement"):
        assert np.array_equal(new.witnesses[name], old.witnesses[name])


def test_an_unfinished_run_of_format_1_is_continued(tmp_path):
    folder = damage.copied(OLD / "interrupted", tmp_path / "run")
    old = certificates(folder)
    assert len(read_run(folder).certificates) == len(old) == 25
    with (folder / "certificates.jsonl").open("a") as file:
        file.write('{"index": 17, "lab')
    assert certify("--resume", "--out", folder).exit_code == 0
    found = read_run(folder)
    assert found.summary.state == "complete" and found.summary.format == 2 and len(found.certificates) == 54
    assert all(line in certificates(folder) for line in old)


def test_a_study_of_format_1_is_continued(tmp_path):
    folder = damage.copied(OLD / "study", tmp_path / "study")
    before = {path.name: json.loads(path.read_bytes()) for path in (folder / "searches").iterdir()}
    assert run("report", folder).exit_code == 0
    result = run("benchmark", "mnist", "--resume", "--out", folder)
    assert result.exit_code == 0, result.output
    after = {path.name: json.loads(path.read_bytes()) for path in (folder / "searches").iterdir()}
    assert set(after) == {*before, "plane.json"}
    assert all({**values, "digest": after[name]["digest"]} == after[name] for name, values in before.items())
    formats = [
        json.loads(path.read_bytes())["format"]
        for path in [folder / "study.json", *folder.glob("certify/*/summary.json")]
    ]
    assert formats == [2] * 5


# Counts, and what is asked


@pytest.mark.parametrize("shard", ["1/1", "1/2", "2/2"])
def test_a_complete_run_has_what_its_request_asks_for(pair, tmp_path, shard):
    assert certify(*pair, *ASKED, "--shard", shard, "--out", tmp_path / "run").exit_code == 0
    found = read_run(tmp_path / "run")
    assert len(found.certificates) == {"1/1": 54, "1/2": 50, "2/2": 4}[shard]
    files = json.loads((tmp_path / "run" / "summary.json").read_text())["files"]
    assert files["certificates.jsonl"]["lines"] == len(found.certificates)


def test_a_larger_gap_ends_the_command_with_3_and_nothing_hides_from_it(pair, tmp_path):
    asked = (*pair, "--eps", 0.01, "--images", 4, "--method", "interval", "--json")
    assert certify(*asked, "--fail-above", 1, "--out", tmp_path / "one").exit_code == 0
    worst = json.loads((tmp_path / "one" / "summary.json").read_text())["radii"][0]["faithub"]["max"]
    assert certify("--resume", "--out", tmp_path / "one", "--json", "--fail-above", worst).exit_code == 0
    assert certify("--resume", "--out", tmp_path / "one", "--json", "--fail-above", worst - 1e-9).exit_code == 3
    assert certify("--resume", "--out", tmp_path / "one", "--json", "--fail-above", "nan").exit_code == 3


def test_what_cannot_be_recorded_is_refused_before_it_is_proved(pair, tmp_path):
    name = os.fsdecode(b"teacher-\xff.safetensors")
    shutil.copy(pair[0], tmp_path / name)
    result = subprocess.run(
        command("certify", tmp_path / name, pair[1], *ASKED, "--out", tmp_path / "run"),
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert result.returncode == 1 and "UTF-8" in result.stderr and not (tmp_path / "run").exists()
    assert "finite" in said(certify(*pair, *ASKED, "--timeout", "inf", "--out", tmp_path / "run"))


def test_made_up_runs_hold_what_is_checked(tmp_path):
    folder = made_up_run(tmp_path / "run", [0.0, 0.5, 1.0], [1.0, 1.0, 1.0], (3, 5, 7), unit="normalised")
    assert [line.eps_pixel for line in read_run(folder).certificates] == [0.05] * 3
    assert re.search(r'"digest": "[0-9a-f]{64}"\n}\n$', (folder / "summary.json").read_text())
    assert errno.ENOLCK in locks.WITHOUT_LOCKS
