"""The page: one HTML file that holds all it needs, opens from disk and asks nothing of a network.

Its parts, template, style and scripts, stand beside this file; no library is used.
"""

import html
import json
from importlib import resources

from attento.inspection.view import View

_SCRIPTS = ("data.js", "drawing.js", "heads.js", "flow.js", "words.js", "main.js")


def build_page(view: View) -> str:
    """Return the page of a view.

    The data stand in it as JSON in which no character can end the script or begin a comment.
    """
    data = json.dumps(view.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {
        "title": html.escape(f"{view.run.name}: looking inside"),
        "style": _part("page.css"),
        "data": data.replace("<", "\\u003c"),
        "script": "\n".join(map(_part, _SCRIPTS)),
    }
    # Each gap is filled once, so that nothing in a text is taken for a gap.
    before, *rest = _part("page.html").split("{{")
    filled = [before]
    for piece in rest:
        name, _, after = piece.partition("}}")
        filled += [parts[name], after]
    return "".join(filled)


def _part(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
