"""What the chunk files of a Zarr array on disk say that reading it does not."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import zarr

_NO_CHUNK = 2**64 - 1  # in the index of a shard


class WholeChunks:
    """A Zarr array that names the chunk which cannot be decoded.

    Blosc chunks are checked to be whole before: Blosc is told no length and reads past the end of a
    chunk that was cut.
    """

    def __init__(self, array: zarr.Array) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        last = array.compressors[-1:]
        self._check = not array.shards and any("Blosc" in type(codec).__name__ for codec in last)

    def __getitem__(self, index: Any) -> np.ndarray:
        zipped = zip(index, self._array.shards or self._array.chunks, strict=True)
        file = _file(self._array, tuple((part.start or 0) // size for part, size in zipped))
        if self._check:
            self._refuse_cut(file)
        try:
            return np.asarray(self._array[index])
        except MemoryError:
            raise
        except Exception as error:  # each codec has its own
            raise ValueError(f"{file.relative_to(_file(self._array, None))}: {error}") from error

    def _refuse_cut(self, file: Path) -> None:
        if not file.is_file():
            return
        with file.open("rb") as opened:
            header = opened.read(16)
        needed, there = int.from_bytes(header[12:16], "little"), file.stat().st_size
        if there < max(needed, 16):
            raise ValueError(f"{file} has {there} bytes of {max(needed, 16)}")


def absent_chunks(array: zarr.Array) -> np.ndarray:
    """Which chunks of an array are not there, (number of chunks along each axis), bool.

    They are read as the fill value. Files are listed, and of shards the index is read; no chunk is.
    """
    grid = tuple(ceil(n / size) for n, size in zip(array.shape, array.chunks, strict=True))
    outer = array.shards or array.chunks
    per_file = tuple(n // size for n, size in zip(outer, array.chunks, strict=True))
    root = _file(array, None)
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    absent = np.ones(tuple(ceil(n / size) for n, size in zip(grid, per_file, strict=True)), bool)
    inside = {}
    for place in np.ndindex(absent.shape):
        key = array.metadata.encode_chunk_key(place)
        absent[place] = key not in there
        if array.shards and not absent[place]:
            inside[place] = _lacking(root / key, array, per_file)
    for axis, n in enumerate(per_file):
        absent = absent.repeat(n, axis)
    for place, lacking in inside.items():
        first = [p * n for p, n in zip(place, per_file, strict=True)]
        absent[tuple(slice(f, f + n) for f, n in zip(first, per_file, strict=True))] = lacking
    return absent[tuple(slice(n) for n in grid)]


def _file(array: zarr.Array, chunk: tuple[int, ...] | None) -> Path:
    """The file of a chunk, or (None) the folder of the array."""
    root = Path(array.store.root) / array.path  # type: ignore[attr-defined]
    return root if chunk is None else root / array.metadata.encode_chunk_key(chunk)


def _lacking(shard: Path, array: zarr.Array, per_file: tuple[int, ...]) -> np.ndarray:
    """Which chunks of a shard its index knows nothing of."""
    codecs: tuple[Any, ...] = array.metadata.codecs  # type: ignore[union-attr]
    codec = next(codec for codec in codecs if type(codec).__name__ == "ShardingCodec")
    n = int(np.prod(per_file))
    size = 16 * n + 4 * any("Crc32c" in type(c).__name__ for c in codec.index_codecs)
    with shard.open("rb") as file:
        if getattr(codec.index_location, "value", codec.index_location) == "end":
            file.seek(-size, 2)
        index = np.frombuffer(file.read(16 * n), "<u8").reshape(n, 2)
    return np.asarray((index == _NO_CHUNK).all(1).reshape(per_file))
