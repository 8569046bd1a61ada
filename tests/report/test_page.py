"""The report: one file that needs nothing else, complete for a finished, an unfinished, a failed and a joined study."""

import html.parser
import json
import re
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import pandas
import pytest

from mlp_jax import optimizers
from mlp_jax.report import answer, figures, page
from mlp_jax.study import cells, plan, store
from mlp_jax.study.evidence import interval, number
from mlp_jax.training.config import Config

SIZES, OPTIMIZERS, EXAMPLES = (1, 16, 256), ("sgd", "adam"), 1000
STUDY = plan.Study(
    workload=Config(dataset="digits", hidden=(8,), validation=0.2), optimizers=OPTIMIZERS, batch_sizes=SIZES,
    points=4, seeds=3, target=0.9, max_steps=100_000,
)  # fmt: skip
FIGURES = ["steps", "examples", "seconds", "learning_rates", "statuses", "curves", "profile", "differences"]
STARTED = dict(matplotlib.rcParams)


def trial(optimizer: str, batch_size: int, point: int, seed: int, reaches: bool) -> dict:
    """The end of a trial of S = S_min + E_min/B; adam needs half the steps, and the last point diverges."""
    random = np.random.default_rng([batch_size, point, seed])
    steps = round((40 + 4000 / batch_size) * (0.5 if optimizer == "adam" else 1) * random.uniform(0.9, 1.1))
    status = "INFEASIBLE" if point == 3 else "COMPLETE"
    met = reaches and point < 2
    return {"steps": steps, "steps_to_target": float(steps) if met else np.inf, "status": status, "failed": -1}


def noisy(frame: pandas.DataFrame, optimizer: str) -> pandas.DataFrame:
    """A noise scale of 25 for sgd and 200 for adam in the first winner's run; the line's B_crit is 100 for both."""
    trace = (1 / (1 + frame["step"])).where(frame["seed"] == 0)
    squared_norm = trace / {"sgd": 25.0, "adam": 200.0}[optimizer]
    return frame.assign(noise_trace=trace, noise_squared_norm=squared_norm, noise_scale=trace / squared_norm)


def rows(optimizer: str, batch_size: int, phase: str, points: int, seeds: int, reaches: bool) -> pandas.DataFrame:
    made = []
    for point in range(points):
        for seed in range(seeds):
            end = trial(optimizer, batch_size, point, seed + (phase == "winners") * cells.FRESH, reaches)
            for k, step in enumerate(np.linspace(0, end["steps"], 6).astype(int)):
                error = 0.8 - 0.14 * k + 0.02 * seed if reaches else 0.5
                metrics = {"validation_loss": error, "validation_error": error, "validation_accuracy": 1 - error}
                label = {"trial": f"{optimizer}-{batch_size}-{phase}-{point}-{seed}", "point": point, "seed": seed}
                place = {"step": step, "examples": step * batch_size, "epoch": step * batch_size / EXAMPLES}
                made.append(label | place | {"training_seconds": step * 1e-3} | metrics | end)
    cell = {"phase": phase, "cell": f"{optimizer}-{batch_size}", "optimizer": optimizer, "batch_size": batch_size}
    frame = pandas.DataFrame(made).assign(**cell)
    frame["learning_rate"] = 0.01 * 10.0 ** frame["point"] * batch_size**0.5
    return frame.assign(test_accuracy=0.93) if phase == "winners" else frame


def study(
    directory: Path,
    asked: plan.Study = STUDY,
    *,
    reaches: bool = True,
    tuned: int = 6,
    won: int = 6,
    noise: bool = False,
    **environment,
) -> Path:
    """Write a study by hand, `tuned` and `won` of its parts."""
    kept = store.Store(directory, asked)
    cells = [(name, size) for size in sorted(SIZES, reverse=True) for name in asked.optimizers]
    for phase, count, points, seeds in (("tuning", tuned, 4, 3), ("winners", won, 1, 5)):
        for name, size in cells[:count]:
            made = rows(name, size, phase, points, seeds, reaches)
            part = noisy(made, name) if noise and phase == "winners" else made
            part.to_parquet(kept.directory / phase / f"{name}-{size}.parquet", index=False, write_page_checksum=True)
    path = directory / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | environment))
    return directory


