"""The linear program of one network (triangle relaxation; Ehlers 2017, Wong and Kolter 2018), rigorous through its multipliers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from verify.network.graph import Network
from verify.programs import Limits, Program, open_session
from verify.region import Region
from verify.single.encoding import add_inputs, add_network
from verify.single.lagrangian import lagrangian_bound
from verify.single.layers import LayerBounds

Done = Callable[[int], None]


def lp_upper_bound(
    network: Network,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    solver: str = "auto",
    done: Done = lambda images: None,
) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ logits`, rows `(r, classes)`, by the linear program, rounded outward.

    bounds: of every pre-activation; the triangles rest on them. A solver's word is not taken: its multipliers are re-evaluated in
    float64 (verify/single/lagrangian.py), and a row that it did not solve gets the bound of multipliers that are zero. done: called with
    the number of images done. Raises `SolverUnavailable`.
    """
    upper = torch.full((len(region), len(rows)), torch.inf, dtype=rows.dtype, device=rows.device)
    usable = bounds.finite().tolist()
    for image in range(len(region)):
        if usable[image]:
            here, layers = region[image], bounds[image : image + 1]
            multipliers = _multipliers(network, here, layers, rows, solver)
            upper[image] = lagrangian_bound(network, here, layers, rows[None], multipliers)[0]
        done(image + 1)
    return upper


def _multipliers(network: Network, region: Region, bounds: LayerBounds, rows: Tensor, solver: str) -> list[Tensor]:
    """The optimal multipliers of every row's program, one `(1, r, n_k)` tensor a hidden layer; zeros where there are none."""
    program = Program()
    encoded = add_network(program, network, bounds, add_inputs(program, region), exact=False)
    found = [np.zeros((len(rows), len(places))) for places in encoded.dense_rows]
    session = open_session(program, solver)
    try:
        for place, row in enumerate(rows.cpu().numpy()):
            if not row.any():
                continue
            columns, values, _ = encoded.objective(row)
            outcome = session.maximise(columns, values, Limits())
            if outcome.multipliers is not None and np.isfinite(outcome.multipliers).all():
                for layer, given in zip(found, encoded.multipliers(outcome.multipliers), strict=True):
                    layer[place] = given
    finally:
        session.close()
    return [torch.from_numpy(layer)[None].to(rows) for layer in found]
