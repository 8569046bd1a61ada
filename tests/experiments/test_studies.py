"""The two experiments that are studies, in their quick form."""

import re

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_size", "optimizers"])
def test_study_is_run_once_printed_and_drawn(name, load_script, capsys, tmp_path):
    module = load_script(f"experiments/{name}.py")
    options = module.Options(quick=True, out=tmp_path / "studies", figure=tmp_path / "figure.svg")
    module.main(options)
    first = capsys.readouterr().out
    assert "<svg" in options.figure.read_text()
    assert "<svg" in next(options.out.glob("*/report.html")).read_text()
    parts = {path: path.stat().st_mtime_ns for path in options.out.glob("*/*/*.parquet")}
    assert len(parts) >= (36 if name == "batch_size" else 16)
    module.main(options)
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in options.out.glob("*/*/*.parquet")} == parts
    if name == "batch_size":
        slopes = re.findall(
            r"^(sgd|momentum): steps ∝ B\^(-[\d.]+) up to B = 16; .* noise scale weighed by progress (\d+) to (\d+)",
            first,
            re.M,
        )
        assert [slope[0] for slope in slopes] == list(module.RATES)
        for _, slope, low, high in slopes:
            assert -1.3 < float(slope) < -0.5
            assert 0 < int(low) <= int(high)
        rows = re.findall(r"^(softmax classifier|MLP), sgd +([\d,]+) +([\d.e+-]+) +([\d,]+) +([\d,]+) ", first, re.M)
        assert len(rows) == 8
        cost = {row[:2]: float(row[2]) for row in rows}
        assert cost["MLP", "1"] < cost["MLP", "64"] < cost["MLP", "1150"]
    else:
        assert first.count("steps at B = 128: ") == 12
