"""The language in which names of files are described: ``{well}_s{site}_z{z}_{channel}.tif``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from gradcamo.errors import GradcamoError

GAPS = ("z", "t", "channel", "guid")
"""What may stay open in the name of one stack; ``*`` may, too."""
_TOKEN = re.compile(r"\{(\w+)(?::(\d*)d|:(\d*)-(\d*))?\}|\*")
_FIELDS = {
    "well": r"[A-Za-z]{1,2}-?\d{1,2}",
    "row": r"[A-Za-z]{1,2}|\d{1,2}",
    "col": r"\d{1,2}",
    "site": r"\d+",
    "z": r"\d+",
    "t": r"\d+",
    "guid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|",
}
_ANY = r"[^/]+?"


@dataclass(frozen=True)
class Pattern:
    """A path with fields in braces.

    ``{plate} {well} {row} {col} {site} {channel} {z} {t}`` are known; any other ``{name}`` is
    taken as it stands, ``*`` stands for anything within a name, ``{name:d}`` for digits only,
    ``{name:3d}`` for three of them, ``{z:1-20}`` for numbers from 1 to 20. ``{guid}`` is the
    unique number that MetaXpress appends, where there is one. A field that comes twice has to be
    the same both times.
    """

    text: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields, each once, in their order."""
        return tuple(dict.fromkeys(m[1] for m in _TOKEN.finditer(self.text) if m[1]))

    @cached_property
    def regex(self) -> re.Pattern[str]:
        seen: set[str] = set()
        parts, end = [], 0
        for number, token in enumerate(_TOKEN.finditer(self.text), 1):
            parts.append(re.escape(self.text[end : token.start()]))
            parts.append(_regex(token, seen) if token[1] else f"(?P<any{number}>[^/]*)")
            end = token.end()
        return re.compile("".join(parts) + re.escape(self.text[end:]))

    def token(self, name: str) -> str:
        """A field as it stands in the pattern."""
        return next(m[0] for m in _TOKEN.finditer(self.text) if m[1] == name)

    def match(self, path: str) -> dict[str, str] | None:
        """The fields of a path, None where it does not fit."""
        found = self.regex.fullmatch(path)
        if found is None or not all(
            int(low or 0) <= int(found[name]) <= int(high or sys.maxsize)
            for name, low, high in self._ranges
        ):
            return None
        return found.groupdict()

    @cached_property
    def _ranges(self) -> list[tuple[str, str, str]]:
        return [(m[1], m[3], m[4]) for m in _TOKEN.finditer(self.text) if m[3] is not None]

    def fill(self, values: Mapping[str, str]) -> str:
        """The path with these fields filled in; others stay open."""
        return _TOKEN.sub(lambda m: values.get(m[1], m[0]) if m[1] else m[0], self.text)


def _regex(token: re.Match[str], seen: set[str]) -> str:
    name, digits = token[1], token[2]
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    if token[3] is not None:
        digits = ""
    number = None if digits is None else rf"\d{{{digits}}}" if digits else r"\d+"
    return f"(?P<{name}>{number or _FIELDS.get(name, _ANY)})"


def has_tokens(text: str) -> bool:
    """Whether a name has fields or ``*`` in it that a stack may leave open."""
    return any(m[1] is None or m[1] in GAPS for m in _TOKEN.finditer(text))


def without_gaps(name: str) -> str:
    """The name without its fields and ``*``, and without what only they tell: ``_w``, ``-ch``."""
    kept, end = "", 0
    for token in _TOKEN.finditer(name):
        kept += re.sub(r"[-_. ]?[A-Za-z]*$", "", name[end : token.start()])
        end = token.end()
    return kept + name[end:]


def literal_start(text: str) -> str:
    """What comes before the first field or ``*``."""
    token = _TOKEN.search(text)
    return text[: token.start()] if token else text


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts 2 before 10: ``w2``, ``w10``."""
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(p), p) if p.isdecimal() else (0, 0, p) for p in parts if p)


def checked_pattern(text: str, needed: tuple[str, ...] = ()) -> Pattern:
    """A pattern that can be matched.

    Raises
    ------
    GradcamoError
        If its braces make no fields, or it lacks one that is needed.
    """
    rest = _TOKEN.sub("", text)
    if "{" in rest or "}" in rest:
        raise GradcamoError(
            f"the pattern {text!r} has braces that are no fields: fields are {{well}}, {{site}}, "
            "{channel}, {z} and the like, {channel:d} takes digits only"
        )
    pattern = Pattern(text)
    for name in needed:
        if name not in pattern.names:
            raise GradcamoError(
                f"the pattern {text!r} should hold {{{name}}}, such as '{{well}}_s{{site}}.ome.tif'"
            )
    return pattern
