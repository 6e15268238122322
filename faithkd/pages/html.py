"""A document as an HTML page that needs nothing else.

Whatever the document says is escaped, but for what says itself that it is markup: figures that were drawn here.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from faithkd.pages.content import Document
from faithkd.pages.drawing import svg
from faithkd.text import printable


def html(document: Document) -> bytes:
    """The content of the page's file."""
    return environment().get_template("document.html").render(document=document).encode()


@cache
def environment() -> Environment:
    """Where the templates are; a name that a template is not given is an error."""
    made = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["style"] = Markup((resources.files(__package__) / "style.css").read_text(encoding="utf-8"))
    made.filters["svg"] = svg
    made.filters["kind"] = lambda block: type(block).__name__.lower()
    return made


def _shown(value: Any) -> Any:
    """What no page can hold, halves of characters and the like, as escapes."""
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value
