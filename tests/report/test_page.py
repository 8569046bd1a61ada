"""The report: one file that needs nothing else, complete for a finished, an unfinished, a failed and a joined study."""

import html.parser
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from study_by_hand import OPTIMIZERS, STUDY, study

from mlp_jax.report import answer, page
from mlp_jax.study import plan
from mlp_jax.study.evidence import number

FIGURES = ["steps", "examples", "seconds", "learning_rates", "statuses", "curves", "profile", "differences"]


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


def test_the_answer_and_what_was_asked_are_in_the_page(finished: Path) -> None:
    entry, text = page._read(finished.parent.parent / "a"), read(finished).text
    assert entry.found is not None
    said = answer.sentences(entry.study, entry.found, entry.rows)
    assert all(sentence.replace("\u00a0", " ") in text for sentence in said)
    assert "not finished" not in text
    assert "mlp-jax study study.toml" in text


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


def test_a_noise_scale_that_was_measured_has_a_figure_and_stands_in_the_summary(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", noise=True)], tmp_path / "page.html"))
    assert seen.figures == [*FIGURES[:6], "noise_scale", *FIGURES[6:]]
    assert "25 for sgd, a factor of" in seen.text
    assert page.summary(tmp_path / "a")["noise_scale"]["sgd"] == pytest.approx(dict.fromkeys(("1", "16", "256"), 25))


def test_a_noise_scale_is_shown_where_nobody_reaches_the_target(tmp_path: Path) -> None:
    seen = read(page.write([study(tmp_path / "a", reaches=False, noise=True)], tmp_path / "page.html"))
    assert seen.figures == [*FIGURES[:6], "noise_scale"]


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


@pytest.mark.parametrize(
    ("value", "written"),
    [(float("nan"), "–"), (np.inf, "∞"), (-np.inf, "−∞"), (1150.0, "1,150"), (0.0368, "0.0368"), (-22, "−22"),
     (999.6, "1,000"), (999.4, "999"), (7.1e-5, "0.000071"), (-3e-7, "−0.0000003"), (0, "0"), (0.5, "0.5")],
)  # fmt: skip
def test_numbers_are_written_plainly(value: float, written: str) -> None:
    assert number(value) == written
