"""XML that others wrote, read record by record; document types and entities are refused."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gradcamo.errors import GradcamoError

_CHUNK = 1 << 20


class _Target:
    """Collects the wanted elements as flat dicts, so that a large index takes little memory."""

    def __init__(self, wanted: Collection[str], source: str) -> None:
        self.wanted, self.source = wanted, source
        self.found: list[tuple[str, dict[str, str]]] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self._text: list[str] = []

    def doctype(self, *_: Any) -> None:
        raise GradcamoError(
            f"{self.source} declares a document type, which can hold entities that grow without "
            "bound: it is not read; export it again, or remove the lines up to its root element"
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._text = []
        name = _local(tag)
        if name in self.wanted:
            self._open.append((name, {_local(key): value for key, value in attributes.items()}))

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        name, text = _local(tag), "".join(self._text).strip()
        self._text = []
        if self._open and self._open[-1][0] == name:
            record = self._open.pop()
            record[1].setdefault("", text)
            self.found.append(record)
        elif self._open and text:
            self._open[-1][1].setdefault(name, text)

    def close(self) -> None:
        """Nothing is left to do: ``found`` has it all."""


def read_records(path: Path, wanted: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """The elements of some names with their attributes, their leaves' texts, and ("") their own.

    Parameters
    ----------
    path : path
    wanted : names of elements, without namespace

    Raises
    ------
    GradcamoError
        If the file is unreadable, no XML, or declares a document type.
    """
    target = _Target(wanted, str(path))
    parser = ElementTree.XMLParser(target=target)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
        parser.close()
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        if isinstance(error, GradcamoError):
            raise
        raise GradcamoError(
            f"{path} cannot be read as XML ({error}): copy or export it again, or move it away "
            "and say with pattern=… how the files are named"
        ) from error
    return target.found


def records_of(text: str, wanted: Collection[str], source: str) -> list[tuple[str, dict[str, str]]]:
    """`read_records` of XML that stands in another file; nothing where it is no XML."""
    target = _Target(wanted, source)
    parser = ElementTree.XMLParser(target=target)
    try:
        parser.feed(text)
        parser.close()
    except ElementTree.ParseError:
        return []
    return target.found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
