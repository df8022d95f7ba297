"""What a worker does with one stack: segment where needed, audit, write. No Dask in here."""

from __future__ import annotations

import errno
import json
import os
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from logging import LogRecord
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradcamo.auditing.causal import with_causal
from gradcamo.columns import CELL_COLUMNS
from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing, to_json
from gradcamo.files.seal import BLANK, check_seal
from gradcamo.logs import collected
from gradcamo.plate.deaths import MORE_MEMORY, lacks_memory
from gradcamo.plate.folder import PlateFolder, load_named

if TYPE_CHECKING:
    from gradcamo.auditing.causal import CausalResult
    from gradcamo.auditing.stack import AuditBatch
    from gradcamo.causal.bank import DonorBank
    from gradcamo.cells.crops import CellCrops
    from gradcamo.datatypes import ZStack
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.settings import AuditSettings, CausalSettings

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class StackJob:
    """One stack to audit: its name, its files, what was told of them, and where results go.

    ``well`` is (plate, well); ``causal_cells`` of it are asked causally, None: all.
    ``held_out`` says that it is also asked with one region real, as wells that the network was not
    trained on are.
    """

    name: str
    image: str
    labels: str | None
    inputs: Mapping[str, Any]
    folder: PlateFolder
    told: Mapping[str, str] = field(default_factory=dict)
    well: tuple[str, str] = ("", "")
    causal_cells: int | None = 0
    held_out: bool = False

    @property
    def row(self) -> dict[str, Any]:
        """The stack as `read_stack` and `read_labels` take it."""
        return {"image": self.image, "labels": self.labels, **self.told}

    @property
    def image_bytes(self) -> int:
        """Bytes of all files of its image."""
        return int(self.inputs["image"][1])


@dataclass(frozen=True)
class Outcome:
    """What became of a stack, in which process, and what was logged meanwhile.

    ``reason`` is empty where all went well. ``cannot_write``: no other stack could land either;
    ``no_memory``: memory was not enough, or the worker died.
    """

    name: str
    cells: int = 0
    processor_s: float = 0.0
    process: int = 0
    reason: str = ""
    details: str = field(default="", repr=False)
    cannot_write: bool = False
    no_memory: bool = False
    records: tuple[LogRecord, ...] = field(default=(), repr=False, compare=False)


def audit_stack(job: StackJob, device: str | None = None) -> Outcome:
    """Segment where there are no labels, audit, write; problems are told, not raised.

    Parameters
    ----------
    job : StackJob
    device : where the networks run; the settings' by default
    """
    with collected() as records:
        outcome = _outcome(job, device)
    return replace(outcome, records=tuple(records))


def _outcome(job: StackJob, device: str | None) -> Outcome:
    start = time.process_time()
    try:
        cells = _audit(job, device)
    except Exception as error:  # one stack must not stop the others, whatever is wrong with it
        said = isinstance(error, GradcamoError)
        reason = str(error) if said else f"{type(error).__name__}: {error}"
        reason = as_plates_say(reason)
        details = traceback.format_exc()
        short = lacks_memory(error)
        if short and not said:
            first = reason.partition("\n")[0]
            reason = f"the memory of this machine was not enough ({first}): {MORE_MEMORY}"
        return Outcome(
            job.name,
            reason=reason,
            details=details,
            cannot_write=_no_room(error),
            no_memory=short,
        )
    return Outcome(job.name, cells, time.process_time() - start, os.getpid())


def as_plates_say(reason: str) -> str:
    """An error of one stack with the names that a plate has for its settings."""
    for name, of in (("channels", "audit"), ("cytoplasm", "segment"), ("nucleus", "segment")):
        reason = reason.replace(f" --{name}", f" --{of}-{name}")
    return reason


@lru_cache(maxsize=1)
def load_once(path: Path) -> Checkpoint:
    """The checkpoint, read once per process; its file name holds its hash."""
    from gradcamo.networks.checkpoint import Checkpoint
    from gradcamo.networks.memory import keep_buffers

    keep_buffers()
    return load_named(path, Checkpoint.load, "network")


