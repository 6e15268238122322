"""What is changed in a run folder or a study is noticed by `report` and by `--resume`, in one sentence, at once and in little memory.

With digests whatever is changed is noticed; without them, in folders of format 1 or where somebody made the digests anew, what cannot
be true is.
"""

import json
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pytest

from faithkd import UserError
from faithkd.runs import read_run
from faithkd.runs.records import Certificate, Radius, Summary
from faithkd.study import StudyFolder
from faithkd.study.certified import certified
from faithkd.study.records import Planes, Search, Study
from faithkd.study.results import results
from tests.faithkd import mutations_runs as damage
from tests.faithkd.running import ROOT, certify, run
from tests.faithkd.test_bad_inputs import said

OLD = ROOT / "tests" / "reference" / "format-1"
Lines = list[dict]


@pytest.fixture(scope="module")
def few(pair, tmp_path_factory) -> Path:
    """A finished run of 3 images at two radii, with every number that a run can have; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "few"
    asked = ("--eps", 0.01, "--eps", 0.02, "--images", 3, "--delta", 0.2, "--max-nodes", 5, "--timeout", 1000)
    assert certify(*pair, *asked, "--out", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A finished study of 2 images; to be read only."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    asked = ("--student", "fd", "--eps", 0.05, "--images", 2, "--timeout", 0.1)
    assert run("benchmark", "mnist", *asked, "--out", folder).exit_code == 0
    for path in ("figures", "report.html", "report.md", "report.json"):
        shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()
    return folder


def refused(folder: Path) -> str:
    """What `report` says; `--resume` refuses too, and nothing is written."""
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    with within(30):
        one = said(run("report", folder))
    with within(30):
        resume = ("benchmark", "mnist") if (folder / "searches").exists() else ("certify", "--no-report")
        said(run(*resume, "--resume", "--out", folder))
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    return one


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fails where the block waits."""

    def stop(number, frame):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def changed_text(path: Path, change: Callable[[dict], str]) -> None:
    path.write_text(change(json.loads(path.read_text())))


def another(value: object) -> str:
    """JSON of a value of the same kind that could stand there too."""
    if isinstance(value, bool) or value is None:
        return json.dumps(not value)
    if isinstance(value, int):
        return str(value + 1)
    if isinstance(value, float):
        return repr(value * 1.001 + 1e-4)
    return json.dumps(
        {**value, "more": 1} if isinstance(value, dict) else [*value, 1] if isinstance(value, list) else f"{value}x"
    )


def leaves_below(record: dict, name: str) -> list[tuple]:
    return [(name, *where) for where in damage.leaves(record[name])]


# Every field of every record


@pytest.mark.parametrize("name", [name for name in Summary.__struct_encode_fields__ if name != "digest"])
def test_another_value_anywhere_in_the_summary_is_noticed(few, tmp_path, name):
    values = json.loads((few / "summary.json").read_text())
    for place, where in enumerate(leaves_below(values, name)):
        folder = damage.copied(few, tmp_path / "run")
        old = values
        for step in where:
            old = old[step]
        (folder / "summary.json").write_text(damage.with_value(values, where, another(old), indent=2) + "\n")
        with pytest.raises(UserError):
            read_run(folder)
        if place == 0:
            assert "summary.json" in refused(folder)


@pytest.mark.parametrize("name", Certificate.__struct_encode_fields__)
def test_another_value_anywhere_in_a_certificate_is_noticed(few, tmp_path, name):
    for number in range(6):
        folder = damage.copied(few, tmp_path / "run")
        lines = (folder / "certificates.jsonl").read_text().splitlines()
        values = json.loads(lines[number])
        lines[number] = damage.with_value(values, (name,), another(values[name]))
        (folder / "certificates.jsonl").write_text("\n".join(lines) + "\n")
        with pytest.raises(UserError, match=r"certificates\.jsonl"):
            read_run(folder)
    assert "changed since the run ended" in refused(folder)


