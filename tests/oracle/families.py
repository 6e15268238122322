"""Families of pairs, each with what has broken bounds, or might: `case(family, seed)` makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from tests.oracle.cases import (
    Case,
    Source,
    Weights,
    few_inputs,
    radius,
    random_images,
    random_network,
    random_sizes,
    single,
)


def case(family: str, seed: int) -> Case:
    """One case of a family of FAMILIES, the same for the same seed."""
    return FAMILIES[family](np.random.default_rng([seed, *family.encode()]))


def ordinary(source: Source) -> Case:
    """Unequal depths and widths, two to ten classes."""
    inputs, classes = few_inputs(source), int(source.integers(2, 11))
    scale = float(source.choice([0.5, 1.0, 2.0, 4.0]))
    teacher, student = (random_network(source, random_sizes(source, inputs, classes, (0, 4)), scale) for _ in range(2))
    return Case(teacher, student, random_images(source, inputs, int(source.integers(1, 4))), radius(source))


def scaled(source: Source) -> Case:
    """Layers of sizes from 1e-30 to 1e30, whose product is often of the size of one."""
    inputs, classes = few_inputs(source), int(source.integers(2, 6))
    networks = []
    for _ in range(2):
        network = random_network(source, random_sizes(source, inputs, classes, (1, 3)), 2.0)
        powers = source.uniform(-30, 30, len(network.biases))
        powers[-1] = source.uniform(-2, 3) - powers[:-1].sum() if source.random() < 0.7 else powers[-1]
        sizes = 10.0 ** np.clip(powers, -37, 37)
        reached = np.cumprod(np.clip(sizes, 1e-300, 1e300))
        networks.append(
            Weights(
                [single(w * s) for w, s in zip(network.weights, sizes, strict=True)],
                [single(b * s) for b, s in zip(network.biases, reached, strict=True)],
            )
        )
    return Case(networks[0], networks[1], random_images(source, inputs), radius(source))


def subnormal(source: Source) -> Case:
    """Weights that are subnormal as float32 numbers, and large ones after them."""
    inputs, classes = few_inputs(source), int(source.integers(2, 5))
    networks = []
    for _ in range(2):
        network = random_network(source, random_sizes(source, inputs, classes, (1, 3)), 1.0)
        weights, biases = list(network.weights), list(network.biases)
        small = 10.0 ** source.uniform(-45, -37)
        weights[0], biases[0] = single(weights[0] * small), single(biases[0] * small)
        weights[1] = single(weights[1] * min(1 / small, 3e38))
        if len(weights) > 2 and small < 1e-39:
            weights[-1] = single(weights[-1] * 10.0 ** source.uniform(0, 6))
        networks.append(Weights(weights, biases))
    return Case(networks[0], networks[1], random_images(source, inputs), radius(source))


def wild(source: Source) -> Case:
    """Every number of a size of its own, from 1e-30 to 1e30."""
    inputs, classes = few_inputs(source), int(source.integers(2, 5))
    reach = float(source.choice([8.0, 15.0, 30.0]))

    def numbers(shape: tuple[int, ...]) -> np.ndarray:
        return single(
            source.choice([-1, 1], shape) * source.uniform(1, 10, shape) * 10.0 ** source.uniform(-reach, reach, shape)
        )

    networks = []
    for _ in range(2):
        sizes = random_sizes(source, inputs, classes, (0, 2), (1, 5))
        pairs = list(pairwise(sizes))
        networks.append(Weights([numbers((b, a)) for a, b in pairs], [numbers((b,)) for _, b in pairs]))
    images = random_images(source, inputs)
    if source.random() < 0.8:
        networks = [balanced(source, network, images[0]) for network in networks]
    return Case(networks[0], networks[1], images, radius(source))


def cancelling(source: Source) -> Case:
    """Large terms that cancel exactly or nearly: every neuron beside a copy that the next layer subtracts."""
    inputs, classes = few_inputs(source), int(source.integers(2, 6))
    networks = []
    for _ in range(2):
        core = random_network(source, random_sizes(source, inputs, classes, (1, 2), (1, 4)), 1.0)
        weights, biases = [w.copy() for w in core.weights], [b.copy() for b in core.biases]
        for k in range(len(biases) - 1):
            big = 10.0 ** source.uniform(2, 9)
            near = 1 + source.choice([0.0, 2.0**-22, 2.0**-12])
            extra, offset = (
                single(source.standard_normal((1, weights[k].shape[1])) * big),
                single([abs(source.standard_normal()) * big]),
            )
            weights[k] = np.concatenate((weights[k], extra, extra))
            biases[k] = np.concatenate((biases[k], offset, offset))
            column = single(source.standard_normal((len(biases[k + 1]), 1)))
            weights[k + 1] = np.concatenate((weights[k + 1], column, single(-column * near)), axis=1)
        networks.append(Weights(weights, biases))
    return Case(networks[0], networks[1], random_images(source, inputs), radius(source))


def ties(source: Source) -> Case:
    """Equal logits everywhere, at the image, or where all hidden neurons are off."""
    inputs, classes = few_inputs(source), int(source.integers(2, 6))
    teacher = random_network(source, random_sizes(source, inputs, classes, (0, 2)), 1.0)
    kind = source.integers(4)
    if kind == 0:
        teacher.weights[-1][1], teacher.biases[-1][1] = teacher.weights[-1][0], teacher.biases[-1][0]
    elif kind == 1:
        teacher.biases[-1][:] = 0
        for bias in teacher.biases[:-1]:
            bias[:] = -10.0
    elif kind == 2:
        teacher.weights[-1][:] = 0
        teacher.biases[-1][:] = 1.5
    images = random_images(source, inputs)
    if kind == 3:
        slope = single(source.standard_normal((1, inputs)) * 4)
        teacher = Weights([single(np.concatenate((slope, -slope)))], [single([0, 0])])
        images[:] = 0
        return Case(teacher, _near(source, teacher), images, radius(source))
    student = (
        _near(source, teacher)
        if source.random() < 0.5
        else random_network(source, [inputs, 4, len(teacher.biases[-1])], 1.0)
    )
    return Case(teacher, student, images, radius(source))


def dead(source: Source) -> Case:
    """Hidden neurons that are off on all or nearly all of the region, whole layers of them sometimes."""
    found = ordinary(source)
    for network in (found.teacher, found.student):
        for bias in network.biases[:-1]:
            bias[source.random(len(bias)) < source.choice([0.5, 1.0])] -= np.float32(source.choice([0.5, 2.0, 100.0]))
            bias[:] = single(bias)
    return found


def active(source: Source) -> Case:
    """Hidden neurons that are always on: both networks are affine."""
    found = ordinary(source)
    for network in (found.teacher, found.student):
        for bias in network.biases[:-1]:
            bias[:] = single(bias + source.choice([3.0, 50.0, 1e4]))
    networks = [balanced(source, network, found.images[0]) for network in (found.teacher, found.student)]
    return replace(found, teacher=networks[0], student=networks[1])


def saturated(source: Source) -> Case:
    """Logits that range up to 1e4: confidences of 0 and 1 nearly everywhere."""
    found = ordinary(source)
    student = found.student if source.random() < 0.4 else _near(source, found.teacher)
    factor = 10.0 ** source.uniform(0.5, 4)
    for network in (found.teacher, student):
        network.weights[-1][:] = single(network.weights[-1] * factor)
        network.biases[-1][:] = single(network.biases[-1] * factor)
    return replace(found, student=student)


def copies(source: Source) -> Case:
    """The student is the teacher, or nearly."""
    found = ordinary(source)
    student = _near(source, found.teacher)
    return (
        replace(found, student=student)
        if source.random() < 0.5
        else replace(found, teacher=student, student=found.teacher)
    )


def classes(source: Source) -> Case:
    """Two to fifty classes, nine and ten and eleven more often than others."""
    inputs, count = few_inputs(source), int(source.choice([2, 9, 10, 11, 12, 25, 50]))
    scale = float(source.choice([0.5, 2.0, 8.0]))
    teacher, student = (
        random_network(source, random_sizes(source, inputs, count, (0, 1), (1, 6)), scale) for _ in range(2)
    )
    return Case(teacher, student, random_images(source, inputs), radius(source))


def wide(source: Source) -> Case:
    """One hidden layer of up to 20,000 neurons in one of the networks, one neuron in the other."""
    inputs, count = int(source.integers(1, 3)), int(source.choice([2, 3]))
    width = int(source.choice([1, 500, 3000, 20000], p=[0.3, 0.4, 0.2, 0.1]))
    networks = [random_network(source, [inputs, width, count], 1.0), random_network(source, [inputs, 1, count], 1.0)]
    if source.random() < 0.3:
        size = 2.0 ** source.integers(10, 40)
        networks[1].biases[0][:] = single(size)
        networks[0].weights[1][:] = single(networks[0].weights[1] * 1e-3)
    if source.random() < 0.5:
        networks.reverse()
    return Case(networks[0], networks[1], random_images(source, inputs), float(source.choice([0.001, 0.05])))


def stacked(source: Source) -> Case:
    """Thousands of terms, each smaller than a unit in the last place of two terms of the other network that cancel."""
    width, beside, count = int(source.choice([4096, 20000, 32768])), int(source.choice([2, 9, 17, 40])), 2
    exponent = int(source.integers(38, 42))
    small = source.uniform(0.1, 0.5) * 2.0 ** (exponent - 52)
    many = random_network(source, [1, width, count], 0.05)
    many.biases[0][:] = 1.0
    many.weights[1][:] = single(np.outer([0.0, 1.0], np.full(width, small)))
    many.biases[1][:] = single([0.0, source.uniform(-1, 1) - small * width])
    few = random_network(source, [1, beside, count], 0.05)
    few.weights[0][[0, -1]] = 0
    few.biases[0][[0, -1]] = 2.0**exponent
    few.weights[1][:, [0, -1]] = [[0.0, 0.0], [1.0, -1.0]]
    networks = [few, many] if source.random() < 0.7 else [many, few]
    return Case(networks[0], networks[1], random_images(source, 1), float(source.choice([0.001, 0.1])))


def deep(source: Source) -> Case:
    """Five to eight layers of two to six neurons."""
    inputs, count = few_inputs(source), int(source.integers(2, 6))
    scale = float(source.choice([1.0, 1.5, 3.0]))
    teacher, student = (
        random_network(source, random_sizes(source, inputs, count, (4, 7), (2, 6)), scale) for _ in range(2)
    )
    return Case(teacher, student, random_images(source, inputs), radius(source))


def towers(source: Source) -> Case:
    """Up to sixteen layers that first grow and then shrink what passes, or the other way round, by factors of 1e10 to 1e38 each."""
    inputs, count, half = few_inputs(source), int(source.integers(2, 4)), int(source.choice([1, 2, 3, 4, 6, 8, 8, 8]))
    power = source.choice([38.3, source.uniform(10, 38)])
    falling = -power * (1 if power < 38 else source.uniform(1, 1.06))
    growing = source.random() < 0.7
    networks = []
    for _ in range(2):
        network = random_network(source, [inputs, *source.integers(1, 4, 2 * half - 1).tolist(), count], 0.7)
        powers = np.where(np.arange(2 * half) < half, power, falling) * (1 if growing or power > 38 else -1)
        reached = np.cumsum(powers)
        weights = [single(np.abs(w) * 10.0**p) for w, p in zip(network.weights, powers, strict=True)]
        biases = [single(b * 10.0 ** np.clip(r, -300, 37)) for b, r in zip(network.biases, reached, strict=True)]
        weights[-1] = single(weights[-1] * source.choice([-1, 1], weights[-1].shape))
        networks.append(Weights(weights, biases))
    student = _near(source, networks[0]) if source.random() < 0.3 else networks[1]
    return Case(networks[0], student, random_images(source, inputs), radius(source))


def boxes(source: Source) -> Case:
    """Radii from 1e-9 to 1e3, some inputs without one, images at the range's ends, other ranges and none."""
    inputs, count = int(source.integers(1, 5)), int(source.integers(2, 5))
    teacher, student = (random_network(source, random_sizes(source, inputs, count, (0, 2)), 1.5) for _ in range(2))
    images = random_images(source, inputs)
    images[source.random(images.shape) < 0.3] = source.choice(np.float32([0.0, 1.0]))
    valid = [(0.0, 1.0), None, (0.0, 1.0), (-3.0, 4.0), (float(images.min()) - 0.1, float(images.max()))][
        source.integers(5)
    ]
    if valid is not None and not valid[0] < valid[1]:
        valid = (0.0, 1.0)
    eps: float | np.ndarray = float(source.choice([0.0, 1e-9, 1e-6, 1e-3, 0.25, 1.0, 1e3, 1 / 3, 0.5 - 2.0**-54]))
    if source.random() < 0.4:
        eps = np.where(source.random(inputs) < 0.4, 0.0, 10.0 ** source.uniform(-9, 0, inputs))
    return Case(teacher, student, images, eps, valid)


