"""What can't be seen is shown as a code, and all else as it is."""

import unicodedata

import pytest

from mlp_jax.machine.controls import shown


@pytest.mark.parametrize("text", ["", "a b\tc\nd", "Größe ×\u00a0½ – 名前 \u05d0\u05d1", "🙂"])
def test_what_is_seen_stays(text: str):
    assert shown(text) == text


def test_all_that_turns_the_direction_or_steers_a_terminal_is_a_code():
    marks = [chr(code) for code in range(0x10000) if unicodedata.bidirectional(chr(code)) in
             {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}]  # fmt: skip
    steering = [
        chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Cc" and chr(code) not in "\t\n"
    ]
    assert len(marks) == 9
    for mark in [*marks, *steering]:
        assert shown(f"a{mark}b") == f"a\\u{ord(mark):04x}b"


def test_bytes_that_are_no_text_can_be_encoded():
    name = b"d\xff".decode(errors="surrogateescape")
    assert shown(name).encode() == b"d\\udcff"