@pytest.mark.parametrize("name", ["index", "eps", "image", "witness", "teacher", "student", "empirical_agreement"])
def test_another_number_in_the_witnesses_is_noticed(few, tmp_path, name):
    folder = damage.copied(few, tmp_path / "run")
    with np.load(folder / "witnesses.npz") as stored:
        arrays = {key: stored[key].copy() for key in stored.files}
    flat = arrays[name].reshape(-1)
    flat[len(flat) // 2] = not flat[len(flat) // 2]
    np.savez_compressed(folder / "witnesses.npz", **arrays)
    assert "witnesses.npz was changed" in refused(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "kind"),
    [("study.json", Study), ("searches/fd-cut.json", Search), ("searches/teacher-whole.json", Search), ("searches/plane.json", Planes)],
)  # fmt: skip
def test_another_value_anywhere_in_a_study_is_noticed(study, tmp_path, file, kind):
    values = json.loads((study / file).read_text())
    folder = damage.copied(study, tmp_path / "study")
    for name in values:
        places = leaves_below(values, name)
        for where in [places[0], places[len(places) // 2], places[-1]]:
            old = values
            for step in where:
                old = old[step]
            (folder / file).write_text(
                damage.with_value(values, where, another(old), 2 if kind is Study else None) + "\n"
            )
            with pytest.raises(UserError, match=Path(file).name.replace(".", r"\.")):
                found = StudyFolder.open(folder)
                results(found, certified(found))
    refused(folder)


# Every file


@pytest.mark.slow
@pytest.mark.parametrize("file", ["summary.json", "certificates.jsonl", "witnesses.npz"])
@pytest.mark.parametrize("kind", damage.REPLACEMENTS)
def test_what_is_no_file_of_a_run_is_refused_at_once(few, tmp_path, file, kind):
    folder = damage.copied(few, tmp_path / "run")
    damage.REPLACEMENTS[kind](folder / file)
    tracemalloc.start()
    refused(folder)
    # The pages of the command line, torch and matplotlib have their own needs.
    assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "file", ["study.json", "searches/fd-cut.json", "searches/plane.json", "certify/fd-cut/summary.json"]
)
@pytest.mark.parametrize("kind", [kind for kind in damage.REPLACEMENTS if kind != "nothing"])
def test_what_is_no_file_of_a_study_is_refused_at_once(study, tmp_path, file, kind):
    folder = damage.copied(study, tmp_path / "study")
    damage.REPLACEMENTS[kind](folder / file)
    if (folder / file).is_symlink() and not (folder / file).exists():
        pytest.skip("a link that leads nowhere is no record: its work is done again")
    refused(folder)


@pytest.mark.parametrize("file", ["summary.json", "certificates.jsonl", "witnesses.npz"])
def test_a_file_that_is_cut_or_has_other_bits_is_refused(few, tmp_path, file):
    random = Random(file)
    content = (few / file).read_bytes()
    folder = damage.copied(few, tmp_path / "run")
    for k in range(200):
        bad = bytearray(content[: random.randrange(len(content))] if k % 2 else content)
        if k % 2 == 0:
            bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        (folder / file).write_bytes(bad)
        with pytest.raises(UserError, match=file.replace(".", r"\.")):
            read_run(folder)
    refused(folder)


def test_a_run_without_its_digests_is_refused(few, tmp_path):
    without: dict[str, Callable[[dict], object]] = {
        "digest": lambda values: values.pop("digest"),
        "files": lambda values: values.pop("files"),
        "both": lambda values: (values.pop("digest"), values.pop("files")),
        "an older format": lambda values: values.update(format=1),
        "an older format, without the digest": lambda values: (values.update(format=1), values.pop("digest")),
        "running": lambda values: values.update(state="running"),
        "another format": lambda values: values.update(format=3),
    }
    for change in without.values():
        folder = damage.copied(few, tmp_path / "run")
        values = json.loads((folder / "summary.json").read_text())
        change(values)
        (folder / "summary.json").write_text(json.dumps(values, indent=2) + "\n")
        assert "summary.json" in refused(folder)


# What cannot be true


def first(lines: Lines, **values: object) -> Lines:
    return [lines[0] | values, *lines[1:]]


UNTRUE: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "FAITHUB below 0": (lambda lines: first(lines, faithub=-5), "faithub"),
    "FAITHUB above 1": (lambda lines: first(lines, faithub=1.5), "faithub"),
    "bounds swapped": (lambda lines: first(lines, emplb=lines[0]["faithub"], faithub=lines[0]["emplb"]), "no interval"),
    "EMPLB above FAITHUB": (lambda lines: first(lines, emplb=lines[0]["faithub"] + 1e-3), "no interval"),
    "EMPLB that no witness attains": (lambda lines: first(lines, emplb=lines[0]["faithub"]), "does not attain"),
    "FAITHUB above the root": (lambda lines: first(lines, faithub=0.9, status="node-limit"), "before branching"),
    "root above 1": (lambda lines: first(lines, root=1.1), "root"),
    "a sign of 0": (lambda lines: first(lines, sign=0), "sign"),
    "a class that there is not": (lambda lines: first(lines, **{"class": 10}), "class"),
    "a decision that there is not": (lambda lines: first(lines, teacher_class=10, agreement="undecided"), "class"),
    "another decision": (lambda lines: first(lines, student_class=(lines[0]["student_class"] + 1) % 10, agreement="undecided"),
                         "largest confidences"),
    "a label that there is not": (lambda lines: first(lines, label=10), "class"),
    "certified with two decisions": (
        lambda lines: first(lines, student_class=(lines[0]["student_class"] + 1) % 10, agreement="certified"), "two decisions"),
    "closed with a gap": (lambda lines: [line | {"status": "closed"} for line in lines], "closed with a gap"),
    "another method": (lambda lines: [line | {"method": "lp"} for line in lines], "method"),
    "another unit": (lambda lines: [line | {"unit": "pixel"} for line in lines], "unit"),
    "another radius": (lambda lines: first(lines, eps=0.07), "radius"),
    "another radius in pixels": (lambda lines: first(lines, eps_pixel=lines[0]["eps_pixel"] * 1.01), "pixels"),
    "an unknown status": (lambda lines: first(lines, status="<b>done</b>"), "status"),
    "an unknown agreement": (lambda lines: first(lines, agreement="<script>"), "agreement"),
    "an unknown proof": (lambda lines: first(lines, proof="trust"), "proof"),
    "a label that is a text": (lambda lines: first(lines, label="<img src=x onerror=alert(1)>"), "label"),
    "negative nodes": (lambda lines: first(lines, nodes=-1), "nodes"),
    "negative time": (lambda lines: first(lines, seconds=-1.0), "seconds"),
    "a name missing": (lambda lines: [{k: v for k, v in line.items() if k != "proof"} for line in lines], "proof"),
    "a name too many": (lambda lines: first(lines, more=1), "more"),
    "a line twice": (lambda lines: [lines[0], *lines], "more lines"),
    "a line in place of another": (lambda lines: [lines[0], lines[0], *lines[2:]], "two certificates"),
    "two lines missing": (lambda lines: lines[2:], "asks for 8"),
    "lines in another order": (lambda lines: [lines[1], lines[0], *lines[2:]], "by radius and index"),
    "radii in another order": (lambda lines: lines[4:] + lines[:4], "by radius and index"),
    "another index": (lambda lines: first(lines, index=lines[0]["index"] + 1), "same images"),
    "an index in both": (lambda lines: [line | {"index": line["index"] + (line["index"] == lines[0]["index"])} for line in lines],
                         "another's"),
    "nothing": (lambda lines: [], "asks for 8"),
}  # fmt: skip