class Reader(html.parser.HTMLParser):
    """Counts what a page consists of, and collects its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.figures, self.ids, self.links, self.words = Counter(), [], [], [], []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.tags[tag] += 1
        self.ids += [values["id"]] if "id" in values else []
        self.figures += [values["id"]] if tag == "figure" else []
        self.links += [values[name] for name in ("src", "href") if name in values]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("finished")
    return page.write([study(base / "a")], base / "out" / "page.html")


def test_page_is_one_small_file_with_no_links_out_of_it(finished: Path) -> None:
    text, seen = finished.read_text(encoding="utf-8"), read(finished)
    assert finished.stat().st_size < 3e6
    assert not [link for link in seen.links if not link.startswith(("#", "data:"))]
    assert "http" not in text
    assert "@import" not in text
    assert max(Counter(seen.ids).values()) == 1, "two elements have one id"
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert references <= set(seen.ids)


def test_every_figure_is_in_the_page_and_on_disk(finished: Path) -> None:
    seen = read(finished)
    assert seen.figures == FIGURES
    assert seen.tags["svg"] == len(FIGURES)
    names = {path.name for path in (finished.parent / "figures").iterdir()}
    assert names == {f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".pdf")}


def test_tables_have_a_row_per_cell_optimizer_and_pair(finished: Path) -> None:
    text = finished.read_text(encoding="utf-8")
    assert "noise scale" not in text
    bodies = re.findall(r'class="sortable">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    assert [body.count("<tr>") for body in bodies] == [6, 2, 1]
    keys = re.findall(r'data-key="([^"]*)" class="number"', text)
    assert all(float(key) == float(key) for key in keys), "NaN has no place in an order"


def test_the_answer_is_three_sentences_with_the_numbers(finished: Path) -> None:
    entry = page._read(finished.parent.parent / "a")
    assert entry.found is not None
    said = [text.replace("\u00a0", " ") for text in answer.sentences(entry.study, entry.found, entry.rows)]
    assert len(said) == 3
    best = entry.found.cells["steps"].min()
    assert f"the fewest steps are adam’s at B = 256: {best:g} (" in said[0]
    assert "validation accuracy 0.9" in said[0]
    assert interval(entry.found.scaling["sgd"].fit.b_crit) in said[1]
    assert "adam than sgd" in said[2]
    assert all(sentence in read(finished).text for sentence in said)
    assert "not finished" not in read(finished).text
    assert "mlp-jax study study.toml" in read(finished).text


def test_a_running_study_says_how_much_of_it_is_there(tmp_path: Path) -> None:
    text = read(page.write([study(tmp_path / "a", tuned=5, won=3)], tmp_path / "page.html")).text
    assert "8 of 12 parts are there (5 of 6 cells tuned, 3 of 6 winners run alone)" in text
    said = page.summary(tmp_path / "a")
    assert said["parts"] == {"tuned": 5, "won": 3, "of": 6}
    assert not said["complete"]
    assert set(said["steps_to_target"]) == set(OPTIMIZERS)


@pytest.mark.parametrize(("tuned", "shown"), [(2, ["statuses"]), (0, [])])
def test_a_study_without_a_winner_says_so(tmp_path: Path, tuned: int, shown: list[str]) -> None:
    seen = read(page.write([study(tmp_path / "a", tuned=tuned, won=0)], tmp_path / "page.html"))
    assert "No winner has been run yet" in seen.text
    assert f"{tuned} of 12 parts are there" in seen.text
    assert seen.figures == shown
    assert "steps_to_target" not in page.summary(tmp_path / "a")


def test_a_target_nobody_reaches_is_said_plainly(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", reaches=False)], tmp_path / "page.html"))
    assert seen.figures == FIGURES[:-2], "there is nothing to compare"
    assert "Not reached: no optimizer met validation accuracy 0.9 at any batch size" in seen.text
    assert "whose median validation error ended at 0.5" in seen.text
    assert "nan" not in seen.text.lower().split()


def test_one_optimizer_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    asked = plan.changed(STUDY, {}, {"optimizers": ("sgd",)})
    seen = read(page.write([study(tmp_path / "a", asked)], tmp_path / "page.html"))
    assert seen.figures == FIGURES[:-2]
    assert "nothing to compare it with" in seen.text


def test_a_noise_scale_that_was_measured_stands_beside_the_critical_batch_size(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", noise=True)], tmp_path / "page.html"))
    assert seen.figures == [*FIGURES[:6], "noise_scale", *FIGURES[6:]]
    found = page._read(tmp_path / "a").found
    assert found is not None
    b_crit = {name: scaling.fit.b_crit.value for name, scaling in found.scaling.items()}
    assert b_crit == pytest.approx({"sgd": 100, "adam": 100}, rel=0.3), "the trials' steps vary by 10 %"
    assert f"25 for sgd, a factor of {number(b_crit['sgd'] / 25)} below its B_crit" in seen.text
    assert f"200 for adam, a factor of {number(200 / b_crit['adam'])} above its B_crit" in seen.text
    (cells, *_) = answer.tables(STUDY, found)
    at = cells.columns.index("noise scale")
    assert {(row[0].text, row[at].text) for row in cells.rows} == {("sgd", "25"), ("adam", "200")}
    assert page.summary(tmp_path / "a")["noise_scale"]["sgd"] == pytest.approx(dict.fromkeys(("1", "16", "256"), 25))


def test_a_noise_scale_is_shown_where_nobody_reaches_the_target(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", reaches=False, noise=True)], tmp_path / "page.html"))
    assert seen.figures == [*FIGURES[:6], "noise_scale"]
    assert "the gradient noise scale is 25 for sgd; 200 for adam." in seen.text


def test_studies_are_joined_by_device_with_what_does_not_compare(tmp_path: Path) -> None:
    first = study(tmp_path / "a", platform="cpu", processor="One", cores=2, x64=False)
    second = study(tmp_path / "b", platform="gpu", device_kind="Two", device_count=1, x64=True, jax="9.9")
    seen = read(page.write([first, second], tmp_path / "page.html"))
    assert seen.figures == ["joined-seconds", *(f"{i}-{name}" for i in (1, 2) for name in FIGURES)]
    assert max(Counter(seen.ids).values()) == 1
    assert "a (One, 2 cores)" in seen.text
    assert "b (Two)" in seen.text
    assert "Precision differs: x64 is False in a (One, 2 cores), True in b (Two)." in seen.text
    assert "Software differs: jax is" in seen.text
    assert "do not ask the same" not in seen.text
    assert "First to finish is" in seen.text
    assert "the optimizers rank alike everywhere: adam, sgd" in seen.text


def test_studies_that_ask_differently_are_joined_with_a_caution(tmp_path: Path) -> None:
    other = plan.changed(STUDY, {}, {"target": 0.8})
    entries = [page._read(study(tmp_path / "a")), page._read(study(tmp_path / "b", other))]
    assert "The studies do not ask the same: they differ in target." in page.cautions(entries)
    text = read(page.write([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html")).text
    assert "neither their times nor their rankings are compared" in text


def test_a_damaged_part_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    directory = study(tmp_path / "a", tuned=2, won=0)
    (directory / "tuning" / "sgd-256.parquet").write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="is damaged"):
        written = page.write([directory], tmp_path / "page.html")
    assert "sgd-256.parquet is damaged" in read(written).text
    assert read(written).figures == ["statuses"]


def test_bad_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name at least one directory"):
        page.write([], tmp_path / "page.html")
    with pytest.raises(ValueError, match="holds no study"):
        page.write([tmp_path], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_each_optimizer_has_a_look_of_its_own() -> None:
    assert set(figures.LOOKS) == set(optimizers.OPTIMIZERS)
    for part in range(2):
        assert len({look[part] for look in figures.LOOKS.values()}) == len(figures.LOOKS)
    assert dict(matplotlib.rcParams) == STARTED


@pytest.mark.parametrize(
    ("value", "written"),
    [(float("nan"), "–"), (np.inf, "∞"), (-np.inf, "−∞"), (1150.0, "1,150"), (0.0368, "0.0368"), (-22, "−22"),
     (999.6, "1,000"), (999.4, "999"), (7.1e-5, "0.000071"), (-3e-7, "−0.0000003"), (0, "0"), (0.5, "0.5")],
)  # fmt: skip
def test_numbers_are_written_plainly(value: float, written: str) -> None:
    assert number(value) == written
