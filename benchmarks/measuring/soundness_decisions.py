"""Certificates of agreement and of robustness on one input against the exact pieces of both networks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

import verify
from benchmarks.measuring.record import Row
from benchmarks.measuring.soundness_tally import Tally
from tests.oracle import adapters
from tests.oracle.cases import Case, single
from tests.oracle.confidences import logits_at
from tests.oracle.decisions import disagreement, other_decision
from tests.oracle.families import case
from tests.oracle.pieces import crossings, pieces


def decisions(family: str, first: int, count: int) -> Row:
    """Agreement and robustness on so many cases of one input, with a disagreement planted in some, and the search on and off."""
    tally = Tally()
    for seed in range(first, first + count):
        one = one_input(family, seed)
        images, _ = adapters.question(one)
        for search in (True, False):
            where = f"{family} {seed} {'search' if search else 'no search'}"
            _agreement(tally, one, search, where)
            decided = logits_at(one.teacher.exact(), [Fraction(value) for value in one.images[0].tolist()])
            label = torch.full((len(images),), int(np.argmax(decided)) if seed % 5 else seed % len(decided))
            _robustness(tally, one, label, search, where)
    return tally.row()


def one_input(family: str, seed: int) -> Case:
    """The first case of the family, from a seed of its own, that has one input; a third of them with a planted disagreement."""
    k = 0
    while (one := case(family, 10**6 + 1000 * seed + k)).images.shape[1] != 1:
        k += 1
    return planted(one, seed) if seed % 3 == 0 else one


def planted(one: Case, seed: int) -> Case:
    """The student is the teacher with one bias moved, so little that they decide differently only next to where logits cross."""
    low, high = one.box(0)[0]
    if low == high:
        return one
    places = [t for piece in pieces(one.teacher.exact(), low, high) for t in crossings(piece)]
    moved = [bias.copy() for bias in one.teacher.biases]
    size = max(1e-30, float(np.abs(one.teacher.biases[-1]).max()))
    moved[-1][seed % len(moved[-1])] += size * [1e-7, 1e-5, 1e-3][seed // 3 % 3]
    student = replace(one.teacher, biases=[single(bias) for bias in moved])
    if not places:
        return replace(one, student=student)
    middle = np.clip(float(places[0]), *(one.valid_range or (-np.inf, np.inf)))
    return replace(one, student=student, images=np.float32([[middle]]))


def _agreement(tally: Tally, one: Case, search: bool, where: str) -> None:
    images, eps = adapters.question(one)
    try:
        networks = adapters.network(one.teacher), adapters.network(one.student)
        found = verify.agreement(*networks, images, eps, valid_range=one.valid_range, search=search)
    except verify.Unsupported:
        tally.refuse("agreement")
        return
    except Exception as error:
        tally.crash("agreement", error, where)
        return
    teacher, student = one.teacher.exact(), one.student.exact()
    for k, status in enumerate(found.status):
        tally.count("agreement", status)
        if status == "certified":
            place = disagreement(teacher, student, *one.box(k)[0])
            tally.check(
                "agreement certified", place is None, f"{where} image {k}: different at {place and float(place)}"
            )
        if status == "refuted":
            point = [Fraction(value) for value in found.witness[k].tolist()]
            first, second = (winner(logits_at(network, point)) for network in (teacher, student))
            differ = None not in (first, second) and first != second and inside(point, one, k)
            tally.check("agreement refuted", differ, f"{where} image {k}: {first} and {second} at {float(point[0])}")


def _robustness(tally: Tally, one: Case, label: torch.Tensor, search: bool, where: str) -> None:
    images, eps = adapters.question(one)
    try:
        found = verify.robustness(
            adapters.network(one.teacher), images, label, eps, valid_range=one.valid_range, search=search
        )
    except verify.Unsupported:
        tally.refuse("robustness")
        return
    except Exception as error:
        tally.crash("robustness", error, where)
        return
    exact = one.teacher.exact()
    for k, status in enumerate(found.status):
        tally.count("robustness", status)
        if status == "certified":
            place = other_decision(exact, int(label[k]), *one.box(k)[0])
            tally.check(
                "robustness certified", place is None, f"{where} image {k}: another class at {place and float(place)}"
            )
        if status == "refuted":
            point = [Fraction(value) for value in found.witness[k].tolist()]
            other = winner(logits_at(exact, point))
            holds = other is not None and other != int(label[k]) and inside(point, one, k)
            tally.check("robustness refuted", holds, f"{where} image {k}: {other} at {float(point[0])}")


def winner(logits: list[Fraction]) -> int | None:
    """The class with the largest logit, None where several share it."""
    top = max(logits)
    return logits.index(top) if logits.count(top) == 1 else None


def inside(point: list[Fraction], one: Case, image: int) -> bool:
    """Is a point in the exact region of an image."""
    return all(low <= value <= high for value, (low, high) in zip(point, one.box(image), strict=True))
