"""Text that was typed by hand and that no spreadsheet may take for a formula."""

from __future__ import annotations

import re

NOTES = ("note", "Metadata_note", "Metadata_gradcamo_note")
"""Columns that hold it; in a CSV alone, and nowhere else, is anything put before their values."""

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def guarded(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would read a formula.

    >>> guarded("=1+1"), guarded("= and so on"), guarded("a = b")
    ("'=1+1", "'= and so on", 'a = b')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given.

    >>> unguarded("'=1+1"), unguarded("'quoted'")
    ('=1+1', "'quoted'")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
