"""Try bad inputs on the commands: does each end in a clear word, and never in a traceback?

    python benchmarks/fuzz.py [--only images,tables] [--show]

Every case is a file, a table, a setting or metadata that is damaged, hostile or absurd. The outcome
is ``clear`` (one line that names the file or the setting, exit status 1 or 2), ``accepted``
(nothing was wrong after all, and what came out is what went in), ``traceback``, ``vague`` (a line
that names nothing), ``hang``, ``bomb`` (more than 1 GB was taken) or ``wrong`` (a result of what
should have been refused). POSIX alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import pickle
import re
import resource
import shutil
import signal
import socket
import struct
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import tifffile
from click.testing import CliRunner
from tiny import tiny_checkpoint, tiny_plate

import gradcamo as gc
from gradcamo.cli.commands import main as gradcamo

HANGS_AFTER_S, BOMB_BYTES = 60, 1_000_000_000
ABSURD = [None, -1, 0, 1.5, "x", "", [], {}, True, 10**18, "../../../etc/passwd"]


@dataclass
class Case:
    """A bad input: which command takes it, and words of which one must be in the error.

    ``harmless`` cases may be accepted, if ``same`` then says that nothing changed.
    """

    name: str
    command: list[str]
    named: tuple[str, ...]
    harmless: bool = False
    same: Callable[[], bool] | None = None


class Seeds:
    """Sound files that the cases are made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plate = tiny_plate(folder / "seed", sites=1)
        self.model = folder / "model.safetensors"
        tiny_checkpoint().save(self.model)
        row = gc.read_plate(self.plate).iloc[0]
        self.image, self.labels = Path(row["image"]), Path(row["labels"])
        self.stack = gc.read_stack(self.image).in_memory()
        self.cells = gc.read_labels(self.labels)
        self.zarr = folder / "seed.ome.zarr"
        gc.write_stack(self.zarr, self.stack, self.cells)
        self.numbers = iter(range(10**6))

    def new(self, ending: str) -> Path:
        path = self.folder / "cases" / f"case{next(self.numbers):04d}{ending}"
        path.parent.mkdir(exist_ok=True)
        return path

    def out(self, ending: str) -> str:
        return str(self.folder / "out" / f"{next(self.numbers):04d}{ending}")


def images(seeds: Seeds) -> Iterator[Case]:
    """Files that are no image, or no longer one."""

    def convert(path: Path, name: str, harmless: bool = False) -> Case:
        out = seeds.out(".ome.tif")

        def same() -> bool:
            return np.array_equal(gc.read_stack(out).in_memory().data, seeds.stack.data)

        command = ["convert", str(path), "-o", out]
        return Case(f"image: {name}", command, (path.name,), harmless, same)

    whole = seeds.image.read_bytes()
    rng = np.random.default_rng(0)
    for share in (0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99):
        path = seeds.new(".ome.tif")
        path.write_bytes(whole[: int(len(whole) * share)])
        yield convert(path, f"cut to {share:.1%}")
    with tifffile.TiffFile(seeds.image) as tif:
        tags = [tag for page in tif.pages[:2] for tag in page.tags]
        description = tif.ome_metadata or ""
    for tag in tags:
        for filler in (b"\x00", b"\xff"):
            content = bytearray(whole)
            content[tag.offset + 8 : tag.offset + 12] = filler * 4  # its value, or where that is
            path = seeds.new(".ome.tif")
            path.write_bytes(content)
            yield convert(path, f"tag {tag.name} {filler.hex()}", harmless=True)
    for name in re.findall(r'(\w+)="', description)[:40]:
        for value in ("", "-1", "99999999", "nan"):
            said = re.sub(rf'\b{name}="[^"]*"', f'{name}="{value}"', description)
            path = seeds.new(".ome.tif")
            tifffile.imwrite(path, seeds.stack.data, description=said.encode(), metadata=None)
            yield convert(path, f'OME {name}="{value}"', harmless=True)
    for name, content in {
        "text": b"hello",
        "noise": rng.bytes(5000),
        "a pickle": pickle.dumps({"a": 1}),
        "a JPEG's head": b"\xff\xd8\xff\xe0" + bytes(50),
        "HTML": b"<html>",
        "a TIFF's head alone": b"II*\x00\x08\x00\x00\x00",
        "a loop of pages": b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00",
        "big TIFF's head": b"II+\x00\x08\x00\x00\x00" + b"\xff" * 8,
    }.items():
        for ending in (".tif", ".npy", ".png", ".czi", ".txt"):
            path = seeds.new(ending)
            path.write_bytes(content)
            yield convert(path, f"{name} as {ending}")
    for name, make in {
        "a FIFO": os.mkfifo,
        "a socket": _socket,
        "a folder": Path.mkdir,
        "a link to itself": lambda path: path.symlink_to(path),
        "a link to nothing": lambda path: path.symlink_to("nowhere"),
        "a link to a device": lambda path: path.symlink_to("/dev/zero"),
        "nothing": lambda path: None,
    }.items():
        for ending in (".tif", ".ome.zarr", ".npy"):
            path = seeds.new(ending)
            make(path)
            yield convert(path, f"{name} as {ending}")
    yield convert(_huge_page(seeds.new(".tif")), "a page of 60,000² in 1 kB")
    np.save(seeds.new("x.npy"), np.array([{"a": 1}], object), allow_pickle=True)
    for dtype in ("complex64", "bool", "datetime64[s]", "U4", "float16", "int64"):
        path = seeds.new(".npy")
        np.save(path, np.ones((3, 8, 8)).astype(dtype))
        yield Case(f"image: npy of {dtype}", ["convert", str(path), "-o", seeds.out(".ome.tif")],
                   (path.name,), harmless=True)  # fmt: skip


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _huge_page(path: Path) -> Path:
    """A TIFF that says it has 60,000 × 60,000 voxels in one strip of zlib."""
    side = 60_000
    entries = [(256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, 8), (262, 3, 1),
               (273, 4, 200), (277, 3, 1), (278, 4, side), (279, 4, 100)]  # fmt: skip
    head = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries))
    head += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    path.write_bytes((head + bytes(4)).ljust(200, b"\0") + bytes(100))
    return path