def _audit(job: StackJob, device: str | None) -> int:
    from gradcamo.auditing.cautions import with_cautions
    from gradcamo.auditing.matching import refuse_unfit
    from gradcamo.auditing.recipe import audit_recipe
    from gradcamo.auditing.stack import audit_crops, cells_of, gather
    from gradcamo.files.labels import read_labels
    from gradcamo.files.stacks import read_stack
    from gradcamo.files.store import write_table

    folder = job.folder
    settings = folder.settings.audit
    settings = settings.model_copy(update={"device": device or settings.device})
    checkpoint = load_once(folder.checkpoint)
    inputs = folder.with_content(job.inputs)  # before reading: files may change meanwhile
    stack = read_stack(job.row)
    refuse_unfit(stack, checkpoint, settings)  # before it is segmented
    if job.labels:
        labels = read_labels(job.row, like=stack)
    else:
        labels = _segmented(job, stack, inputs, device)
    width = checkpoint.layers[settings.layer or checkpoint.layer].channels
    causal: dict[str, Any] = {}
    pictures = 0
    if not np.any(labels):  # an empty field is a result, not a failure
        table, profiles = pd.DataFrame({name: [] for name in CELL_COLUMNS}), np.empty((0, width))
    else:
        crops = cells_of(stack, labels, checkpoint, settings)
        batches = list(audit_crops(crops, checkpoint, settings))
        table, profiles = gather(batches)
        if not profiles.shape[1]:  # all cells are partial
            profiles = np.full((len(table), width), np.nan)
        pictures = _write_thumbnails(job, crops, batches)
        if folder.settings.causal:
            asked = _asked_causally(job, crops, checkpoint, settings)
            table, causal = with_causal(table, asked.table), {"causal": asked.recipe}
            if job.held_out:
                table = table.join(_called(job, crops, checkpoint, settings), on="label")
    recipe = with_cautions(table, audit_recipe(stack, checkpoint, settings) | causal)
    recipe |= {"run": folder.recipe, "inputs": inputs}
    recipe["pictures"] = pictures
    write_table(table.drop(columns="flagged"), folder.cells(job.name), recipe, profiles)
    return len(table)


@lru_cache(maxsize=1)
def donors_once(path: Path) -> DonorBank:
    """The donor bank, read once per process; its file name holds its hash."""
    from gradcamo.causal.bank import DonorBank

    return load_named(path, DonorBank.load, "donor bank")


def _asked_causally(
    job: StackJob, crops: CellCrops, checkpoint: Checkpoint, settings: AuditSettings
) -> CausalResult:
    from gradcamo.auditing.causal import ask_causally

    return ask_causally(crops, checkpoint, *_drawn(job, crops, settings), *job.well)


def _called(
    job: StackJob, crops: CellCrops, checkpoint: Checkpoint, settings: AuditSettings
) -> pd.DataFrame:
    from gradcamo.auditing.causal import called_with_one_region

    return called_with_one_region(crops, checkpoint, *_drawn(job, crops, settings), *job.well)


def _drawn(
    job: StackJob, crops: CellCrops, settings: AuditSettings
) -> tuple[DonorBank, CausalSettings, list[int] | None]:
    """Donors, how they are swapped in, and the cells that were drawn."""
    from gradcamo.auditing.causal import causal_settings, drawn_cells

    drawn = drawn_cells(crops, job.causal_cells, job.folder.settings.seed, job.name)
    how = causal_settings(job.folder.settings, settings)
    return donors_once(job.folder.donors), how, drawn


def _segmented(
    job: StackJob, stack: ZStack, inputs: Mapping[str, Any], device: str | None
) -> np.ndarray:
    """Labels made before from the same image, or made now."""
    from gradcamo.files.labels import read_labels, write_labels
    from gradcamo.segmentation.planes import recipe, segment

    path = job.folder.labels(job.name)
    notes = path.with_name(f"{job.name}.json")
    image = {name: said for name, said in job.inputs.items() if name not in ("labels", "held_out")}
    with suppress(OSError, ValueError, KeyError, TypeError, GradcamoError):  # damaged: made anew
        check_seal(path, required=True)
        if job.folder.unchanged(json.loads(notes.read_text())["inputs"], image):
            return read_labels(path)
    settings = job.folder.settings.segment
    settings = settings.model_copy(update={"device": device or settings.device})
    labels = segment(stack, settings)
    notes.unlink(missing_ok=True)  # never a note beside labels of another image
    write_labels(path, labels, stack.spacing_um)
    with landing(notes) as scratch:
        made = {
            "inputs": {name: inputs[name] for name in image},
            "segmentation": recipe(stack, settings),
        }
        scratch.write_text(to_json(made))
    return labels


def _write_thumbnails(job: StackJob, crops: CellCrops, batches: list[AuditBatch]) -> int:
    """Pictures of some cells, evenly from the best score to the worst; how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gradcamo.cells.upsampling import fine_map
    from gradcamo.views import cell_view, thumbnail

    places = [
        (score, label, batch, i)
        for batch in batches
        if batch.maps.ndim > 1
        for i, (score, label) in enumerate(
            zip(batch.table["grad_camo"], batch.table["label"], strict=True)
        )
        if np.isfinite(score)
    ]
    places.sort(key=lambda place: place[:2])
    n = min(job.folder.settings.thumbnails, len(places))
    ranks = np.linspace(0, len(places) - 1, n).round().astype(int)
    chosen = [places[rank] for rank in ranks]
    index = pd.Series(range(len(crops)), crops.table["label"])
    rows = []
    cut = crops.each(index[[label for _, label, *_ in chosen]])
    for (score, label, batch, i), crop in zip(chosen, cut, strict=True):
        cam = fine_map(batch.maps[i], crop.labels.shape, batch.placement)
        rows.append((label, score, thumbnail(cell_view(crop, cam))))
    table = pa.Table.from_pandas(pd.DataFrame(rows, columns=["label", "grad_camo", "jpeg"]))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), "seal": BLANK})
    with landing(job.folder.thumbnails(job.name)) as scratch:
        pq.write_table(table, scratch, write_page_checksum=True)
    return len(rows)


def _no_room(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
