"""The templates of the HTML pages; a page is one file that needs nothing but itself."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(package: str) -> Environment:
    """The templates of a package, with those that all pages share.

    Every value from outside is escaped, and a name that a template does not get is an error.

    Args:
      package: dotted name of the package whose `templates` folder has the page.
    """
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("angiopipe.html")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"figure": _figure, "percent": _percent}
    return templates


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"
