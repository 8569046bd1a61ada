"""The lecture on the command line: the list of its rows, one of them, or all as a page."""

import sys
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli import entry
from mlp_jax.lecture.knobs import Knobs
from mlp_jax.machine import cache


def lecture(
    row: str | None = None,
    /,
    *,
    knobs: Annotated[Knobs, tyro.conf.arg(name="")],
    save: Path | None = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> int:
    """List the rows of the lecture, run one of them, or write them all as a page.

      mlp-jax lecture                                  the list
      mlp-jax lecture L14 --w 0.5 1.2 0.8 --x 2 --y 1.5
      mlp-jax lecture --save lecture.html

    Args:
        row: L1 to L20 (default: the list, or with --save all rows).
        knobs: What a teacher may turn.
        save: Write a page with outputs and figures to this file: .html, or .md with its figures beside it.
        json: Print one JSON object on stdout.
    """
    from mlp_jax.lecture import lessons, page

    asked = [lessons.find(row)] if row else list(lessons.LESSONS.values()) if save else []
    lessons.check(asked, knobs)
    if save:
        page.check(save)
    cache.enable_compilation_cache()
    shown = []
    for lesson in asked:
        if save:
            print(f"{lesson.name}  {lesson.slide}", file=sys.stderr, flush=True)
        shown.append((lesson, lessons.run(lesson, knobs)))
    if save:
        page.write(shown, save)
        entry.show({"page": str(save)} if json else str(save))
    elif not shown:
        entry.show(lessons.contents() if json else lessons.listing())
    else:
        entry.show(lessons.to_json(*shown[0]) if json else lessons.text(*shown[0]))
    return 0
