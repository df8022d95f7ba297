"""Networks that find cells: where the weights are, how they load and run under Cellpose 3 and 4."""

from __future__ import annotations

import socket
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
    """The network that finds cells: a `ResidualUNet`, or a model of Cellpose 4; read once."""
    from gradcamo.networks.preprocess import choose_device

    weights = find_weights(settings.model)
    return _loaded(weights, weights.stat().st_mtime_ns, choose_device(settings.device))


@lru_cache(maxsize=1)
def _loaded(weights: Path, modified: int, device: torch.device) -> Any:
    from gradcamo.segmentation.residual import ResidualUNet, is_residual

    try:
        state = _state(weights)
        if is_residual(state):
            network = ResidualUNet().eval()
            # counts of training steps, which versions before 2 did not write
            network.load_state_dict(network.state_dict() | state)
            return network.to(device)
        if _is_three():
            raise ValueError("these are not the weights of a residual U-Net")
        from cellpose import models

        gpu = device.type != "cpu"
        return models.CellposeModel(gpu=gpu, device=device, pretrained_model=str(weights))
    except Exception as error:
        raise GradcamoError(
            f"{weights} does not load as a network of Cellpose {version('cellpose')}: {error}"
        ) from error


def _state(weights: Path) -> dict[str, torch.Tensor]:
    """Names and values; nothing is unpickled."""
    import torch

    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(weights)
    state: dict[str, torch.Tensor] = torch.load(weights, "cpu", weights_only=True, mmap=True)
    return state


def offered_models() -> tuple[str, ...]:
    """Names to choose from, known without loading Cellpose; it may have others."""
    own = ("cyto", "cyto2", "cyto3", "nuclei") if _is_three() else ("cpsam_v2", "cpdino", "cpsam")
    return ("bundled", *own)


def default_model() -> str:
    """``cyto``, as in the paper, or the newest general model of Cellpose 4, which has none."""
    if _is_three():
        return "cyto"
    from cellpose import models

    return str(models.MODEL_NAMES[0])


def described(model: str | None) -> str:
    """What finds cells, in a few words: the model and the version of Cellpose."""
    chosen = "" if model else ", the default"
    return f"{model or default_model()} (Cellpose {version('cellpose')}{chosen})"


def find_weights(model: str | None) -> Path:
    """The file that holds a model's weights, downloaded by Cellpose if it is one of its own."""
    model = model or default_model()
    if model == "bundled":
        return BUNDLED
    if Path(model).is_file():
        return Path(model)
    from cellpose import models

    known = [*models.MODEL_NAMES, *models.get_user_models()]
    if model not in known:  # Cellpose would silently take another
        raise GradcamoError(
            f"{model!r} is neither a file nor a model of Cellpose {version('cellpose')}: choose "
            f"bundled, a path, or one of {', '.join(known)}"
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
            f"({error}): use the model bundled, which needs no download "
            "(--model bundled, of a plate --segment-model bundled), or the path of your own"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def evaluate(model: Any, image: np.ndarray, settings: SegmentSettings) -> np.ndarray:
    """Masks of one normalised plane (Y, X, 2), with as many tiles at a time as memory takes."""
    from torch import OutOfMemoryError

    from gradcamo.segmentation.residual import ResidualUNet, masks_of_plane

    tiles = settings.batch_size
    while True:
        try:
            if isinstance(model, ResidualUNet):
                return masks_of_plane(model, image, settings, tiles)
            # takes three channels in any order
            masks, *_ = model.eval(
                np.concatenate([image, np.zeros_like(image[..., :1])], axis=-1),
                channel_axis=-1,
                normalize={"normalize": False, "norm3D": False},
                batch_size=tiles,
                diameter=settings.diameter,
                flow_threshold=settings.flow_threshold,
                cellprob_threshold=settings.cellprob_threshold,
                min_size=-1,  # small masks may belong to a cell of the planes beside
            )
            return np.asarray(masks)
        except OutOfMemoryError:
            tiles = smaller_batch(tiles, "tile of a plane")


def _is_three() -> bool:
    """Cellpose 3 offers residual networks, Cellpose 4 others that take any channels."""
    return int(version("cellpose").split(".")[0]) < 4
