"""The folder of a plate's results: where each stack lands, and how to tell that it is up to date.

Results of different settings or checkpoints lie in folders of different names and never meet.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pandas as pd

from gradcamo.errors import GradcamoError
from gradcamo.files.landing import to_json
from gradcamo.files.seal import check_seal
from gradcamo.files.stamp import content_hash, stamp
from gradcamo.files.told import said_of
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint

FORMAT = 2
_HARMLESS = {"batch_size", "cutoff", "device"}  # change nothing that a stack's file holds


class Hashed(Protocol):
    """What is known by what it holds."""

    @property
    def hash(self) -> str: ...


N = TypeVar("N", bound=Hashed)


@dataclass(frozen=True)
class PlateFolder:
    """Paths below ``out`` for one checkpoint and one set of settings.

    ``known`` is the split of each plate and well that the checkpoint remembers.
    """

    out: Path
    checkpoint_hash: str
    settings: PlateSettings
    donors_hash: str = ""
    known: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def with_layer(self, checkpoint: Checkpoint) -> PlateFolder:
        """The same with the layer named, the checkpoint's own where the settings name none.

        Raises
        ------
        GradcamoError
            If the checkpoint has no such layer, or does not know the treatment to be explained.
        """
        from gradcamo.auditing.matching import target_class

        target_class(checkpoint, self.settings.audit)
        layer = self.settings.audit.layer or checkpoint.layer
        checkpoint.info(layer)
        audit = self.settings.audit.model_copy(update={"layer": layer})
        return replace(self, settings=self.settings.model_copy(update={"audit": audit}))

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """All that decides what a stack's file holds, but for the stack itself."""
        recipe = {
            "format": FORMAT,
            "software": version("napari-gradcamo"),
            "checkpoint": self.checkpoint_hash,
            "audit": self.settings.audit.model_dump(exclude=_HARMLESS),
            "segment": self.segment_recipe,
        }
        if self.settings.causal:
            said = self.settings.model_dump(include={"draws", "reference", "causal_cells"})
            lot = {"seed": self.settings.seed} if self.settings.causal_cells else {}
            recipe["causal"] = said | lot | {"donors": self.donors_hash}
        return recipe

    @cached_property
    def segment_recipe(self) -> dict[str, Any]:
        """All that decides labels, but for the image."""
        from gradcamo.segmentation.models import default_model

        settings = self.settings.segment.model_dump(exclude=_HARMLESS)
        model = self.settings.segment.model or default_model()
        weights = {"weights": content_hash(model)} if Path(model).is_file() else {}
        return settings | {"model": model, "cellpose": version("cellpose")} | weights

    @property
    def checkpoint(self) -> Path:
        """The network, where every worker reads it."""
        return self.out / f"checkpoint-{self.checkpoint_hash[:12]}.safetensors"

    @property
    def donors(self) -> Path:
        """The donor bank, where every worker reads it."""
        return self.out / f"donors-{self.donors_hash[:12]}.npz"

    def cells(self, name: str) -> Path:
        """Table and profiles of one stack; once it is there, the stack is done."""
        return self.out / "cells" / short_hash(self.recipe) / f"{name}.parquet"

    def thumbnails(self, name: str) -> Path:
        """Pictures of some of a stack's cells."""
        return self.out / "thumbnails" / short_hash(self.recipe) / f"{name}.parquet"

    def labels(self, name: str) -> Path:
        """Labels of a stack that came without; the JSON beside them says how they were made."""
        return self.out / "labels" / short_hash(self.segment_recipe) / f"{name}.ome.tif"

    def landed(self, name: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the stack's files are there as they were written, from these very inputs."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.damaged(name):
            return False
        try:
            metadata = pq.read_schema(self.cells(name)).metadata or {}
            kept = json.loads(metadata[b"recipe"])
            pictured = not kept["pictures"] or self.thumbnails(name).is_file()
            return pictured and self.unchanged(kept["inputs"], inputs)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
            return False

    def damaged(self, name: str) -> list[Path]:
        """Files of a stack that do not hold what was written."""
        return [path for path in (self.cells(name), self.thumbnails(name)) if _broken(path)]

    def with_content(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`stack_inputs` with what tells files again after they were moved or copied."""
        files = {
            column: [*inputs[column], content_hash(inputs[column][0]), self._way_to(column, inputs)]
            for column in ("image", "labels")
            if column in inputs
        }
        return {**inputs, **files}

    def unchanged(self, kept: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
        """Whether inputs are those that were kept `with_content`.

        A file is the same if its size and time are, and its path, or its path seen from this
        folder; else if its content is.
        """
        if kept.keys() != inputs.keys():
            return False
        for column, now in inputs.items():
            if column not in ("image", "labels"):
                if kept[column] != now:
                    return False
                continue
            path, size, time, content, way = kept[column]
            if size != now[1]:
                return False
            moved_along = path == now[0] or way == self._way_to(column, inputs)
            if (time != now[2] or not moved_along) and (
                not content or content != content_hash(now[0])
            ):
                return False
        return True

    def _way_to(self, column: str, inputs: Mapping[str, Any]) -> str:
        try:
            return os.path.relpath(inputs[column][0], self.out)
        except ValueError:  # on another drive
            return ""

    def sweep(self) -> None:
        """Remove scratch files that killed processes left; only while nothing runs."""
        for folder in ("cells", "thumbnails", "labels"):
            for path in (self.out / folder).rglob(".*"):
                if re.match(r"\.[0-9a-f]{8}-", path.name):
                    path.unlink(missing_ok=True)


def _broken(path: Path) -> bool:
    try:
        check_seal(path, required=True)
    except GradcamoError:
        return True
    except OSError:
        return False
    return False


def load_named(path: Path, load: Callable[[Path], N], what: str) -> N:
    """A checkpoint or a donor bank from a folder of results, whose file name holds its hash.

    Parameters
    ----------
    path : of the file
    load : reads it
    what : it is, in words

    Raises
    ------
    GradcamoError
        As ``load``, and if it is another than its name says.
    """
    found = load(path)
    if not path.stem.endswith(found.hash[:12]):
        raise GradcamoError(
            f"{path} is another {what} ({found.hash[:12]}) than its name says: these results are "
            "not its own; run the plate again, which writes the right one"
        )
    return found


def short_hash(recipe: Any) -> str:
    """Twelve hex digits that stand for a recipe."""
    return sha256(to_json(recipe).encode()).hexdigest()[:12]


def stack_name(row: Mapping[str, Any] | pd.Series) -> str:
    """Plate, well and site as a file name, with a hash where these cannot be read off it."""
    parts = [str(row[column]) for column in ("plate", "well", "site")]
    name = "_".join(re.sub(r"[^\w.-]+", "-", part) for part in parts)
    name = re.sub(r"^\.", "-", name)  # what begins with a point is scratch
    return name if name.split("_") == parts else f"{name}-{short_hash(parts)[:6]}"


def stack_inputs(row: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
    """What tells whether a stack is still the same: sizes and times of its files, what was told."""
    files = {
        column: [str(row[column]), *stamp(row[column])]
        for column in ("image", "labels")
        if row.get(column)
    }
    return files | said_of(row)