def normalised(source: Source) -> Case:
    """Inputs that are first scaled and moved, sometimes so far that the moved bias keeps few of its digits."""
    found = ordinary(source)
    inputs, networks = found.images.shape[1], []
    for network in (found.teacher, found.student):
        scale = single(10.0 ** source.uniform(-1, 1, inputs) * source.choice([-1, 1], inputs))
        shift = single(source.standard_normal(inputs) * 10.0 ** source.choice([0, 0, 2, 3]))
        biases = [single(network.biases[0] - network.weights[0] @ shift), *network.biases[1:]]
        networks.append(Weights(network.weights, biases, (scale, shift)))
    return replace(found, teacher=networks[0], student=networks[1])


def batches(source: Source) -> Case:
    """Twenty to forty images, some of them twice: more than are worked on at once."""
    inputs, count = int(source.integers(1, 3)), int(source.integers(2, 4))
    teacher, student = (
        random_network(source, random_sizes(source, inputs, count, (1, 2), (2, 5)), 2.0) for _ in range(2)
    )
    images = random_images(source, inputs, int(source.integers(20, 41)))
    images[-5:] = images[:5]
    return Case(teacher, student, images, radius(source))


def many(source: Source) -> Case:
    """Two hundred to eight hundred inputs."""
    inputs, count = int(source.choice([200, 257, 784])), int(source.choice([2, 3, 10]))
    scale = float(source.choice([1.0, 3.0]))
    teacher, student = (
        random_network(source, random_sizes(source, inputs, count, (0, 2), (3, 8)), scale) for _ in range(2)
    )
    return Case(teacher, student, random_images(source, inputs), float(source.choice([0.002, 0.02, 0.2])))


