"""The model card: what a model is, what it is for, how good it is and what it cannot do.

Its content is put together once and written as Markdown, for the registry, and as HTML.

Source: Mitchell et al. 2019, "Model cards for model reporting".
"""

from __future__ import annotations

import re

from angiopipe.evaluation.card_sections import Section, Table, sections
from angiopipe.evaluation.evaluated import Evaluated
from angiopipe.html.page import environment


def title(evaluated: Evaluated) -> str:
    return f"Model card: {evaluated.model.recipe.name}, aneurysms in cerebral angiograms"


def markdown(evaluated: Evaluated) -> str:
    """The card as GitHub's Markdown, with every value from outside escaped."""
    parts = [f"# {_escaped(title(evaluated))}", *(_section(part) for part in sections(evaluated))]
    return "\n\n".join(parts) + "\n"


def page(evaluated: Evaluated) -> str:
    """The card as one HTML page that needs nothing but itself."""
    template = environment("angiopipe.evaluation").get_template("card.html")
    return template.render(title=title(evaluated), sections=sections(evaluated))


def _section(section: Section) -> str:
    paragraphs = (_escaped(paragraph) for paragraph in section.paragraphs)
    return "\n\n".join([f"## {section.title}", *paragraphs, *map(_table, section.tables)])


def _table(table: Table) -> str:
    head, *rows = (f"| {' | '.join(map(_escaped, cells))} |" for cells in (table.columns, *table.rows))
    return "\n".join([head, "|---" * len(table.columns) + "|", *rows])


def _escaped(text: str) -> str:
    """Text that Markdown takes as it is; a line's end would end a table."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text.replace("\n", " "))
