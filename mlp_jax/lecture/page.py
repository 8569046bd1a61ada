"""The whole lecture, or one row, as a page for a class: HTML in a single file, or Markdown with figures beside it.

Invariant: nothing on the page refers to other places, so that it opens without a network.
"""

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from mlp_jax.drawing import canvas
from mlp_jax.lecture import filmstrip, scalar
from mlp_jax.lecture.lessons import LECTURE, Lesson, Shown
from mlp_jax.machine import files

SUFFIXES = (".html", ".htm", ".md")
REM_PER_INCH = 6  # so that letters in figures have the size of the text
FILM = "L14"  # the row that is also shown as a film
_STYLE = """
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; color: #1f2a36; background: #fff;
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #d8dde2; padding-top: .75rem; }
pre { background: #f4f6f8; padding: .8rem; border-radius: .4rem; overflow-x: auto; font-size: .8rem;
  line-height: 1.4; }
dt { color: #5a6570; float: left; clear: left; width: 6rem; } dd { margin: 0 0 .2rem 6.5rem; }
svg, img { max-width: 100%; height: auto; }
@media print { h2 { break-after: avoid; } pre, svg, img { break-inside: avoid; } }
"""


def check(path: Path) -> None:
    """Refuse a path before anything is computed for it.

    Raises:
        ValueError: the path ends in none of SUFFIXES.
        OSError: its folder can't be made or written to.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--save {path} is no page; name a file that ends in .html or .md")
    files.check_place(path)


def write(shown: Iterable[tuple[Lesson, Shown]], path: Path) -> Path:
    """Write a page about these lessons, in the order given."""
    (_markdown if path.suffix.lower() == ".md" else _html)(list(shown), path)
    return path


def _html(shown: list[tuple[Lesson, Shown]], path: Path) -> None:
    parts = [f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(LECTURE)}</title>"]
    parts += [f"<link rel='icon' href='data:,'><style>{_STYLE}</style></head><body>"]
    parts += [f"<h1>{html.escape(LECTURE)}</h1><p>Every row of the lecture, run. The code is what made the output.</p>"]
    for lesson, each in shown:
        parts.append(f"<h2 id='{lesson.name}'>{lesson.name} · {html.escape(lesson.slide)}</h2><dl>")
        parts += [f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in _facts(lesson, each)]
        parts.append(f"</dl><pre><code>{html.escape(lesson.code)}</code></pre><pre>{html.escape(each.text)}</pre>")
        if each.figure:
            figure = each.figure()
            width = REM_PER_INCH * figure.get_figwidth()
            parts.append(f"<div style='max-width: {width:g}rem'>{canvas.inline(figure, lesson.name)}</div>")
        if lesson.name == FILM:
            film = base64.b64encode(filmstrip.film(_trace(each))).decode()
            parts.append(f"<p><img alt='the iteration as a film' src='data:image/gif;base64,{film}'></p>")
    text = "\n".join([*parts, "</body></html>\n"])
    files.replace(path, lambda to: to.write_text(text, encoding="utf-8"))


def _markdown(shown: list[tuple[Lesson, Shown]], path: Path) -> None:
    folder = path.with_name(f"{path.stem}_figures")
    parts = [f"# {LECTURE}", "Every row of the lecture, run. The code is what made the output."]
    for lesson, each in shown:
        parts.append(f"## {lesson.name} · {lesson.slide}")
        parts.append("\n".join(f"- {name}: `{text}`" for name, text in _facts(lesson, each)))
        parts += [f"```python\n{lesson.code}\n```", f"```text\n{each.text}\n```"]
        if each.figure:
            canvas.save(each.figure(), folder / f"{lesson.name}.png")
            parts.append(f"![{lesson.name}]({folder.name}/{lesson.name}.png)")
        if lesson.name == FILM:
            filmstrip.save_film(_trace(each), folder / f"{lesson.name}.gif")
            parts.append(f"![{lesson.name} as a film]({folder.name}/{lesson.name}.gif)")
    text = "\n\n".join(parts) + "\n"
    files.replace(path, lambda to: to.write_text(text, encoding="utf-8"))


def _facts(lesson: Lesson, shown: Shown) -> list[tuple[str, str]]:
    given = "; ".join(f"{name} = {value}" for name, value in shown.given.items())
    facts = [("formula", shown.formula), ("put in", given), ("command", lesson.command)]
    facts += [("functions", lesson.functions), ("see also", lesson.seen)]
    return [(name, text) for name, text in facts if text]


def _trace(shown: Shown) -> tuple[scalar.Step, ...]:
    """Return the iteration that L14 shows, run again from its numbers."""
    values = shown.values
    return scalar.trace(
        *(values[f"w^({k})"] for k in range(3)), x=values["x"], y=values["y"], learning_rate=values["α"]
    )