def zarrs(seeds: Seeds) -> Iterator[Case]:
    """OME-Zarr with one entry of its metadata changed or gone."""
    for where in (".", "0", "labels", "labels/cells", "labels/cells/0"):
        file = f"{where}/zarr.json"
        said = json.loads((seeds.zarr / file).read_text())
        for place in _places(said):
            values = ABSURD if where in (".", "0") else ABSURD[:6]
            for value in ["gone", *values]:
                changed = _changed(said, place, value)
                if changed == said:
                    continue
                path = seeds.new(".ome.zarr")
                shutil.copytree(seeds.zarr, path, copy_function=os.link)
                (path / file).unlink()
                (path / file).write_text(json.dumps(changed))
                out = seeds.out(".ome.tif")
                name = f"{file} {'.'.join(map(str, place))} = {value!r}"
                if where in (".", "0"):
                    command = ["convert", str(path), "-o", out]

                    def same(out: str = out) -> bool:
                        return gc.read_stack(out).shape == seeds.stack.shape

                else:
                    labels = path / "labels" / "cells"
                    command = [
                        "convert",
                        str(seeds.image),
                        "--image-labels",
                        str(labels),
                        "-o",
                        out,
                    ]

                    def same(out: str = out) -> bool:
                        return True

                yield Case(f"zarr: {name}", command, (path.name,), True, same)


def _places(said: Any, place: tuple = ()) -> Iterator[tuple]:
    if place:
        yield place
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _places(value, (*place, name))
    elif isinstance(said, list):
        for i, value in enumerate(said[:2]):
            yield from _places(value, (*place, i))


def _changed(said: Any, place: tuple, value: Any) -> Any:
    said = copy.deepcopy(said)
    at = said
    for name in place[:-1]:
        at = at[name]
    if value == "gone":
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return said


def labels(seeds: Seeds) -> Iterator[Case]:
    """Labels that are none, or another image's."""
    cells = seeds.cells
    bad = {
        "fractions": cells + 0.5,
        "negative": cells.astype(np.int32) - 1,
        "one plane less": cells[1:],
        "turned": cells.swapaxes(1, 2)[:, :-1],
        "empty": cells[:0],
        "NaN": np.where(cells > 0, cells, np.nan).astype(np.float32),
        "infinite": np.where(cells > 0, cells, np.inf).astype(np.float32),
        "five axes": cells[None, None],
        "one number": np.array(5),
        "a mask": (cells > 0).astype(np.uint8) * 255,
        "the image": seeds.stack.data,
    }
    for name, array in bad.items():
        for ending in (".tif", ".npy"):
            path = seeds.new(ending)
            try:
                tifffile.imwrite(path, array) if ending == ".tif" else np.save(path, array)
            except Exception:  # not every array is a TIFF
                continue
            command = ["audit", str(seeds.image), "--labels", str(path)]
            command += ["--checkpoint", str(seeds.model), "-o", seeds.out(".csv")]
            harmless = name == "five axes"  # of one voxel each
            yield Case(f"labels: {name} as {ending}", command, (path.name,), harmless)


