"""Pictures as SVG text, with nothing but strings: cells of one hue and words, light or dark as the reader's screen is.

Every picture stands on its own ground, so that it can be read on a page of either colour. Shades are one hue whose
lightness only falls (light) or only rises (dark), which eyes of every kind tell apart.
"""

import html
from collections.abc import Sequence

LEVELS = 12
_RAMPS = {
    "light": [(244, 246, 250), (196, 214, 238), (118, 160, 212), (44, 96, 164), (10, 36, 82)],
    "dark": [(30, 35, 43), (34, 62, 94), (44, 106, 152), (104, 174, 206), (220, 242, 250)],
}
_COLOURS = {
    "light": {"ground": "#ffffff", "ink": "#1c2430", "quiet": "#5d6878", "line": "#d8d6d0", "on": "#ffffff"},
    "dark": {"ground": "#1b1f26", "ink": "#e4e8ee", "quiet": "#98a3b3", "line": "#3a424e", "on": "#10141a"},
}
_MARKS = {"light": "#c2570c", "dark": "#f0a35e"}


def picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return a whole file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif">'
    )
    ground = f'<rect class="ground" width="{width:g}" height="{height:g}" rx="10"/>'
    return "\n".join([head, f"<title>{html.escape(title)}</title>", _style(), ground, *parts, "</svg>"]) + "\n"


def _style() -> str:
    light, dark = ("\n".join(_rules(theme)) for theme in ("light", "dark"))
    return f"<style>\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n</style>"


def _rules(theme: str) -> list[str]:
    rules = [f".{name} {{ fill: {colour}; }}" for name, colour in _COLOURS[theme].items()]
    for level in range(LEVELS + 1):
        place = level / LEVELS * 4
        low = min(int(place), 3)
        pairs = zip(_RAMPS[theme][low], _RAMPS[theme][low + 1], strict=True)
        rules.append(
            f".c{level} {{ fill: rgb({', '.join(str(round(a + (b - a) * (place - low))) for a, b in pairs)}); }}"
        )
    return [*rules, f".ring {{ fill: none; stroke: {_MARKS[theme]}; stroke-width: 2; }}"]


def cell(x: float, y: float, width: float, height: float, share: float, says: str = "") -> str:
    """Return a cell as dark (or light) as its share from 0 to 1 is great, with words on it where there are some."""
    level = round(min(max(share, 0), 1) * LEVELS)
    drawn = f'<rect class="c{level}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
    if not says:
        return drawn
    kind = "on" if level > 0.55 * LEVELS else "ink"
    return drawn + words(x + width / 2, y + height / 2 + 4, says, kind, anchor="middle", size=11)


def words(
    x: float,
    y: float,
    text: str,
    kind: str = "ink",
    *,
    anchor: str = "start",
    size: float = 13,
    turned: bool = False,
    bold: bool = False,
) -> str:
    """Return words that begin, end or are centred at a place, turned upwards if asked."""
    more = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}"{weight}{more}>'
        f"{html.escape(text)}</text>"
    )


def ring(x: float, y: float, radius: float) -> str:
    """Return a ring around a place."""
    return f'<circle class="ring" cx="{x:g}" cy="{y:g}" r="{radius:g}"/>'


def scale(x: float, y: float, most: str) -> str:
    """Return what the shades mean: from 0 to the most there is."""
    cells = [cell(x + 22 + 9 * level, y - 9, 9, 10, level / LEVELS) for level in range(LEVELS + 1)]
    end = words(x + 22 + 9 * (LEVELS + 1) + 6, y, most, "quiet", size=11)
    return words(x + 14, y, "0", "quiet", anchor="end", size=11) + "".join(cells) + end
