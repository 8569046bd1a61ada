"""The report: one file that needs nothing else, complete for a finished, an unfinished, a failed and a joined study."""

import fcntl
import html.parser
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from study_by_hand import OPTIMIZERS, REAL, STUDY, study

from mlp_jax.report import answer, page
from mlp_jax.report.reading import Reading
from mlp_jax.study import contents, plan
from mlp_jax.study.evidence import findings
from mlp_jax.study.summary import number, to_json

FIGURES = ["steps", "examples", "seconds", "responses", "definitions", "learning_rates", "statuses", "curves"]
COMPARED = [*FIGURES, "differences"]
WITHOUT_LINES = [name for name in FIGURES if name != "definitions"]
NOISY = plan.changed(STUDY, {}, {"noise_scale": True})


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
        if self.lasttag not in ("script", "style"):
            self.words.append(data)


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out, which takes most of the time; the pages of `finished` and `both` were drawn before."""
    monkeypatch.setattr(page.canvas, "save", lambda figure, path: None)
    monkeypatch.setattr(page.canvas, "inline", lambda figure, name: Markup("<svg></svg>"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("finished")
    return page.write([study(base / "a")], base / "out" / "page.html")


def test_page_is_one_small_file_with_no_links_out_of_it(finished: Path) -> None:
    text, seen = finished.read_text(encoding="utf-8"), read(finished)
    assert finished.stat().st_size < 3e6
    assert not [link for link in seen.links if not link.startswith(("#", "data:"))]
    assert not re.search(r"https?:", text)
    assert "@import" not in text
    assert max(Counter(seen.ids).values()) == 1, "two elements have one id"
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert references <= set(seen.ids)


@pytest.mark.parametrize("kind", ["beside the study", "in the study"])
def test_a_pipe_is_a_page_s_place_where_a_person_named_it_and_no_page_of_a_study(tmp_path: Path, kind: str) -> None:
    directory, own = study(tmp_path / "a", STUDY, complete=1), kind == "in the study"
    out = (directory if own else tmp_path) / "report.html"
    os.mkfifo(out)
    reader = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 2**20)
    page.write([directory], out)
    assert out.is_file() is own
    assert bool(os.read(reader, 15)) is not own
    os.close(reader)


def test_every_figure_is_in_the_page_and_on_disk(finished: Path) -> None:
    seen = read(finished)
    assert seen.figures == COMPARED
    assert seen.tags["svg"] == len(COMPARED)
    names = {path.name for path in (finished.parent / "figures").iterdir()}
    assert names == {f"{name}{suffix}" for name in COMPARED for suffix in (".png", ".pdf")}


def test_tables_have_a_row_per_cell_optimizer_and_pair(finished: Path) -> None:
    text = finished.read_text(encoding="utf-8")
    assert "noise scale" not in text
    bodies = re.findall(r'class="sortable">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    rows = contents.read_study(finished.parent.parent / "a")
    failed = rows.query("status == 'INFEASIBLE'")["trial"].nunique()
    assert [body.count("<tr>") for body in bodies] == [6, 2, 2, failed]
    keys = re.findall(r'data-key="([^"]*)" class="number"', text)
    assert keys
    assert all(float(key) == float(key) for key in keys), "NaN has no place in an order"


def test_the_answer_and_what_was_asked_are_in_the_page(finished: Path) -> None:
    entry, text = page.read(finished.parent.parent / "a", page.AS_ASKED), read(finished).text
    assert entry.found is not None
    said = answer.sentences(entry.study, entry.found, entry.histories.trials)
    assert all(sentence.replace("\u00a0", " ") in text for sentence in said)
    for row in entry.found.cells.to_dict("records"):
        assert f"{number(row['steps'])} [{number(row['steps_low'])}, {number(row['steps_high'])}]" in text
    assert "not finished" not in text
    assert "Read otherwise" not in text
    assert "mlp-jax study study.toml" in text
    assert f"steps to target are {answer.defined(entry.found)}." in text


def test_the_summary_has_the_numbers_of_the_page(finished: Path) -> None:
    directory = finished.parent.parent / "a"
    entry, said = page.read(directory, page.AS_ASKED), page.summary(directory)
    assert (said["complete"], said["cells_done"]) == (True, {"complete": 6, "of": 6})
    assert entry.found is not None
    assert said == said | to_json(entry.found)


def test_a_running_study_says_how_much_of_it_is_there(tmp_path: Path) -> None:
    text = read(page.write([study(tmp_path / "a", complete=3, jobs=2)], tmp_path / "page.html")).text
    assert "This study is not finished: 3 of 6 cells are complete." in text
    said = page.summary(tmp_path / "a")
    assert (said["complete"], said["cells_done"]) == (False, {"complete": 3, "of": 6})
    assert said["cells"] == 3
    assert set(said["steps_to_target"]) == set(OPTIMIZERS)
    assert set(said["steps_to_target"]["adam"]) == {"256"}, "large batches come first"


@pytest.mark.parametrize(("jobs", "shown"), [(1, ["responses", "statuses"]), (4, ["responses", "statuses"]), (0, [])])
def test_a_study_without_a_winner_says_so(tmp_path: Path, jobs: int, shown: list[str]) -> None:
    seen = read(page.write([study(tmp_path / "a", complete=0, jobs=jobs)], tmp_path / "page.html"))
    assert "No winner has been run yet" in seen.text
    assert "0 of 6 cells are complete" in seen.text
    assert seen.figures == shown
    assert "steps_to_target" not in page.summary(tmp_path / "a")


def test_an_unfinished_page_shows_each_cell_and_a_live_one_renews_itself(tmp_path: Path) -> None:
    directory = study(tmp_path / "a", complete=2, jobs=1)
    text = page.write([directory], tmp_path / "page.html").read_text(encoding="utf-8")
    seen = Reader(text)
    assert seen.tags["progress"] == 6
    assert "2 of 6 cells are complete, with 11 of about 30 rounds" in seen.text
    assert "fetch(" not in text
    live, complete = page.watched(directory)
    assert not complete
    assert "fetch(" in live
    assert Reader(live).ids.count("live") == 1
    assert max(Counter(Reader(live).ids).values()) == 1


def test_a_finished_page_has_no_progress_and_lists_what_failed(finished: Path) -> None:
    seen = read(finished)
    assert seen.tags["progress"] == 0
    assert "Trials that failed" in seen.text
    assert "the loss was not finite at step" in seen.text


def test_a_study_that_has_not_read_its_data_says_nothing_more(tmp_path: Path) -> None:
    directory = study(tmp_path / "a", complete=0)
    (directory / "data.json").unlink()
    seen = read(page.write([directory], tmp_path / "page.html"))
    assert "0 of its cells are complete" in seen.text
    assert seen.figures == []


def test_a_target_nobody_reaches_is_said_plainly(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", reaches=False)], tmp_path / "page.html"))
    assert seen.figures == WITHOUT_LINES, "there is nothing to compare"
    assert "Not reached: validation accuracy 0.9 was not met by any trial at any batch size" in seen.text
    assert "whose median validation error ended at 0.5" in seen.text
    assert "Target not reached: sgd at B = 1, 16, 256; adam at B = 1, 16, 256." in seen.text
    assert not {"nan", "inf", "-inf"} & set(seen.text.lower().split())


@pytest.mark.slow
def test_one_optimizer_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    asked = plan.changed(STUDY, {}, {"optimizers": ("sgd",)})
    seen = read(page.write([study(tmp_path / "a", asked)], tmp_path / "page.html"))
    assert seen.figures == FIGURES
    assert "nothing to compare it with" in seen.text


@pytest.mark.slow
def test_a_regression_speaks_of_its_error(tmp_path: Path) -> None:
    asked = plan.changed(STUDY, {}, {"target": 50.0})
    seen = read(page.write([study(tmp_path / "a", asked, facts=REAL)], tmp_path / "page.html"))
    assert seen.figures == COMPARED
    assert "To reach validation RMSE 50, the fewest steps are" in seen.text
    assert "accuracy" not in seen.text


def test_a_search_of_points_says_so_and_has_no_valleys(tmp_path: Path) -> None:
    asked = plan.changed(STUDY, {}, {"method": "halton", "points": 12, "seeds": 2})
    seen = read(page.write([study(tmp_path / "a", asked)], tmp_path / "page.html"))
    assert seen.figures == [name for name in COMPARED if name != "responses"]
    assert "over 12 points of its search space (halton) with 2 seeds each" in seen.text
    assert "the median over 5 fresh seeds of the best point that was found" in seen.text
    assert "robust parabola" not in seen.text
    assert "the winner’s runs end at 4 times the steps of its point" in seen.text
    assert "fitted bottom" not in seen.text
    assert "the best found, not the best there is" in seen.text


@pytest.mark.parametrize(
    ("schedule", "said"),
    [("constant", "is constant."), ("cosine", "falls by the end of the budget of its cell (schedule cosine).")],
)
def test_how_the_learning_rate_goes_is_said(tmp_path: Path, schedule: str, said: str) -> None:
    directory = study(tmp_path / "a", plan.changed(STUDY, {}, {"schedule": schedule}), complete=0)
    assert f"The learning rate {said} Each optimizer" in Reader(page.watched(directory)[0]).text


@pytest.mark.slow
def test_a_noise_scale_that_was_measured_has_a_figure_and_stands_in_the_summary(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", NOISY)], tmp_path / "page.html"))
    assert seen.figures == [*FIGURES, "noise_scale", "differences"]
    assert "25 (25 to 25) for sgd, a factor of" in seen.text
    assert page.summary(tmp_path / "a")["noise_scale"]["sgd"] == pytest.approx(dict.fromkeys(("1", "16", "256"), 25))


def test_a_noise_scale_is_shown_where_nobody_reaches_the_target(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", NOISY, reaches=False)], tmp_path / "page.html"))
    assert seen.figures == [*WITHOUT_LINES, "noise_scale"]


@pytest.mark.slow
def test_another_reading_is_said_and_so_are_its_numbers(finished: Path, tmp_path: Path) -> None:
    directory, reading = finished.parent.parent / "a", Reading(0.85, first_crossing=True)
    seen = read(page.write([directory], tmp_path / "page.html", reading))
    assert "Read otherwise than asked, from the same trials: to validation accuracy 0.85; a target counts" in seen.text
    assert "To reach validation accuracy 0.85, the fewest steps" in seen.text
    assert f"mlp-jax report {directory} --target 0.85 --definition first-crossing --out " in seen.text
    assert seen.figures == COMPARED
    rows = contents.read_study(directory)
    found = findings(rows, STUDY, reading.of(STUDY, rows))
    assert found.definition == (0.85, False, 1.0, 1)
    assert all(number(steps) in seen.text for steps in found.cells["steps"])


@pytest.mark.parametrize(("reading", "smoothing"), [(Reading(target=0.85), 1.25), (Reading(first_crossing=True), 1.0)])
def test_rows_and_findings_are_read_alike(finished: Path, reading: Reading, smoothing: float) -> None:
    entry = page.read(finished.parent.parent / "a", reading)
    assert entry.found is not None
    assert entry.found.definition == (reading.target or 0.9, False, smoothing, 1)
    won = entry.histories.trials.query("phase == 'winners'").set_index("trial")[["steps_to_target", "steps"]]
    assert sorted(won["steps_to_target"]) == sorted(entry.found.winners["steps_to_target"])
    met = won["steps_to_target"] < np.inf
    assert (won.loc[met, "steps_to_target"] < won.loc[met, "steps"]).all(), "sooner than where the trials ended"


def test_the_studys_own_reading_is_no_other(finished: Path) -> None:
    directory = finished.parent.parent / "a"
    same = page.summary(directory, Reading(target=0.9))
    assert same == page.summary(directory)
    assert Reading(target=0.9).options == ["--target", "0.9"]
    assert page.AS_ASKED.options == []


@pytest.mark.parametrize("target", [0.95, float("nan")])
def test_a_target_that_was_not_trained_for_is_refused(finished: Path, tmp_path: Path, target: float) -> None:
    directory, asked = finished.parent.parent / "a", Reading(target=target)
    for write in (
        lambda: page.write([directory], tmp_path / "page.html", asked),
        lambda: page.summary(directory, asked),
    ):
        with pytest.raises(ValueError, match="can't be read from trials that ended at 0.9 .* or run a study of it"):
            write()
    assert not (tmp_path / "page.html").exists()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, asked = tmp_path_factory.mktemp("both"), plan.changed(STUDY, {}, {"batch_sizes": (16, 256)})
    first = study(base / "a", asked, platform="cpu", processor="One", cores=2, x64=False)
    second = study(base / "b", asked, platform="gpu", device_kind="Two", device_count=1, x64=True, jax="9.9")
    return page.write([first, second], base / "page.html")


@pytest.mark.slow
def test_studies_are_joined_by_device_with_what_does_not_compare(both: Path) -> None:
    seen = read(both)
    assert seen.figures == [
        "joined-seconds",
        *(f"{i}-{name}" for i in (1, 2) for name in (*WITHOUT_LINES, "differences")),
    ]
    assert max(Counter(seen.ids).values()) == 1
    assert "a (One, 2 cores)" in seen.text
    assert "b (Two)" in seen.text
    assert "Precision differs: x64 is False in a (One, 2 cores), True in b (Two)." in seen.text
    assert "Software differs: jax is" in seen.text
    assert "do not ask the same" not in seen.text
    assert "First to finish is" in seen.text
    assert "the optimizers rank alike everywhere: adam, sgd" in seen.text


def test_studies_that_ask_differently_are_joined_with_a_caution(tmp_path: Path) -> None:
    small = plan.changed(STUDY, {}, {"optimizers": ("sgd",), "batch_sizes": (256,)})
    other = plan.changed(small, {}, {"target": 0.8})
    entries = [page.read(each, page.AS_ASKED) for each in (study(tmp_path / "a", small), study(tmp_path / "b", other))]
    assert "The studies do not ask the same: they differ in target." in page.cautions(entries)
    text = read(page.write([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html")).text
    assert "neither their times nor their rankings are compared" in text


def test_a_damaged_part_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    directory = study(tmp_path / "a", complete=3)
    part = sorted((directory / "winners").glob("*.parquet"))[0]
    part.write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="is damaged"):
        written = page.write([directory], tmp_path / "page.html")
    seen = read(written)
    assert f"{part.name} is damaged" in seen.text
    assert "2 of 6 cells are complete" in seen.text
    with pytest.warns(UserWarning, match="is damaged"):
        assert page.summary(directory)["cells"] == 2


def test_a_record_of_the_environment_that_is_no_record_is_named(tmp_path: Path) -> None:
    directory = study(tmp_path / "a", complete=1)
    (directory / "environment.json").write_text("{")
    assert "environment.json" in read(page.write([directory], tmp_path / "page.html")).text.partition("Answer")[0]


def test_bad_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name at least one directory"):
        page.write([], tmp_path / "page.html")
    with pytest.raises(ValueError, match="holds no study"):
        page.write([tmp_path], tmp_path / "page.html")
    with pytest.raises(ValueError, match="name a file that ends in .html"):
        page.write([tmp_path], tmp_path / "page.pdf")
    assert not list(tmp_path.iterdir())  # neither a page nor a folder for its figures


def test_parts_that_others_made_are_a_caution(tmp_path: Path) -> None:
    entry = page.read(study(tmp_path / "a", plan.changed(STUDY, {}, {"optimizers": ("sgd",)})), page.AS_ASKED)
    assert page.cautions([entry]) == []
    makers = [{"jax": "0.10.2", "platform": "cpu"}, {"jax": "0.11.0", "platform": "cpu"}]
    (said,) = page.cautions([entry._replace(made_by=makers)])
    assert said == "Software differs: jax is 0.10.2 in parts of a (1), 0.11.0 in parts of a (2)."
