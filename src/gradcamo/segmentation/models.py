"""Cellpose's networks: where the weights are, how either major version loads and runs them."""

from __future__ import annotations

import socket
import tempfile
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.errors import GradcamoError
from gradcamo.networks.memory import smaller_batch
from gradcamo.settings import SegmentSettings

if TYPE_CHECKING:
    import torch

BUNDLED = Path(str(files("gradcamo") / "weights" / "cellpose_gradcamo.safetensors"))
"""The Cellpose network that ``scripts/train_cellpose.py`` trains on the built-in plate."""


def load_model(settings: SegmentSettings) -> Any:
    """A Cellpose model of either major version; weights are never unpickled, and read once."""
    from gradcamo.networks.preprocess import choose_device

    weights = find_weights(settings.model)
    return _loaded(weights, weights.stat().st_mtime_ns, choose_device(settings.device))


@lru_cache(maxsize=1)
def _loaded(weights: Path, modified: int, device: torch.device) -> Any:
    import torch
    from cellpose import models

    gpu = device.type != "cpu"
    try:
        if weights.suffix != ".safetensors":
            return models.CellposeModel(gpu=gpu, device=device, pretrained_model=str(weights))
        from safetensors.torch import load_file

        with tempfile.TemporaryDirectory() as folder:  # Cellpose reads torch files only
            path = Path(folder) / weights.stem
            torch.save(load_file(weights), path)
            return models.CellposeModel(gpu=gpu, device=device, pretrained_model=str(path))
    except Exception as error:
        raise GradcamoError(
            f"{weights} does not load as a network of Cellpose {version('cellpose')}: {error}"
        ) from error


def find_weights(model: str) -> Path:
    """The file that holds a model's weights, downloaded by Cellpose if it is one of its own."""
    three = _is_three()
    if model == "bundled":
        if three:
            return BUNDLED
        raise GradcamoError(
            "the bundled weights are a network of Cellpose 3, installed is Cellpose "
            f"{version('cellpose')}: use --model cpsam, or install 'cellpose<4'"
        )
    if Path(model).is_file():
        return Path(model)
    from cellpose import models

    known = [*models.MODEL_NAMES, *models.get_user_models()]
    if model not in known:  # Cellpose would silently take another
        raise GradcamoError(
            f"{model!r} is neither a file nor a model of Cellpose {version('cellpose')}: choose "
            f"{'bundled, ' if three else ''}a path, or one of {', '.join(known)}"
        )
    # what Cellpose 3 and the first of 4 call model_path, later ones call cache_model_path
    fetch = getattr(models, "model_path", None) or models.cache_model_path
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)  # Cellpose itself would wait without end
    try:
        return Path(fetch(model))
    except OSError as error:
        raise GradcamoError(
            f"the weights of {model!r} are not in {models.MODEL_DIR} and cannot be downloaded "
            f"({error}): use --model bundled, which needs no download, or the path of your own"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def evaluate(model: Any, image: np.ndarray, settings: SegmentSettings) -> np.ndarray:
    """Masks of one normalised plane (Y, X, 2), with as many tiles at a time as memory takes."""
    from torch import OutOfMemoryError

    if _is_three():
        options: dict[str, Any] = {"channels": [1, 2]}
    else:  # takes three channels in any order
        image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=-1)
        options = {}
    tiles = settings.batch_size
    while True:
        try:
            masks, *_ = model.eval(
                image,
                channel_axis=-1,
                normalize={"normalize": False, "norm3D": False},
                batch_size=tiles,
                diameter=settings.diameter,
                flow_threshold=settings.flow_threshold,
                cellprob_threshold=settings.cellprob_threshold,
                min_size=-1,  # small masks may belong to a cell of the planes beside
                **options,
            )
            return np.asarray(masks)
        except OutOfMemoryError:
            tiles = smaller_batch(tiles, "tile of a plane")


def _is_three() -> bool:
    """Cellpose 3 has the cyto networks, Cellpose 4 has others that take any channels."""
    return int(version("cellpose").split(".")[0]) < 4
