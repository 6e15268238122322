"""On what a run is made: versions and hardware, for the record."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

import faithkd
from verify.passes.native import library


def environment(device: str) -> dict[str, Any]:
    """Versions, hardware and what runs the two hot loops of the proofs, as `records.Environment` has them."""
    versions = {"python": platform.python_version(), "faithkd": faithkd.__version__}
    for package in ("torch", "numpy", "gurobipy", "highspy", "pulp", "pyscipopt"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "device": device,
        "hardware": name,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "code": library.code() if device == "cpu" else "tensors",
        "versions": versions,
    }


def machine(environment: dict[str, Any]) -> str:
    """The hardware and the system of such a record, in one line."""
    return f"{environment['hardware']}, {environment['cores']} cores, {environment['system']}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
