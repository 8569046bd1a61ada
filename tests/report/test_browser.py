"""The page in a headless browser, from file:// and without a network: no errors, figures drawn, tables that sort."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from mlp_jax import bench, study
from mlp_jax.bench import timings
from mlp_jax.machine import files
from mlp_jax.report import page
from mlp_jax.study import Study
from mlp_jax.training.config import Config

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium here")]

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", "--window-size=1200,900",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom",
)  # fmt: skip
LOOK = """
<script>
addEventListener("load", () => {
  const box = (element) => { const { width, height } = element.getBoundingClientRect(); return [width, height]; };
  const figures = [...document.querySelectorAll("figure")].map((figure) => {
    const svg = figure.querySelector("svg");
    return { name: figure.id, svg: svg ? box(svg) : [0, 0],
      marks: [...figure.querySelectorAll("svg path, svg use")].filter((each) => Math.max(...box(each)) > 0).length };
  });
  const tables = [...document.querySelectorAll("table.sortable")].map((table) => {
    const keys = (column) => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.key);
    return [...table.querySelectorAll("th button")].map((button, column) => {
      const before = keys(column);
      button.click();
      const up = keys(column), said = button.parentElement.getAttribute("aria-sort");
      button.click();
      return { column: button.textContent, before, up, down: keys(column), said };
    });
  });
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const report = document.createElement("script");
  report.type = "application/json";
  report.id = "seen";
  report.textContent = JSON.stringify({ figures, tables, loaded, overflow });
  document.body.append(report);
});
</script>
"""


class Seen(NamedTuple):
    """What the browser found: figures with the sizes of their boxes, each column before and after sorting, errors."""

    figures: list[dict]
    tables: list[list[dict]]
    loaded: list[str]
    overflow: float
    console: list[str]


def look(path: Path, folder: Path) -> Seen:
    """Open a copy of the page that looks at itself once it is loaded."""
    copy = folder / "copy.html"
    text = path.read_text(encoding="utf-8").replace("</body>", LOOK + "</body>")
    copy.write_text(admitting(text), encoding="utf-8")
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={folder / 'profile'}", copy.as_uri()]
    environment = os.environ | {"HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True)
    console = re.findall(r":CONSOLE[^\]]*\] (.*)", done.stderr)
    found = re.search(r'<script type="application/json" id="seen">(.*?)</script>', done.stdout, re.DOTALL)
    assert found, f"the page did not load: {console or done.stderr[-2000:]}"
    return Seen(**json.loads(html.unescape(found[1])), console=console)


def admitting(text: str) -> str:
    """Return a page whose policy lets all its scripts run, those too that a test has put there or changed."""
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    text, count = re.subn(
        r"script-src [^;]*;", "script-src " + " ".join(f"'sha256-{each}'" for each in hashes) + ";", text
    )
    assert count == 1
    return text


def faults(seen: Seen, figures: list[str], tables: int) -> list[str]:
    """Say in words what is wrong with a page that should have these figures, and so many tables."""
    said = [*seen.console, *(f"loads {name}" for name in seen.loaded if not name.startswith("data:"))]
    if (names := [figure["name"] for figure in seen.figures]) != figures:
        said.append(f"figures {names}")
    said += [f"{each['name']} is not drawn" for each in seen.figures if min(each["svg"]) < 100 or each["marks"] < 20]
    if len(seen.tables) != tables:
        said.append(f"{len(seen.tables)} tables")
    said += [f"{column['column']} does not sort" for table in seen.tables for column in table if not sorts(column)]
    return said + [f"{seen.overflow} pixels wider than the window"] * (seen.overflow > 0)


def sorts(column: dict) -> bool:
    """Whether a first click puts the keys in order and a second one reverses them; equal rows keep their order."""
    keys = column["before"]
    try:
        ordered = sorted(keys, key=float)
    except ValueError:
        ordered = sorted(keys, key=str.casefold)
    return (column["up"], column["down"], column["said"]) == (ordered, ordered[::-1], "ascending")


FIGURES = ["steps", "examples", "seconds", "responses", "learning_rates", "statuses", "curves", "differences"]
QUICK = {"optimizers": ("sgd", "momentum"), "rounds": 1, "fresh_seeds": 3, "evaluations": 24}


def run(directory: Path, **asked) -> Path:
    """Run a study of four cells."""
    assert study.run(Study(**QUICK | asked), directory).complete
    return directory


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workload = Config(dataset="iris", hidden=(4,), validation=0.2)
    directory = tmp_path_factory.mktemp("classes")
    return run(directory, workload=workload, batch_sizes=(4, 32), max_epochs=20.0, target=0.8)


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workload = Config(dataset="diabetes", hidden=(4,), validation=0.2)
    directory = tmp_path_factory.mktemp("regression")
    return run(directory, workload=workload, batch_sizes=(16, 128), max_epochs=20.0, target=65.0)


@pytest.fixture(scope="module")
def written(classes: Path) -> Path:
    return page.write([classes], classes / "report.html")


def test_a_page_works(written: Path, tmp_path: Path) -> None:
    assert written.stat().st_size < 3e6
    assert not faults(look(written, tmp_path), FIGURES, 3)


def test_a_page_of_two_studies_works(classes: Path, tmp_path: Path) -> None:
    other = shutil.copytree(classes, tmp_path / "other")
    environment = files.parsed_json(other / "environment.json")
    files.write_json(other / "environment.json", environment | {"processor": "Another", "x64": True})
    path = page.write([classes, other], tmp_path / "page.html")
    assert path.stat().st_size < 3e6
    names = ["joined-seconds", *(f"{i}-{name}" for i in (1, 2) for name in FIGURES)]
    assert not faults(look(path, tmp_path), names, 7)


def test_a_page_of_studies_and_machines_whose_precision_differs_works_and_warns(
    classes: Path, two: list[Path], tmp_path: Path
) -> None:
    path = page.write([classes, *two], tmp_path / "page.html")
    assert path.stat().st_size < 3e6
    assert not faults(look(path, tmp_path), ["step_times", "throughput", *FIGURES], 6)
    assert "Precision differs: matmul precision is default in" in path.read_text(encoding="utf-8")


def test_a_page_of_a_study_and_the_times_of_three_devices_works(classes: Path, tmp_path: Path) -> None:
    """The times of a step are this machine's, and what devices of other speeds would have measured."""
    made = timings.measure(study.read_plan(classes), timings.Effort(1, 0.01))
    records = []
    for number, kind in enumerate(("cpu", "Two", "Three"), 1):
        cells = [row | {"step_seconds": row["step_seconds"] / number} for row in made["cells"]]
        environment = made["environment"] | {"device_kind": kind, "platform": kind.lower()}
        records.append(tmp_path / f"{kind}.json")
        bench.write(made | {"cells": cells, "environment": environment}, records[-1])
    path = page.write([classes, *records], tmp_path / "page.html", prices=(0.1, 0.1, 1.0, 2.0))
    assert path.stat().st_size < 3e6
    assert not faults(look(path, tmp_path), ["devices-seconds", *FIGURES], 6)


