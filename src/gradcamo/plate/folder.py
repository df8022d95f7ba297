"""The folder of a plate's results: where each stack lands, and how to tell that it is up to date.

Results of different settings or checkpoints lie in folders of different names and never meet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradcamo.files.landing import to_json
from gradcamo.files.stamp import stamp
from gradcamo.files.told import TOLD, told
from gradcamo.settings import PlateSettings

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint

FORMAT = 1
_HARMLESS = {"batch_size", "cutoff", "device"}  # change nothing that a stack's file holds


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
            If the checkpoint has no such layer.
        """
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
            recipe["causal"] = said | {"donors": self.donors_hash}
        return recipe

    @cached_property
    def segment_recipe(self) -> dict[str, Any]:
        """All that decides labels, but for the image."""
        from gradcamo.segmentation.models import default_model

        settings = self.settings.segment.model_dump(exclude=_HARMLESS)
        model = self.settings.segment.model or default_model()
        return settings | {"model": model, "cellpose": version("cellpose")}

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
        """Whether the stack's file is there and was made from these very inputs."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            metadata = pq.read_schema(self.cells(name)).metadata or {}
            return bool(json.loads(metadata[b"recipe"])["inputs"] == inputs)
        except (OSError, KeyError, ValueError, pa.ArrowException):
            return False

    def sweep(self) -> None:
        """Remove scratch files that killed processes left; only while nothing runs."""
        for folder in ("cells", "thumbnails", "labels"):
            for path in (self.out / folder).rglob(".*"):
                if re.match(r"\.[0-9a-f]{8}-", path.name):
                    path.unlink(missing_ok=True)


def short_hash(recipe: Any) -> str:
    """Twelve hex digits that stand for a recipe."""
    return sha256(to_json(recipe).encode()).hexdigest()[:12]


def stack_name(row: Mapping[str, Any] | pd.Series) -> str:
    """Plate, well and site as a file name, with a hash where these cannot be read off it."""
    parts = [str(row[column]) for column in ("plate", "well", "site")]
    name = "_".join(re.sub(r"[^\w.-]+", "-", part) for part in parts)
    return name if name.split("_") == parts else f"{name}-{short_hash(parts)[:6]}"


def stack_inputs(row: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
    """What tells whether a stack is still the same: sizes and times of its files, what was told."""
    files = {
        column: [str(row[column]), *stamp(row[column])]
        for column in ("image", "labels")
        if row.get(column)
    }
    return files | {column: said for column in TOLD if (said := told(row, column))}
