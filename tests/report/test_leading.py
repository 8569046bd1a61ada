"""Of many optimizers and batch sizes the figures show those that matter, and the page says what is left out."""

import itertools
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import study_by_hand
from study_by_hand import STUDY, study, table

from mlp_jax.analysis import response
from mlp_jax.optimizers import OPTIMIZERS
from mlp_jax.report import answer, leading, page, responses
from mlp_jax.study import parts
from mlp_jax.study.evidence import COSTS, Findings, findings

ROWS = table()
FOUND = findings(ROWS, STUDY)
NAMES, SIZES = list(OPTIMIZERS)[:20], [2**k for k in range(16)]


def many(costs: dict[str, list[float]]) -> Findings:
    """Findings about 20 optimizers at 16 batch sizes, whose least costs are these."""
    rows = [
        {"optimizer": name, "batch_size": size, **{cost: costs[cost][i] * (1 + k) for cost in COSTS}}
        for i, name in enumerate(NAMES)
        for k, size in enumerate(SIZES)
    ]
    best, scaling = FOUND.best["sgd", 1], FOUND.scaling["sgd"]
    return FOUND._replace(
        cells=pandas.DataFrame(rows),
        winners=pandas.concat([FOUND.winners.assign(optimizer=name) for name in NAMES]),
        best={(name, size): best for name in NAMES for size in SIZES},
        scaling=dict.fromkeys(NAMES, scaling),
        differences=[FOUND.differences[0]._replace(first=a, second=b) for a, b in itertools.pairwise(NAMES)],
    )


def test_few_are_shown_whole():
    assert leading.narrowed(FOUND) is FOUND
    assert leading.sizes(STUDY.batch_sizes) == list(STUDY.batch_sizes)
    assert leading.said(FOUND) == ""


def test_of_many_those_are_shown_that_need_least_of_something():
    rng = np.random.default_rng(0)
    found = many({cost: (rng.permutation(20) + 1.0).tolist() for cost in COSTS})
    chosen = leading.optimizers(found)
    assert len(chosen) == leading.OF_MORE_OPTIMIZERS
    assert chosen == [name for name in NAMES if name in chosen], "in the order of their table"
    for cost in COSTS:
        best = found.cells.sort_values(cost)["optimizer"].drop_duplicates()
        assert set(best.iloc[:2]) <= set(chosen)


def test_where_nobody_reaches_the_target_the_first_ones_are_shown():
    found = many({cost: [np.inf] * 20 for cost in COSTS})
    assert leading.optimizers(found) == NAMES[: leading.OF_MORE_OPTIMIZERS]


def test_what_is_narrowed_is_about_the_shown_ones_alone_and_this_is_said():
    found = many({cost: list(range(1, 21)) for cost in COSTS})
    few = leading.narrowed(found)
    shown = NAMES[: leading.OF_MORE_OPTIMIZERS]
    assert list(few.scaling) == shown
    for name in (few.cells, few.winners):
        assert list(dict.fromkeys(name["optimizer"])) == shown
    assert {name for name, _ in few.best} == set(shown)
    assert [(pair.first, pair.second) for pair in few.differences] == list(itertools.pairwise(shown))
    there = leading.sizes(SIZES)
    assert len(there) == leading.OF_MORE_SIZES
    assert (there[0], there[-1]) == (SIZES[0], SIZES[-1])
    assert list(leading.of_sizes(few.best)) == [cell for cell in few.best if cell[1] in there]
    assert "6 of 20 optimizers" in leading.said(found)
    assert "6 of 16 batch sizes" in leading.said(found)


def test_sentences_name_the_shown_ones_and_how_many_more_there_are():
    found = many({cost: list(range(1, 21)) for cost in COSTS})
    found = found._replace(
        cells=found.cells.assign(noise_scale=np.nan, **{f"{c}_{e}": 1.0 for c in COSTS for e in ("low", "high")})
    )
    text = " ".join(answer.sentences(STUDY, found, ROWS))
    assert "The other 14 optimizers stand in the tables below." in text
    assert all(f" for {name}" in text for name in NAMES[:6])
    assert not any(f" for {name} (the line" in text for name in NAMES[6:])
    unreached = found._replace(cells=found.cells.assign(steps=np.inf))
    assert answer.missed(unreached).endswith("; and of 10 more optimizers")


@pytest.mark.slow
def test_the_work_for_a_large_study_grows_with_its_cells_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(OPTIMIZERS)[:12]
    monkeypatch.setattr(study_by_hand, "SHARE", dict(zip(names, np.geomspace(0.2, 5, 12).tolist())))
    monkeypatch.setattr(study_by_hand, "RATE", {})
    large = replace(STUDY, optimizers=names, spaces={})
    directory, reads, fits = study(tmp_path / "large", large), Counter(), Counter()
    load, fit = parts.load, response.fit
    monkeypatch.setattr(parts, "load", lambda path: (reads.update([path]), load(path))[1])
    monkeypatch.setattr(response, "fit", lambda *a, **k: (fits.update([k["resamples"]]), fit(*a, **k))[1])
    began = time.process_time()
    out = page.write([directory], tmp_path / "page.html")
    assert time.process_time() - began < 60
    cells, shown = 12 * len(large.batch_sizes), leading.OF_MORE_OPTIMIZERS * len(large.batch_sizes)
    made = sorted(directory.glob("*/*.parquet"))
    assert reads.keys() == set(made)
    assert max(reads.values()) == 1, "each part is read once"
    assert fits[1000] == cells, "its intervals are computed once"
    assert fits[responses.RESAMPLES] == len(responses.LEVELS) * shown
    assert out.stat().st_size < 1.5e6
    text = out.read_text(encoding="utf-8")
    assert "The figures show 6 of 12 optimizers" in text
    assert all(f'data-key="{name}"' in text for name in names), "the tables have all"
