import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "defaults.py"


@pytest.mark.slow
def test_quick_form_trains_every_output_and_compares():
    done = subprocess.run([sys.executable, str(SCRIPT), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(",")[0] for line in lines[:5]] == [
        "softmax/cross_entropy", "sigmoid/binary_cross_entropy", "tanh/binary_cross_entropy",
        "identity/squared", "relu/squared",
    ]  # fmt: skip
    assert all(": learnt (" in line for line in lines[:5])
    assert [line.partition(":")[0] for line in lines[5:]] == ["iris", "diabetes"]
