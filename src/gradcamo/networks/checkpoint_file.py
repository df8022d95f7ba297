"""Checkpoints as safetensors files: weights, and what goes with them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gradcamo.errors import GradcamoError
from gradcamo.files.seal import check_seal

FORMAT = "gradcamo-checkpoint-1"


def packed(described: Mapping[str, Any], weights: Mapping[str, Tensor]) -> bytes:
    """The bytes of a file, the same for the same network."""
    from safetensors.torch import save

    # clones, because the format does not let weights share memory
    state = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    said = json.dumps({"format": FORMAT, **described}, sort_keys=True)
    return save(state, {"gradcamo": said})


def unpacked(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says of a network, and its weights; nothing is unpickled.

    Raises
    ------
    GradcamoError
        If the file is missing or is not a checkpoint of this project.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise GradcamoError(
            f"{path} does not exist: give the path of a checkpoint (.safetensors); "
            "'gradcamo train' makes one"
        )
    check_seal(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        described = json.loads(metadata.get("gradcamo", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise GradcamoError(
            f"{path} is not a checkpoint ({error}): expected a .safetensors file that "
            "'gradcamo train' wrote"
        ) from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise GradcamoError(
            f"{path} holds weights but no recipe ({FORMAT}): expected a file that "
            "'gradcamo train' wrote"
        )
    return described, state