def complete(place: Path, form: int) -> Path:
    """A finished run in the older format (1) or this one."""
    folder = damage.copied(OLD / "complete", place / "run")
    if form == 2:
        assert certify("--resume", "--out", folder).exit_code == 0
    assert read_run(folder).summary.format == form
    return folder


@pytest.mark.parametrize("case", UNTRUE)
@pytest.mark.parametrize("form", [1, 2])
def test_certificates_that_cannot_be_true_are_refused_without_a_digest(tmp_path, form, case):
    change, words = UNTRUE[case]
    folder = complete(tmp_path, form)
    path = folder / "certificates.jsonl"
    lines = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if form == 2:
        damage.reseal(folder)
    assert words in refused(folder)


@pytest.mark.parametrize(
    "text", ["NaN", "1e400", "-Infinity", "9" * 5000, "[" * 900 + "]" * 900, '"\\ud800"', "null", "nul"]
)
@pytest.mark.parametrize("name", ["faithub", "index"])
def test_what_is_no_number_is_refused(tmp_path, name, text):
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    path = folder / "certificates.jsonl"
    lines = path.read_text().splitlines()
    lines[3] = damage.with_value(json.loads(lines[3]), (name,), text)
    path.write_text("\n".join(lines) + "\n")
    assert "line 4 " in refused(folder).lower()
    result = certify("--resume", "--out", folder, "--fail-above", 0.9)
    assert result.exit_code == 1, "a number that is none must not pass for a small one"


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict], dict]:
    return lambda arrays: {**arrays, name: change(arrays[name].copy())}


