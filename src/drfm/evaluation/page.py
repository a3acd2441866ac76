"""The look of a report: one HTML page that asks nothing of the network."""

from collections.abc import Mapping
from html import escape

from drfm.evaluation.marks import DARK, LIGHT


def _colours(palette: Mapping[str, str]) -> str:
    return "".join(f"--{name}: {value}; " for name, value in palette.items())


STYLE = (
    f":root {{ color-scheme: light dark; {_colours(LIGHT)}}}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_colours(DARK)}}} }}\n"
    + "".join(
        f"svg .line.{name} {{ stroke: var(--{name}); }} "
        f"svg circle.{name}, svg polygon.{name} {{ fill: var(--{name}); }}\n"
        for name in LIGHT
        if name[0] == "s" or name == "rule"
    )
    + """
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3em; }
h2 { font-size: 1.2rem; margin: 2.2em 0 .3em; padding-top: .7em; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.4em 0 .3em; }
p { margin: .3em 0 .8em; max-width: 46em; }
.soft, figcaption small { color: var(--soft); }
figcaption small { display: block; font-weight: 400; }
.lead { font-size: 1.08rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
  margin: 18px 0; }
.tile { background: var(--panel); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .86rem; line-height: 1.35; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 18px; }
figure { margin: 0; background: var(--panel); border-radius: 10px; padding: 12px 14px 8px; }
figcaption { font-weight: 600; font-size: .95rem; }
figure svg { width: 100%; height: auto; display: block; overflow: visible; }
.keys { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .82rem; color: var(--soft);
  min-height: 1.5em; }
.keys svg { display: inline-block; width: 26px; height: 12px; vertical-align: middle; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .line { fill: none; stroke-linejoin: round; }
.scroll { overflow-x: auto; margin: 10px 0; } .charts + .charts { margin-top: 18px; }
.charts + p { margin-top: .8em; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom;
  line-height: 1.25; } td.word, th.word { text-align: left; }
.tight th, .tight td { padding: 5px 7px; } .tight td.word { white-space: normal; }
.tight .soft { white-space: nowrap; }
tr.top td { font-weight: 650; background: var(--panel); }
tr.first td { border-top: 2px solid var(--rule); }
.list { display: flex; flex-wrap: wrap; gap: 10px 12px; align-items: flex-start; margin: 10px 0 18px;
  padding-bottom: 14px; border-bottom: 1px solid var(--rule); }
.shot { width: 88px; margin: 0; padding: 0; background: none; font-size: .78rem; line-height: 1.3;
  text-align: center; color: var(--soft); }
.shot img { display: block; width: 88px; height: 176px; object-fit: contain; background: var(--panel);
  border-radius: 5px; margin-bottom: 3px; outline: 3px solid var(--rule); outline-offset: -1px; }
.shot.right img { outline-color: var(--good); } .shot.right b { color: var(--good); }
.shot.wrong img { outline: 3px dashed var(--bad); } .shot.wrong b { color: var(--bad); }
.sheet { flex-wrap: nowrap; } .sheet .shot { flex: 1 1 0; max-width: 110px; min-width: 0; }
.sheet .shot img { width: 100%; height: auto; }
.shot.late img { outline: 3px dotted var(--good); }
.map { max-width: 620px; } .map svg { margin-top: 6px; } .map input { position: absolute; opacity: 0; }
.map label { display: inline-block; padding: 3px 12px; margin: 0 2px 4px; border: 1px solid var(--rule);
  border-radius: 99px; font-size: .86rem; cursor: pointer; }
.map input:checked + label { background: var(--ink); color: var(--ground); }
.map input:focus-visible + label { outline: 2px solid var(--s0); outline-offset: 2px; }
.map .keys { display: none; margin-top: 4px; } .map i { display: inline-block; width: 10px; height: 10px;
  border-radius: 5px; }
.map circle { stroke-width: 1.8; } .map .ring { fill: none; }
"""
    + "".join(
        f".map #map{index}:checked ~ .keys.map{index} {{ display: flex; }} "
        f".map #map{index}:checked ~ svg circle {{ stroke: var(--m{index}); }} "
        f".map #map{index}:checked ~ svg circle:not(.ring) {{ fill: var(--m{index}); }}\n"
        for index in range(4)
    )
    + """.gap { width: 1px; align-self: stretch; background: var(--rule); }
details { margin: .8em 0; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--panel); border-radius: 10px; padding: 12px 14px;
  font-size: .82rem; }
ul { padding-left: 1.2em; max-width: 46em; } li { margin: .25em 0; }
@media (max-width: 560px) { main { padding: 18px 12px 40px; } h1 { font-size: 1.4rem; }
  .shot, .shot img { width: 64px; } .shot img { height: 128px; } .list { gap: 8px; } .gap { display: none; } }
@media print { .tile, figure { break-inside: avoid; } }
"""
)


def page(title: str, body: str) -> str:
    """A whole HTML document that holds everything it shows."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def section(title: str, words: str, *content: str) -> str:
    """A headed part of the page with a line on how to read it; empty if it has no content."""
    inside = "\n".join(filter(None, content))
    if not inside:
        return ""
    lead = f'<p class="soft">{escape(words)}</p>\n' if words else ""
    return f"<section><h2>{escape(title)}</h2>{lead}{inside}</section>"


def tile(number: str, words: str) -> str:
    """One figure to remember, with what it means."""
    return f'<div class="tile"><b>{escape(number)}</b><span>{escape(words)}</span></div>'


def table(head: list[str], rows: list[tuple[str, list[str]]], *, words: int) -> str:
    """A table whose first ``words`` columns are text; each row comes with its class."""

    def cells(tag: str, values: list[str]) -> str:
        return "".join(
            f"<{tag}{' class=word' if index < words else ''}>{escape(value)}</{tag}>"
            for index, value in enumerate(values)
        )

    lines = "".join(f'<tr class="{style}">{cells("td", values)}</tr>' for style, values in rows)
    unbroken = [title.replace("-", "\N{NON-BREAKING HYPHEN}") for title in head]
    top = f"<thead><tr>{cells('th', unbroken)}</tr></thead>"
    return f'<div class="scroll"><table>{top}<tbody>{lines}</tbody></table></div>'


def unordered(items: list[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>" if items else ""


def folded(title: str, html: str) -> str:
    """Content behind a heading that opens it."""
    return f"<details><summary>{escape(title)}</summary>{html}</details>"


def preformatted(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"
