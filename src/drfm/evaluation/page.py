"""The look of a report: one HTML page that asks nothing of the network."""

from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --panel: #f6f7f9; --ink: #1c2430; --soft: #5c6675;
  --rule: #d9dde3; --good: #0a7a52; --bad: #b3341f; --s0: #0b62b5; --s1: #c4511a; --s2: #0a7a52;
  --s3: #8a3fa0; --s4: #8a6a00; --s5: #5c6675; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --panel: #1b212a; --ink: #e7ebf0;
  --soft: #a3adba; --rule: #343d49; --good: #4cc38f; --bad: #ff8a70; --s0: #6cb2f5; --s1: #f59a62;
  --s2: #4cc38f; --s3: #d295e6; --s4: #e0bd4a; --s5: #a3adba; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3em; }
h2 { font-size: 1.2rem; margin: 2.2em 0 .3em; padding-top: .7em; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.4em 0 .3em; }
p { margin: .3em 0 .8em; max-width: 46em; }
.soft, figcaption small { color: var(--soft); }
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
svg .grid { stroke: var(--rule); stroke-width: 1; } svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .level { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 3 4; }
svg polyline, .keys line { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
svg .c0 { stroke: var(--s0); } svg .c1 { stroke: var(--s1); } svg .c2 { stroke: var(--s2); }
svg .c3 { stroke: var(--s3); } svg .c4 { stroke: var(--s4); } svg .c5 { stroke: var(--s5); }
svg .f0 { fill: var(--s0); } svg .f1 { fill: var(--s1); } svg .f2 { fill: var(--s2); }
svg .f3 { fill: var(--s3); } svg .f4 { fill: var(--s4); } svg .f5 { fill: var(--s5); }
svg .a0 { fill: var(--s0); } svg .a1 { fill: var(--s1); } svg .a2 { fill: var(--s2); }
svg .a3 { fill: var(--s3); } svg polygon { opacity: .16; }
.scroll { overflow-x: auto; margin: 10px 0; } .charts + p { margin-top: .8em; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom;
  line-height: 1.25; } td.word, th.word { text-align: left; }
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
.gap { width: 1px; align-self: stretch; background: var(--rule); }
details { margin: .8em 0; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--panel); border-radius: 10px; padding: 12px 14px;
  font-size: .82rem; }
ul { padding-left: 1.2em; max-width: 46em; } li { margin: .25em 0; }
@media (max-width: 560px) { main { padding: 18px 12px 40px; } h1 { font-size: 1.4rem; }
  .shot, .shot img { width: 64px; } .shot img { height: 128px; } .list { gap: 8px; } .gap { display: none; } }
@media print { .tile, figure { break-inside: avoid; } }
"""


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
