"""`mlp-jax lecture` as a teacher meets it."""

import json

import pytest

from mlp_jax import cli


@pytest.fixture
def call(capsys):
    """Run `mlp-jax lecture` in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["lecture", *map(str, arguments)])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


def test_without_a_row_it_lists_them_all(call):
    code, out, err = call()
    assert (code, err) == (0, "")
    assert 'Shusen Wang, "Neural Networks: Basics"' in out
    for number in range(1, 21):
        assert f"\nL{number} " in out
        assert f"mlp-jax lecture L{number}" in out
    rows = json.loads(call("--json")[1])["rows"]
    assert [row["row"] for row in rows] == [f"L{number}" for number in range(1, 21)]


def test_a_knob_is_turned(call):
    code, out, _ = call("L14", "--w", "0.5", "1.2", "0.8", "--x", 2, "--y", 1.5, "--rate", 0.1)
    assert code == 0
    assert "L = 0.1458 before, 0.0203907 after" in out
    code, out, err = call("l14", "--w", "0.5", "3", "2", "--y", 1, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["values"]["∂L/∂w^(0)"] == 60


def test_the_page_is_written_and_named(call, tmp_path):
    code, out, err = call("L9", "--save", tmp_path / "new" / "page.html")
    assert (code, out) == (0, f"{tmp_path}/new/page.html\n")
    assert err.startswith("L9 ")
    assert "266,500" in (tmp_path / "new" / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("L21",), "there is no row 'L21'; choose one of L1 to L20"),
        (("L0",), "there is no row 'L0'; choose one of L1 to L20"),
        (("L14", "--w", "1", "2"), "w has 2 numbers; give three: w0 w1 w2"),
        (("L14", "--x", "inf"), "x inf is not allowed; give a finite number"),
        (("L14", "--w", "1", "2", "nan"), "w nan is not allowed; give a finite number"),
        (("L14", "--momentum", "0.5"), "L14 has no --momentum; its options: --w, --x, --y, --rate"),
        (("--rate", "0.1"), "--rate is for a row; name one, such as L14"),
        (("L9", "--save", "page.pdf"), "--save page.pdf is no page; name a file that ends in .html or .md"),
        (("L9", "--save", "/proc/no/page.md"), "can't make /proc/no: No such file or directory; name another place"),
        (("L9", "--hidden", "0"), "hidden 0 is not allowed; give a whole number of at least 1"),
    ],
)
def test_bad_input_is_one_line(call, arguments, said):
    assert call(*arguments) == (2, "", f"error: {said}\n")