def tables(seeds: Seeds) -> Iterator[Case]:
    """Tables of plates, dry."""
    text = seeds.plate.read_text()
    header, *rows = text.splitlines()
    names = header.split(",")
    folder = seeds.plate.parent

    def dry(content: bytes, name: str, harmless: bool = False) -> Case:
        path = folder / f"case{next(seeds.numbers):04d}.csv"
        path.write_bytes(content)
        command = ["plate", str(path), "--checkpoint", str(seeds.model), "--dry-run"]
        words = path.name, "would fail: "  # of the table, or of a stack that it names
        return Case(f"table: {name}", [*command, "-o", seeds.out("")], words, harmless)

    for column in range(len(names)):
        kept = [",".join(p for i, p in enumerate(line.split(",")) if i != column)
                for line in (header, *rows)]  # fmt: skip
        optional = names[column] in ("labels", "site", "plate", "treatment")
        yield dry("\n".join(kept).encode(), f"no {names[column]}", harmless=optional)
        for value in ("", "nan", "../" * 30 + "etc/passwd", "=1+1", "a" * 70_000, "\x00", "é☃"):
            parts = rows[0].split(",")
            parts[column] = value
            content = "\n".join([header, ",".join(parts), *rows[1:]])
            harmless = names[column] not in ("image", "labels")
            said = value[:12].encode("unicode_escape").decode()
            harmless |= names[column] == "labels" and value == ""
            yield dry(content.encode(), f"{names[column]} = {said}", harmless)
    for name, content in {
        "empty": b"",
        "a header alone": header.encode(),
        "twice the same row": "\n".join([header, rows[0], *rows]).encode(),
        "UTF-16": text.encode("utf-16"),
        "Latin-1": (text + rows[0].replace("1", "é", 1)).encode("latin-1"),
        "noise": np.random.default_rng(1).bytes(3000),
        "zeros": bytes(3000),
        "a quote without end": (text + '"').encode(),
        "rows of other lengths": (text + "a,b\n" + "," * 50).encode(),
        "columns of one name": text.replace("site", "well", 1).encode(),
        "HTML": b"<html><table></table></html>",
        "a ZIP": b"PK\x03\x04" + bytes(100),
        "a pickle": pickle.dumps([1]),
    }.items():
        yield dry(content, name)


def settings(seeds: Seeds) -> Iterator[Case]:
    """Every setting of a plate's run at the edge, dry."""
    command = gradcamo.commands["plate"]
    free = {"scheduler", "tls_ca_file", "tls_cert", "tls_key", "checkpoint", "out", "log", "help"}
    values = ["-1", "0", "1e308", "nan", "inf", "x", "5000000000", "", "1,2"]
    for option in command.params:
        if not isinstance(option, click.Option) or option.is_flag or option.name in free:
            continue
        flag = max(option.opts, key=len)
        for value in values:
            given = ["plate", str(seeds.plate), "--checkpoint", str(seeds.model), "--dry-run"]
            given += ["-o", seeds.out(""), flag, *[value] * option.nargs]
            words = (flag, flag.strip("-").split("-", 1)[-1].replace("-", "_"), value or "''")
            yield Case(f"setting: {flag} {value!r}", given, words, harmless=True)


def checkpoints(seeds: Seeds) -> Iterator[Case]:
    """Checkpoints whose header or metadata changed, and .pth that are something else."""
    whole = seeds.model.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    described = json.loads(header["__metadata__"]["gradcamo"])
    described.pop("seal", None)

    def packed(header: Any) -> Path:
        path = seeds.new(".safetensors")
        said = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(said)) + said + whole[8 + size :])
        return path

    def layers(path: Path, name: str, harmless: bool = False) -> Case:
        return Case(f"checkpoint: {name}", ["layers", str(path)], (path.name,), harmless)

    for place in _places(described):
        if place[0] == "recipe" and len(place) > 1:
            continue
        for value in ["gone", *ABSURD]:
            changed = _changed(described, place, value)
            if changed == described:
                continue
            new = copy.deepcopy(header)
            new["__metadata__"]["gradcamo"] = json.dumps(changed)
            yield layers(packed(new), f"{'.'.join(map(str, place))} = {value!r}", harmless=True)
    width = _changed(described, ("architecture", "width"), 60.0)
    new = copy.deepcopy(header)
    new["__metadata__"]["gradcamo"] = json.dumps(width)
    yield layers(packed(new), "a width of 60")
    for share in (0, 0.001, 0.5, 0.99):
        path = seeds.new(".safetensors")
        path.write_bytes(whole[: int(len(whole) * share)])
        yield layers(path, f"cut to {share:.1%}")
    path = seeds.new(".safetensors")
    path.write_bytes(struct.pack("<Q", 1 << 60) + whole[8:])
    yield layers(path, "a header of 10¹⁸ bytes")
    for name, content in {
        "a pickle": pickle.dumps({"a": 1}),
        "text": b"hello",
        "nothing": b"",
        "noise": np.random.default_rng(2).bytes(999),
    }.items():
        path = seeds.new(".pth")
        path.write_bytes(content)
        out = seeds.out(".safetensors")
        yield Case(f"checkpoint: {name} as .pth", ["import", str(path), "-o", out], (path.name,))
    path = seeds.new(".pth")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(1 << 28))
    out = seeds.out(".safetensors")
    yield Case("checkpoint: a ZIP bomb as .pth", ["import", str(path), "-o", out], (path.name,))