def steep(source: Source) -> Case:
    """One input, slopes of 30 to 5,000, the steep place somewhere in the region."""
    count = int(source.integers(2, 5))
    slope = 10.0 ** source.uniform(1.5, 3.7, (count, 1)) * source.choice([-1, 1], (count, 1))
    place = source.uniform(0, 1, count)
    hidden = source.random() < 0.6
    first = Weights([single([[1.0], [-1.0]])], [single([0.0, 0.5])])
    last = Weights(
        [single(np.concatenate((slope, -slope * source.random()), axis=1) if hidden else slope)],
        [single(-slope[:, 0] * place)],
    )
    teacher = Weights([*first.weights, *last.weights], [*first.biases, *last.biases]) if hidden else last
    student = _copy(teacher)
    student.biases[-1][:] = single(student.biases[-1] + source.standard_normal(count) * source.choice([1e-3, 0.3, 3.0]))
    images = single(place[:1] + 0.1 * source.standard_normal(1)).clip(0, 1).astype(np.float32)[None]
    return Case(teacher, student, images, radius(source))


FAMILIES: dict[str, Callable[[Source], Case]] = {
    "ordinary": ordinary,
    "scaled": scaled,
    "subnormal": subnormal,
    "wild": wild,
    "cancelling": cancelling,
    "ties": ties,
    "dead": dead,
    "active": active,
    "saturated": saturated,
    "copies": copies,
    "classes": classes,
    "wide": wide,
    "stacked": stacked,
    "deep": deep,
    "towers": towers,
    "boxes": boxes,
    "normalised": normalised,
    "batches": batches,
    "many": many,
    "steep": steep,
}