def test_a_page_of_a_regression_works_and_speaks_of_its_error(regression: Path, tmp_path: Path) -> None:
    path = page.write([regression], tmp_path / "page.html")
    assert not faults(look(path, tmp_path), FIGURES, 4)  # one more, of the trials that failed
    words = html.unescape(re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8")))
    assert "validation RMSE 65" in words
    assert "test rmse" in words
    assert "accuracy" not in words


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('body.append(...rows);', "", "does not sort"),
        ("(up ? 1 : -1)", "1", "does not sort"),
        ("const head =", "const head = nothing +", "Uncaught ReferenceError: nothing is not defined"),
        ("</body>", "<img src='https://example.org/a.png'></body>", "https://example.org/a.png"),
        ("</body>", "<script>console.warn('careful')</script></body>", "careful"),
        ("</head>", "<style>#steps svg { display: none }</style></head>", "steps is not drawn"),
        ("</head>", "<style>body { min-width: 3000px }</style></head>", "wider than the window"),
    ],
)  # fmt: skip
def test_a_broken_page_is_noticed(written: Path, tmp_path: Path, before: str, after: str, said: str) -> None:
    text, path = written.read_text(encoding="utf-8"), tmp_path / "page.html"
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")
    assert any(said in fault for fault in faults(look(path, tmp_path), FIGURES, 3))
