import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sweep_cv.py"


@pytest.mark.slow
def test_quick_form_times_all_three_searches():
    done = subprocess.run([sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "sweep_cv", "grid_search_cv_process_per_core", "grid_search_cv_as_called_by_default",
    ]  # fmt: skip
