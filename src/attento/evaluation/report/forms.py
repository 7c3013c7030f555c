"""The forms of a report: Markdown for a repository, one HTML file that needs nothing else for a reader."""

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any

from attento.errors import MissingExtraError
from attento.evaluation.report.section import Figure, Grid, Section


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return sections as Markdown; figures are left out."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", *filter(None, [section.words]), *map(_markdown_grid, section.grids)]
    return "\n\n".join(parts) + "\n"


def page(title: str, sections: Sequence[Section]) -> str:
    """Return sections as one HTML page with plotly.js inside, readable in the light and in the dark.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    numbered = iter(range(sum(len(section.figures) for section in sections)))
    body, specs = [], []
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.words:
            body.append(f"<p>{html.escape(section.words)}</p>")
        body += map(_html_grid, section.grids)
        for figure in section.figures:
            body.append(f'<div class="figure" id="figure-{next(numbered)}"></div>')
            specs.append(_spec(figure))
    # A closing tag inside of a script would end it.
    figures = json.dumps(specs).replace("</", "<\\/")
    parts = {"title": html.escape(title), "body": "\n".join(body), "figures": figures}
    return _PAGE.format(plotly=plotly_script(), draw=_DRAW, style=_STYLE, **parts)


def plotly_script() -> str:
    """Return the text of plotly.js.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as problem:
        raise MissingExtraError("plotly", "compare") from problem
    return str(get_plotlyjs())


def _markdown_grid(grid: Grid) -> str:
    rules = ["---", *("---" if grid.of_words else "---:" for _ in grid.columns[1:])]
    rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (grid.columns, *grid.rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rules, *rows[1:]))


def _html_grid(grid: Grid) -> str:
    def cells(row: Sequence[str], tag: str) -> Iterator[str]:
        return (f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    head = "".join(cells(grid.columns, "th"))
    rows = "\n".join(f"<tr>{''.join(cells(row, 'td'))}</tr>" for row in grid.rows)
    kind = ' class="words"' if grid.of_words else ""
    return f'<div class="table"><table{kind}><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'


def _spec(figure: Figure) -> dict[str, Any]:
    kind = {"type": "log"} if figure.logarithmic else {}
    return {
        "data": figure.traces,
        "layout": {
            "title": {"text": figure.title},
            "xaxis": {"title": {"text": figure.x_title}, "automargin": True, **kind},
            "yaxis": {"title": {"text": figure.y_title}, "automargin": True, **kind},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "height": 420,
        },
    }


_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --line: #d0d7de; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --back: #0d1117; --line: #30363d; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: right; }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
"""

_DRAW = """
function draw() {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--text"), line = style.getPropertyValue("--line");
  figures.forEach((figure, number) => {
    const layout = structuredClone(figure.layout);
    layout.font = { color: text };
    for (const axis of [layout.xaxis, layout.yaxis]) { axis.gridcolor = line; axis.zerolinecolor = line; }
    Plotly.react("figure-" + number, figure.data, layout, { responsive: true, displaylogo: false });
  });
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<script>{plotly}</script>
</head>
<body>
<h1>{title}</h1>
{body}
<script>
const figures = {figures};
{draw}
</script>
</body>
</html>
"""
