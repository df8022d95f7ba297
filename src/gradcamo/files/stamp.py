"""What tells whether the files of an image are still the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from gradcamo.files.gaps import files_of, has_gaps
from gradcamo.files.landing import to_json
from gradcamo.files.xml_records import records_of

_READ_WHOLE = 256_000_000


def stamp(path: str | Path) -> list[int | str]:
    """Size and time of a file; of an image of several, their size and a hash of all of them.

    Labels inside an image's store are no part of the image: they have a stamp of their own.
    """
    one = Path(path)
    files = sorted(image_files(path))
    if files == [one] and one.is_file():
        stat = one.stat()
        return [stat.st_size, stat.st_mtime_ns]
    root = one if one.is_dir() else one.parent
    stats = [(os.path.relpath(file, root), file.stat()) for file in files if file.is_file()]
    stamps = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return [sum(size for _, size, _ in stamps), sha256(to_json(stamps).encode()).hexdigest()[:12]]


def content_hash(path: str | Path) -> str:
    """SHA-256 of what an image's files hold, "" where that is more than 256 MB to read.

    The same wherever the image lies and whenever it was copied there.
    """
    one = Path(path)
    files = sorted(file for file in image_files(path) if file.is_file())
    if not files or sum(file.stat().st_size for file in files) > _READ_WHOLE:
        return ""
    root = one if one.is_dir() else one.parent
    said = sha256()
    for file in files:
        said.update(f"{os.path.relpath(file, root)} {file.stat().st_size}\n".encode())
        with file.open("rb") as opened:
            while part := opened.read(1 << 22):
                said.update(part)
    return said.hexdigest()


def image_files(path: str | Path) -> Iterator[Path]:
    """Every file that an image lies in: of a store, of a name with gaps, of an OME-TIFF's set."""
    one = Path(path)
    if has_gaps(path):
        yield from (Path(file.path) for file in files_of(path))
    elif one.is_dir():
        for file in one.rglob("*"):
            if "labels" not in file.relative_to(one).parts and file.is_file():
                yield file
    else:
        yield one
        yield from (one.parent / name for name in _others(one))


def _others(path: Path) -> set[str]:
    """The files that an OME-TIFF says its other planes, or its description, lie in."""
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff"):
        return set()
    try:
        with tifffile.TiffFile(path) as tif:
            text = tif.pages.first.description if tif.is_ome else ""
    except Exception:  # damaged: named when it is read
        return set()
    if "FileName" not in text and "MetadataFile" not in text:
        return set()
    found = [record for _, record in records_of(text, ("UUID", "BinaryOnly"), str(path))]
    names = {record.get("FileName") or record.get("MetadataFile") for record in found}
    return {name for name in names if name and name != path.name}