def balanced(source: Source, network: Weights, image: np.ndarray) -> Weights:
    """The network with its last layer scaled, and its last biases moved, so that the logits of an image are of the size of one."""
    values = image.astype(np.float64)
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        values = np.maximum(weight @ values + bias, 0)
    sizes = np.abs(network.weights[-1]) @ np.abs(values)
    factor = 10.0 ** source.uniform(0, 1.5) / max(float(sizes.max()), 1e-30)
    last = single(network.weights[-1] * factor)
    return Weights(
        [*network.weights[:-1], last], [*network.biases[:-1], single(source.standard_normal(len(last)) - last @ values)]
    )


def _copy(network: Weights) -> Weights:
    return Weights([w.copy() for w in network.weights], [b.copy() for b in network.biases])


def _near(source: Source, network: Weights) -> Weights:
    """A copy: equal, one unit in the last place away, one weight changed, 16 bits, or hidden neurons permuted and rescaled."""
    copy = _copy(network)
    layer = int(source.integers(len(copy.biases)))
    kind = source.integers(6)
    if kind == 1:
        copy.weights[layer][:] = np.nextafter(copy.weights[layer].astype(np.float32), np.float32(np.inf)).astype(
            np.float64
        )
    elif kind == 2:
        place = tuple(int(source.integers(size)) for size in copy.weights[layer].shape)
        copy.weights[layer][place] = single(copy.weights[layer][place] + source.choice([1e-6, 0.1, 1.0]))
    elif kind == 3:
        for values in (*copy.weights, *copy.biases):
            values[:] = np.where(np.abs(values) < 6e4, values.clip(-6e4, 6e4).astype(np.float16), values)
    elif kind == 4:
        _shuffle(source, copy)
    elif kind == 5:
        copy.biases[-1][:] = single(copy.biases[-1] + 0.01 * source.standard_normal(len(copy.biases[-1])))
    return copy


def _shuffle(source: Source, network: Weights) -> None:
    """The same function: hidden neurons in another order, scaled by powers of two that the next layer takes back."""
    for k in range(len(network.biases) - 1):
        order = source.permutation(len(network.biases[k]))
        factor = 2.0 ** source.integers(-3, 4, len(order))
        network.weights[k][:] = network.weights[k][order] * factor[:, None]
        network.biases[k][:] = network.biases[k][order] * factor
        network.weights[k + 1][:] = network.weights[k + 1][:, order] / factor
