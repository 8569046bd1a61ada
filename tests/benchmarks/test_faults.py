import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"


@pytest.mark.slow
def test_two_minutes_of_faults_give_no_wrong_number_no_traceback_and_no_hang():
    command = [sys.executable, str(SCRIPT), "--minutes", "2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    attacks, failed = map(int, re.findall(r"(\d+) attacks .* (\d+) failed", done.stdout)[0])
    assert attacks > 0
    assert failed == 0