def set_to(value: float, row: int = 2) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values.reshape(len(values), -1)[row, 5] = value
        return values

    return change


FALSE_WITNESSES: dict[str, tuple[Callable[[dict], dict], str]] = {
    "outside the radius": (replaced("witness", lambda x: x + np.float32(0.1)), "outside the radius"),
    "outside the valid range": (lambda a: {**a, "witness": a["image"] - np.float32(1e-4)}, "outside the valid range"),
    "of another image": (replaced("witness", lambda x: np.roll(x, 1, axis=0)), "outside the radius"),
    "not a number": (replaced("witness", set_to(np.nan)), "outside"),
    "infinite": (replaced("image", set_to(np.inf)), "outside"),
    "confidences that are none": (replaced("teacher", lambda x: x * np.float32(0.9)), "confidences are none"),
    "confidences below 0": (replaced("student", lambda x: -x), "confidences are none"),
    "confidences not a number": (replaced("student", set_to(np.nan)), "confidences are none"),
    "the image's confidences": (replaced("teacher", lambda x: x[:, [0, 0]]), "does not attain"),
    "other classes": (replaced("teacher", lambda x: x[..., :9]), "one shape"),
    "rows in another order": (lambda a: {name: values[::-1] for name, values in a.items()}, "another's"),
    "rows missing": (lambda a: {name: values[:-1] for name, values in a.items()}, "8 certificates"),
    "an array missing": (lambda a: {name: values for name, values in a.items() if name != "eps"}, "must hold the arrays"),
    "an array more": (lambda a: {**a, "more": a["eps"]}, "must hold the arrays"),
    "another type": (replaced("image", lambda x: x.astype(np.int32)), "type f4"),
    "objects": (replaced("eps", lambda x: x.astype(object)), "type f8"),
    "another shape": (replaced("image", lambda x: x.reshape(len(x), -1)), "one shape"),
    "other rows": (replaced("index", lambda x: x[:-1]), "one row"),
    "neither true nor false": (replaced("empirical_agreement", lambda x: (x.view(np.uint8) * 3).view(np.bool_)), "neither true nor"),
    "other agreement": (replaced("empirical_agreement", lambda x: ~x), "statistics"),
}  # fmt: skip


@pytest.mark.parametrize("case", FALSE_WITNESSES)
@pytest.mark.parametrize("form", [1, 2])
def test_witnesses_that_cannot_be_true_are_refused_without_a_digest(tmp_path, form, case):
    change, words = FALSE_WITNESSES[case]
    folder = complete(tmp_path, form)
    with np.load(folder / "witnesses.npz") as stored:
        arrays = change({name: stored[name] for name in stored.files})
    np.savez_compressed(folder / "witnesses.npz", **arrays)
    if form == 2:
        damage.reseal(folder)
    assert words in refused(folder)


@pytest.mark.slow
def test_witnesses_that_another_run_could_have_are_refused_where_the_networks_are(tmp_path):
    """`report` has no networks; `--resume` has, and the images too."""
    changes: dict[str, Callable[[dict], dict]] = {
        "confidences of its student": lambda a: {**a, "student": a["student"][:, :, ::-1].copy()},
        "images are others": lambda a: {**a, "image": a["witness"].copy()},
    }
    for words, change in changes.items():
        folder = damage.copied(OLD / "complete", tmp_path / "run")
        with np.load(folder / "witnesses.npz") as stored:
            arrays = change({name: stored[name] for name in stored.files})
        np.savez_compressed(folder / "witnesses.npz", **arrays)
        result = certify("--resume", "--out", folder)
        assert words in said(result) or "largest confidences" in said(result) or "attain" in said(result)
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    path = folder / "certificates.jsonl"
    path.write_text(
        "".join(json.dumps(json.loads(line) | {"label": 1}) + "\n" for line in path.read_text().splitlines())
    )
    assert run("report", folder).exit_code == 0
    assert "labels are others" in said(certify("--resume", "--out", folder))


@pytest.mark.parametrize("name", Radius.__struct_encode_fields__)
def test_statistics_that_do_not_follow_are_refused_without_a_digest(tmp_path, name):
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    values = json.loads((folder / "summary.json").read_text())
    for where in leaves_below(values["radii"][1], name):
        old = values["radii"][1]
        for step in where:
            old = old[step]
        changed = damage.with_value(values, ("radii", 1, *where), another(old), indent=2)
        (folder / "summary.json").write_text(changed)
        with pytest.raises(UserError, match=r"summary\.json"):
            read_run(folder)


