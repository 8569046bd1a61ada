"""Characters that would not be seen themselves but change what others look like, written as codes.

Invariant: what is returned can be shown and encoded anywhere, and says what the text holds.
"""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # of a terminal, but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # of the direction of writing
    "\ud800-\udfff]"  # bytes of a name that is not UTF-8, as Python keeps them
)


def shown(text: str) -> str:
    r"""Return the text with such characters as codes.

    >>> shown("abc\u202e\x1b[31m")
    'abc\\u202e\\u001b[31m'
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
