"""Modules of one's own, which register networks and methods: imported by name or path, here and in every worker process."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from faithkd.errors import UserError
from faithkd.files import sha256

_MODULES: dict[str, ModuleType] = {}


def load_module(name_or_path: str) -> None:
    """Import a user's module, by its name or by the path of its .py file, for what it registers.

    Raises `UserError` when there is no such module, or it cannot be imported.
    """
    path = Path(name_or_path)
    source = str(path.resolve()) if path.suffix == ".py" else name_or_path
    if source in _MODULES:
        return
    if path.suffix == ".py" and not path.is_file():
        raise UserError(f"there is no file {path} to import; give the path of a Python file")
    try:
        _MODULES[source] = _from_file(Path(source)) if path.suffix == ".py" else importlib.import_module(name_or_path)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # What a user's own program raises may be anything.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name_or_path}.".startswith(f"{error.name}."):
            raise UserError(
                f"there is no module {name_or_path}; give a module's name or a path that ends in .py"
            ) from error
        reason = " ".join(str(error).split())
        raise UserError(f"{name_or_path} cannot be imported ({type(error).__name__}: {reason}); mend it") from error


def imported() -> tuple[str, ...]:
    """What has been imported, in this order: names, and absolute paths of files."""
    return tuple(_MODULES)


def as_options() -> str:
    """What imports the same on a command line, with a space before it; nothing where nothing was imported."""
    return "".join(f" --import {shlex.quote(name)}" for name in _MODULES)


def modules() -> tuple[ModuleType, ...]:
    """The modules themselves."""
    return tuple(_MODULES.values())


def fingerprints() -> tuple[str, ...]:
    """The SHA-256 of the files of what has been imported, in this order; of a module without a file, that of its name."""
    return tuple(
        sha256(module.__file__) if module.__file__ else hashlib.sha256(name.encode()).hexdigest()
        for name, module in _MODULES.items()
    )


def check(recorded: Sequence[str]) -> None:
    """Raise `UserError` unless the modules that something was begun with have been imported here, as they were; see `fingerprints`.

    What a folder says is compared and never imported: whoever wrote it would decide what is run.
    """
    now = fingerprints()
    if tuple(recorded) != now and recorded:
        found = (
            f"but {len(now)} are imported"
            if len(now) != len(recorded)
            else "but those imported are others or have changed"
        )
        raise UserError(
            f"it was begun with {len(recorded)} module(s) of your own, {found}; give the same ones with --import, in the same order, or "
            "begin anew in another folder"
        )


def load_all(names_or_paths: Sequence[str]) -> None:
    """Import several modules in their order."""
    for name in names_or_paths:
        load_module(name)


def _from_file(path: Path) -> ModuleType:
    name = f"faithkd_user_{path.stem}"
    while name in sys.modules:  # Another file of the same name.
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
