"""Run folders survive a kill at any moment, and interruptions: what was finished is not done again."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from faithkd import UserError
from faithkd.certification import Job
from faithkd.runs import RunFolder, read_run
from tests.faithkd import mutations_runs as damage
from tests.faithkd.four_parts import ASKED, OLD, interrupted_run
from tests.faithkd.running import certificates, certify, run, untimed
from tests.faithkd.test_bad_inputs import said


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


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_run_that_goes_on(four_parts, pair, moments, tmp_path):
    moments.watch(tmp_path / "run", tmp_path)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    copies = moments.stop()
    assert len(copies) > 25
    seen = set()
    for copy in copies.values():
        seen.add(len(in_readable_parts(copy)) if (copy / "summary.json").exists() else None)
        survives(copy, untimed(four_parts), pair, in_readable_parts)
    assert seen == {None, 0, 25, 27, 52, 54}


@pytest.mark.parametrize("cut", [1, 2, 40, 400, 2000])
def test_a_kill_in_the_middle_of_a_line(four_parts, pair, moments, tmp_path, cut):
    """What is torn is done again; what was whole before it is not."""
    moments.watch(tmp_path / "run", tmp_path)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 0
    running = [copy for copy in moments.stop().values() if (copy / "parts" / "radius1-images00000.npz").exists()]
    for copy in running[:: max(1, len(running) // 4)]:
        if json.loads((copy / "summary.json").read_text())["state"] != "running":
            continue
        torn = damage.copied(copy, tmp_path / "torn")
        tear(torn / "certificates.jsonl", cut)
        survives(torn, untimed(four_parts), pair, in_readable_parts)
        digests = [json.loads(line) for line in (copy / "parts" / "digests.jsonl").read_text().splitlines()]
        if sum(len(part["indices"]) for part in digests) > len(certificates(copy)):
            # The digests of a part are there before its certificates.
            torn = damage.copied(copy, tmp_path / "torn")
            tear(torn / "parts" / "digests.jsonl", min(cut, 200))
            survives(torn, untimed(four_parts), pair, in_readable_parts)


def tear(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_kill_while_an_interrupted_run_is_put_in_order(four_parts, pair, moments, tmp_path, monkeypatch):
    """A part whose witnesses were removed is dropped; the summary stated the digests of the files with it."""
    folder = interrupted_run(pair, tmp_path / "run", monkeypatch, 3)
    (folder / "parts" / "radius0-images00000.npz").unlink()
    moments.watch(folder, tmp_path)
    assert certify("--resume", "--out", folder).exit_code == 0
    for copy in list(moments.stop().values())[:12]:
        survives(copy, untimed(four_parts), pair, in_readable_parts)


def test_an_interruption_after_the_run_is_complete_changes_nothing(four_parts, pair, tmp_path, monkeypatch):
    tidy = RunFolder._tidy

    def interrupted(folder):
        tidy(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "_tidy", interrupted)
    assert certify(*pair, *ASKED, "--out", tmp_path / "run").exit_code == 130
    monkeypatch.undo()
    assert read_run(tmp_path / "run").summary.state == "complete"
    assert untimed(tmp_path / "run") == untimed(four_parts)


def test_a_run_that_was_interrupted_has_the_digests_of_its_files(four_parts, pair, tmp_path, monkeypatch):
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
    assert untimed(folder) == untimed(four_parts)


@pytest.mark.slow
def test_a_part_whose_witnesses_were_removed_is_done_again(four_parts, pair, tmp_path, monkeypatch):
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
    assert untimed(folder) == untimed(four_parts)


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


def test_a_folder_can_be_read_while_it_is_put_in_order(four_parts, monkeypatch):
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
    assert len(read_run(four_parts).certificates) == 54 and len(tries) == 3
    monkeypatch.setattr(reading, "_read_run", lambda path: (_ for _ in ()).throw(UserError("damaged")))
    with pytest.raises(UserError, match="damaged"):
        read_run(four_parts)
