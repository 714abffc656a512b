"""Own the way from a template to a page that needs nothing else. Know no report."""

from __future__ import annotations

from pathlib import Path

from edgeseg.packages import require

__all__ = ["render"]


def render(template: str, **context: object) -> str:
    """A template of this folder as HTML; every value is escaped but what the template calls safe.

    Raises:
        MissingPackageError: jinja2 is not installed.
    """
    jinja2 = require("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return str(environment.get_template(template).render(**context))