def results(seeds: Seeds) -> Iterator[Case]:
    """Folders of results in which a file is damaged or somebody else's."""
    sound = seeds.folder / "results"
    done = CliRunner().invoke(
        gradcamo,
        ["plate", str(seeds.plate), "--checkpoint", str(seeds.model), "-o", str(sound),
         "--umap-cells", "0", "--workers", "1"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    foreign = pd.DataFrame({"a": [1]})
    for name in ("cells.parquet", "confounding.csv", "cutoffs.csv", "summary.json"):
        for kind, content in {
            "empty": b"",
            "noise": np.random.default_rng(3).bytes(2000),
            "HTML": b"<html>",
            "JSON": b'{"a": [1, {"b": null}]}',
            "a list": b"[1, 2]",
            "null": b"null",
            "foreign": foreign.to_csv(index=False).encode(),
        }.items():
            folder = seeds.new("")
            shutil.copytree(sound, folder, copy_function=os.link)
            (folder / name).unlink()
            (folder / name).write_bytes(content)
            command = ["report", str(folder), "-o", seeds.out(".html")]
            harmless = name == "summary.json" or name.endswith(".csv")
            yield Case(f"results: {name} {kind}", command, (folder.name,), harmless)
    for name in ("thumbnails", "cells.recipe.json", "profiles.h5ad"):
        folder = seeds.new("")
        shutil.copytree(sound, folder, copy_function=os.link)
        for path in (folder / name).rglob("*.parquet") if (folder / name).is_dir() else ():
            path.unlink()
            path.write_bytes(b"PAR1")
        command = ["report", str(folder), "-o", seeds.out(".html")]
        yield Case(f"results: {name} damaged", command, (folder.name,), harmless=True)


KINDS = {
    "images": images,
    "zarrs": zarrs,
    "labels": labels,
    "tables": tables,
    "settings": settings,
    "checkpoints": checkpoints,
    "results": results,
}


class _Hangs(BaseException):
    pass


def outcome(case: Case) -> tuple[str, str]:
    """What became of a case, and the last line that it said."""

    def hangs(*_: Any) -> None:
        raise _Hangs

    signal.signal(signal.SIGALRM, hangs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.alarm(HANGS_AFTER_S)
    try:
        ended = CliRunner().invoke(gradcamo, case.command)
    except _Hangs:
        return "hang", ""
    finally:
        signal.alarm(0)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    lines = [line for line in ended.output.splitlines() if line.strip()] or [""]
    said = next((line for line in lines if line.startswith("Error")), lines[-1])
    if isinstance(ended.exception, _Hangs):
        return "hang", ""
    if taken > BOMB_BYTES:
        return "bomb", f"{taken / 1e9:.1f} GB: {said}"
    if "not foreseen" in ended.output or not isinstance(ended.exception, SystemExit | None):
        return "traceback", f"{said} {ended.exception!r}"
    if ended.exit_code:
        named = any(word in " ".join(lines) for word in case.named)
        return ("clear" if named else "vague"), said
    try:
        right = case.harmless and (case.same is None or case.same())
    except Exception as error:
        return "wrong", repr(error)
    return ("accepted" if right else "wrong"), said


def main() -> int:
    """Run the campaign and print how it ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, separated by commas")
    parser.add_argument("--show", action="store_true", help="print every case")
    asked = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    bad = []
    import torch  # noqa: F401 (what it maps is no bomb)

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 6 * BOMB_BYTES, -1))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        seeds = Seeds(Path(folder))
        for kind in asked.only.split(","):
            for case in KINDS[kind](seeds):
                ended, said = outcome(case)
                counts[kind, ended] += 1
                if ended not in ("clear", "accepted"):
                    bad += [f"{ended}: {case.name}: {said[:300]}"]
                    print(bad[-1], flush=True)
                if asked.show:
                    print(f"{ended:9} {case.name}: {said[:200]}", flush=True)
    table = pd.Series(counts).unstack(fill_value=0)
    table.loc["all"] = table.sum()
    print(table.to_string())
    print(f"{int(table.loc['all'].sum())} bad inputs")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
