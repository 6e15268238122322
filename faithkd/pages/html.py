"""HTML pages that need nothing else, by the templates of this package.

Whatever a template is given is escaped, but for what says itself that it is markup: figures that were drawn here.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from faithkd.text import printable


def render(template: str, **values: Any) -> bytes:
    """The content of a page's file. values: what the template names; one that is missing is an error."""
    return _environment().get_template(template).render(values).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = (resources.files(__package__) / "style.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)
    return environment


def _shown(value: Any) -> Any:
    """What no page can hold, halves of characters and the like, as escapes."""
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value