REQUESTS: dict[str, tuple[dict, str]] = {
    "no images": ({"images": 0}, "--images"),
    "more images": ({"images": 5}, "asks for 10"),
    "images beyond number": ({"images": 10**18}, "--images"),
    "a shard": ({"shard": "1/1000000000000"}, "--shard"),
    "a text in place of a number": ({"gap": "small"}, "gap"),
    "a negative radius": ({"eps": [-0.1, 0.1]}, "radius"),
    "no radii": ({"eps": []}, "radius"),
    "the same radius twice": ({"eps": [0.1, 0.1]}, "radius"),
    "a list in place of a text": ({"teacher": ["mnist-teacher"]}, "teacher"),
    "an unknown option": ({"<b>": 1}, "unknown option"),
    "another delta": ({"delta": None}, "closed with a gap"),
    "another gap": ({"gap": 0.0, "delta": None}, "closed with a gap"),
    "two limits": ({"timeout": [1.0]}, "timeout"),
    "images by their index": ({"index": [1, 2, 3, 4]}, "not asked for"),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_the_certificates_do_not_answer_is_refused_without_a_digest(tmp_path, case):
    asked, words = REQUESTS[case]
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    values = json.loads((folder / "summary.json").read_text())
    values["request"] |= asked
    (folder / "summary.json").write_text(json.dumps(values))
    assert words in refused(folder)


@pytest.mark.slow
def test_more_may_be_said_of_the_machine(tmp_path):
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    values = json.loads((folder / "summary.json").read_text())
    values["environment"] |= {"loops": "compiled", "more": {"x": [1, None]}}
    (folder / "summary.json").write_text(json.dumps(values))
    assert run("report", folder).exit_code == 0
    assert certify("--resume", "--out", folder).exit_code == 0
    assert json.loads((folder / "summary.json").read_text())["environment"] == values["environment"]
    for wrong in ({"cores": "many"}, {"versions": ["1"]}, {"hardware": None}):
        values["environment"] |= wrong
        (folder / "summary.json").write_text(json.dumps(values))
        assert "environment" in said(run("report", folder))


def test_a_run_of_another_request_in_a_study_is_refused(study, tmp_path):
    folder = damage.copied(study, tmp_path / "study")
    (folder / "certify" / "fd-cut").rename(folder / "certify" / "other")
    (folder / "certify" / "fd-whole").rename(folder / "certify" / "fd-cut")
    (folder / "certify" / "other").rename(folder / "certify" / "fd-whole")
    assert "does not answer what the study asks" in refused(folder)


# By chance


@pytest.mark.slow
@pytest.mark.parametrize("resealed", [False, True], ids=["with digests", "with digests made anew"])
@pytest.mark.parametrize("what", ["run", "study", "run of format 1", "unfinished run of format 1"])
def test_random_damage_is_one_sentence_or_none_at_all(few, study, tmp_path, what, resealed):
    source = {"run": few, "study": study, "run of format 1": OLD / "complete",
              "unfinished run of format 1": OLD / "interrupted"}[what]  # fmt: skip
    old = what.endswith("format 1")
    if old and resealed:
        pytest.skip("there are no digests in it")
    before = {path.relative_to(source): path.read_bytes() for path in damage.files_of(source)}
    for seed in range(120):
        folder, random = damage.copied(source, tmp_path / "folder"), Random(seed)
        damage.mutations(folder, random)
        if resealed:
            try:
                damage.reseal(folder)
            except (OSError, ValueError, AttributeError, KeyError, RecursionError):
                continue
        with within(30):
            try:
                read(folder)
            except UserError as error:
                assert "\n" not in str(error) and "\x1b" not in str(error) and len(str(error)) < 1500
                continue
        if not resealed and not old:
            # A record of a study that is not there is made again.
            left = {name: content for name, content in before.items() if (folder / name).exists()}
            assert len(left) == len(before) or what == "study"
            assert all((folder / name).read_bytes() == content for name, content in left.items()), seed


def read(folder: Path) -> None:
    """Everything that is read of a folder for its page."""
    if (folder / "searches").exists():
        found = StudyFolder.open(folder)
        results(found, certified(found))
    else:
        read_run(folder)
