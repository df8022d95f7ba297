"""What is kept while a training runs, and whether another run may go on from it."""

from __future__ import annotations

import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gradcamo.errors import GradcamoError
from gradcamo.files.seal import check_seal
from gradcamo.settings import TrainSettings

FREE = {"epochs", "patience", "workers", "device", "devices"}
"""Settings that may change when a training is resumed."""


_NO_STATE = (
    *(pickle.UnpicklingError, LookupError, RuntimeError),
    *(TypeError, ValueError, EOFError, AttributeError),
)


class TrainingState:
    """The file that a resumed training starts from.

    Parameters
    ----------
    path : where it is, or will be after the first epoch
    settings, cells : what is trained with
    resume : whether to go on from it, if it is there; in as many threads, then

    Raises
    ------
    GradcamoError
        If it is damaged, or was made with other settings or cells.
    """

    def __init__(
        self, path: Path, settings: TrainSettings, cells: pd.DataFrame, resume: bool
    ) -> None:
        listed = cells[["label", "treatment", "plate", "well", "split"]].to_csv(index=False)
        self.path = path
        self.about: dict[str, Any] = {
            "settings": settings.model_dump(mode="json"),
            "cells": sha256(listed.encode()).hexdigest(),
        }
        if path.is_file():
            if resume:
                self._check(_read(path))
            else:
                path.unlink()

    @property
    def going_on(self) -> bool:
        """Whether an epoch was kept already."""
        return self.path.is_file()

    def _check(self, found: dict[str, Any]) -> None:
        now = self.about["settings"]
        before = TrainSettings.recorded(found).model_dump(mode="json")  # perhaps another version's
        for name in sorted(before.keys() | now.keys()):
            if name not in FREE and before.get(name) != now.get(name):
                raise GradcamoError(
                    f"the training in {self.path} cannot be resumed: {name} is {now.get(name)}, "
                    f"was {before.get(name)}; use the same settings, or start anew without resume"
                )
        if found["cells"] != self.about["cells"]:
            raise GradcamoError(
                f"the training in {self.path} cannot be resumed: the cells of the plate, their "
                "treatments or their split changed since; start anew without resume"
            )
        self.about["threads"] = found["threads"]


def _read(path: Path) -> dict[str, Any]:
    check_seal(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        said = dict(state["gradcamo"])
        if not (isinstance(said["settings"], dict) and isinstance(said["cells"], str)):
            raise TypeError("it holds no settings and cells")
        said["threads"] = max(0, int(said.get("threads", 0)))  # before, nobody noted them
        return said
    except _NO_STATE as error:
        raise GradcamoError(
            f"{path} is not the state of a training: start anew without resume"
        ) from error
