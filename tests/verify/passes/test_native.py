"""The compiled kernels against the tensor code, and how they are found and done without."""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
import torch

import verify
from tests.support import confidences_difference, random_network, samples
from tests.verify.problems import KERNELS, every_query, problem_of
from verify import Region
from verify.joint.bound import JointBound
from verify.joint.tightening import Tightening
from verify.measures.subproblem import Subproblems
from verify.passes.native import library as native
from verify.passes.native.search import Kernel
from verify.passes.optimise import Schedule

SHAPES = [
    ([6, 5, 4], [6, 9, 7, 4]), ([5, 8, 7, 6, 2], [5, 2]), ([7, 17, 16, 10], [7, 6, 5, 10]), ([300, 20, 9, 5], [300, 12, 8, 8, 5]),
]  # fmt: skip

if native.library() is None:
    pytest.skip(str(native.missing()), allow_module_level=True)


def engines(
    shapes: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> tuple[JointBound, JointBound, Subproblems]:
    """The same bound with its kernels and without, and all queries of three images."""
    teacher, student = random_network(shapes[0], 1, 1.5), random_network(shapes[1], 2, 1.5)
    images = torch.rand((3, shapes[0][0]), generator=torch.Generator().manual_seed(0))
    problem = problem_of(teacher, student, Region.ball(images, 0.1))
    fast = JointBound(problem)
    rows = every_query(fast)
    with monkeypatch.context() as patch:
        for name in KERNELS:
            patch.setattr(name, lambda: None)
        slow = JointBound(problem)
    return fast, slow, rows


@pytest.mark.parametrize("shapes", SHAPES)
def test_one_pass_agrees_with_the_tensor_code(
    shapes: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, slow, rows = engines(shapes, monkeypatch)
    one, other = (joint.search(rows, *joint.start(rows), Schedule(steps=0)) for joint in (fast, slow))
    for name in ("value", "hidden", "outputs", "corner", "numbers", "free"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=2e-4, atol=2e-4, msg=name)
    for mine, theirs in zip(one.results, other.results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-4, atol=2e-4)
    torch.testing.assert_close(
        fast.glance(rows, one.numbers, one.free), slow.glance(rows, one.numbers, one.free), rtol=2e-4, atol=2e-4
    )


@pytest.mark.parametrize("shapes", SHAPES)
def test_a_search_finds_the_same_bounds(shapes: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow, rows = engines(shapes, monkeypatch)
    start = slow.search(rows, *slow.start(rows), Schedule(steps=0)).value
    found = [joint.search(rows, *joint.start(rows), Schedule(steps=25)) for joint in (fast, slow)]
    # The steps are the same until rounding lets a coefficient change its sign on one side first.
    gains = [float((start - end.value).mean()) for end in found]
    assert gains[0] == pytest.approx(gains[1], rel=0.02)
    proved = [slow.engine.prove(slow.task(rows), end.numbers, end.free).float() for end in found]
    assert (proved[0] <= found[0].value + 1e-3).all(), "the kernel claims a bound that its numbers do not give"


@pytest.mark.parametrize("shapes", SHAPES)
def test_a_proof_is_the_same_but_for_rounding(
    shapes: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, slow, rows = engines(shapes, monkeypatch)
    found = fast.search(rows, *fast.start(rows), Schedule(steps=10))
    one, other = (joint.engine.prove(joint.task(rows), found.numbers, found.free) for joint in (fast, slow))
    assert not torch.equal(one, other), "both ran the same code"
    torch.testing.assert_close(one, other, rtol=0, atol=1e-11)
    below = fast.cut(rows, found.numbers, found.free).largest()
    torch.testing.assert_close(one, below, rtol=0, atol=1e-8)


@pytest.mark.parametrize("known", [torch.nan, torch.inf])
def test_a_proof_from_unknown_bounds_is_infinite(known: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for joint in engines(SHAPES[0], monkeypatch)[:2]:
        rows = every_query(joint)
        numbers, free = joint.start(rows)
        rows.upper[:, 0], rows.lower[:, 0] = known, -known
        assert (joint.engine.prove(joint.task(rows), numbers, free) == torch.inf).all()


@pytest.mark.parametrize("shapes", SHAPES)
def test_boxes_are_cut_alike(shapes: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow, rows = engines(shapes, monkeypatch)
    found = fast.search(rows, *fast.start(rows), Schedule(steps=10))
    cut = fast.cut(rows, found.numbers, found.free)
    level = cut.largest() - 0.1
    one = Tightening(fast)(rows, cut, level)
    with monkeypatch.context() as patch:
        for name in KERNELS:
            patch.setattr(name, lambda: None)
        other = Tightening(slow)(rows, cut, level)
    before = rows.upper - rows.lower
    # The tensor code leaves out gains below half a per cent of a box, and both estimate where the best multiplier is.
    for mine, theirs in ((one.upper, other.upper), (-one.lower, -other.lower)):
        assert ((mine - theirs).abs() <= 0.05 * before + 1e-3).all()
    assert (one.upper - one.lower).mean() <= (other.upper - other.lower).mean() + 1e-4
    assert (before - (one.upper - one.lower)).max() > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_branch_and_bound_without_kernels(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KERNELS:
        monkeypatch.setattr(name, lambda: None)
    teacher, student = random_network([4, 7, 6, 5], seed, 1.5), random_network([4, 6, 6, 6, 5], seed + 50, 1.5)
    images = torch.rand((2, 4), generator=torch.Generator().manual_seed(seed))
    result = verify.faithfulness(teacher, student, images, 0.2, max_nodes=200)
    reached = confidences_difference(teacher, student, samples(Region.ball(images, 0.2), 2000)).amax(dim=1)
    assert (result.faithub >= reached).all()
    assert (result.nodes > 0).any()


@pytest.mark.parametrize("target", ["_baseline", "_avx2", "_avx512"])
def test_every_instruction_set_gives_the_same_bounds(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        path = native._path(target)
    except ImportError:
        pytest.skip("not built here")
    order = ["_baseline", "_avx2", "_avx512"]
    if order.index(target) > order.index(native._target()):
        pytest.skip("not for this processor")
    fast, _, rows = engines(SHAPES[0], monkeypatch)
    one = fast.search(rows, *fast.start(rows), Schedule(steps=0))
    cut = fast.cut(rows, one.numbers, one.free)
    narrowed = Tightening(fast)(rows, cut, cut.largest() - 0.1)
    for name in KERNELS:
        monkeypatch.setattr(name, lambda: ctypes.CDLL(path))
    other = fast.search(rows, *fast.start(rows), Schedule(steps=0))
    for name in ("value", "hidden", "outputs", "corner", "numbers", "free"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=2e-4, atol=2e-4, msg=name)
    theirs = Tightening(fast)(rows, cut, cut.largest() - 0.1)
    torch.testing.assert_close(narrowed.lower, theirs.lower, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(narrowed.upper, theirs.upper, rtol=1e-4, atol=1e-4)


def test_wide_heads_keep_every_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits that lie hundreds apart: the compiled head and the tensor code agree."""
    teacher, student = random_network([5, 6, 5], 1, 60.0), random_network([5, 7, 5], 2, 60.0)
    images = torch.rand((2, 5), generator=torch.Generator().manual_seed(0))
    problem = problem_of(teacher, student, Region.ball(images, 0.5))
    fast = JointBound(problem)
    rows = every_query(fast)
    assert (rows.upper - rows.lower).max() > 300
    with monkeypatch.context() as patch:
        for name in KERNELS:
            patch.setattr(name, lambda: None)
        slow = JointBound(problem)
    one, other = (joint.search(rows, *joint.start(rows), Schedule(steps=0)).value for joint in (fast, slow))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


Change = dict[str, Callable[[torch.Tensor], torch.Tensor]]
T = TypeVar("T")


def changed(given: T, change: Change) -> T:
    """The same with those of its fields changed that are named."""
    names = [field.name for field in fields(given) if field.name in change]
    return replace(given, **{name: change[name](getattr(given, name)) for name in names})


def ask_kernel(joint: JointBound, rows: Subproblems, change: Change, steps: int) -> torch.Tensor:
    """The bounds that the compiled search gives where what it is given has changed."""
    task, objective = changed(joint.task(rows), change), joint.measure.objective(rows, torch.float32)
    task, objective.compiled = replace(task, ground=changed(task.ground, change)), changed(objective.compiled, change)
    return Kernel(joint.engine.quick).search(task, objective, joint.start(rows), Schedule(steps=steps))[2]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"middle": lambda t: t.double()}, TypeError),
        ({"half": lambda t: t.double()}, TypeError),
        ({"middle": lambda t: t[:, 1:]}, TypeError),
        ({"label": lambda t: t.int()}, TypeError),
        ({"index": lambda t: t + 1000}, IndexError),
        ({"index": lambda t: t - 1000}, IndexError),
        ({"label": lambda t: t + 4}, IndexError),
        ({"sign": lambda t: t - 1}, IndexError),
        ({"lower": lambda t: t[:, :3], "upper": lambda t: t[:, :3]}, TypeError),
    ],
)
def test_nothing_wrong_reaches_a_kernel(
    change: Change, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, _, rows = engines(SHAPES[0], monkeypatch)
    with pytest.raises(error, match="a kernel"):
        ask_kernel(fast, rows, change, 1)


def test_a_kernel_reads_bounds_of_another_type_as_the_numbers_that_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, _, rows = engines(SHAPES[0], monkeypatch)
    given, double = (ask_kernel(fast, rows, change, 5) for change in ({}, {"lower": torch.Tensor.double}))
    assert torch.equal(given, double)


@pytest.mark.parametrize("change", [lambda s, f: (s.double(), f), lambda s, f: (s[:, 1:], f), lambda s, f: (s, f[:-1])])
def test_no_wrong_start_reaches_a_kernel(
    change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, _, rows = engines(SHAPES[0], monkeypatch)
    with pytest.raises(TypeError, match="a kernel takes"):
        fast.search(rows, *change(*fast.start(rows)), Schedule(steps=1))


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again what there is, now and after the test."""
    for known in (native.library, native.missing, native._target):
        known.cache_clear()
        monkeypatch.setattr(native, known.__name__, cache(known.__wrapped__))


def test_the_switch_turns_the_kernels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.missing() is None
    assert native.code().startswith("compiled for ")
    fresh(monkeypatch)
    monkeypatch.setenv("FAITHKD_NATIVE", "0")
    assert native.library() is None
    assert native.code() == "tensors"
    assert "FAITHKD_NATIVE=0" in str(native.missing())


def test_an_installation_without_a_compiler_has_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch)
    for name in ("_baseline", "_avx2", "_avx512"):
        monkeypatch.setitem(sys.modules, f"verify.passes.native.{name}", None)
    assert native.library() is None
    assert "not built" in str(native.missing())


def test_kernels_older_than_their_source_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch)
    copy = tmp_path / "_baseline.so"
    shutil.copyfile(native._path("_baseline"), copy)
    monkeypatch.setattr(native, "_path", lambda name: str(copy))
    assert native.missing() is None
    (tmp_path / "search.c").touch()
    os.utime(copy, (0, 0))
    native.missing.cache_clear()
    assert "older than their source" in str(native.missing())


def test_results_say_which_code_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, images = (random_network([3, 4, 3], 0), random_network([3, 4, 3], 1)), torch.rand((1, 3))
    assert verify.faithfulness(*pair, images, 0.1).code == native.code()
    fresh(monkeypatch)
    monkeypatch.setenv("FAITHKD_NATIVE", "0")
    assert verify.faithfulness(*pair, images, 0.1).code == "tensors"
