"""Write invisible characters that change how other text looks as codes.

Invariant: the result can be shown and encoded anywhere, and shows everything that the text contains.
"""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls of a terminal, except tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # controls of the direction of writing
    "\ud800-\udfff]"  # Python's form of the bytes of a name that is not UTF-8
)


def shown(text: str) -> str:
    r"""Return the text with such characters as codes.

    >>> shown("abc\u202e\x1b[31m")
    'abc\\u202e\\u001b[31m'
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
