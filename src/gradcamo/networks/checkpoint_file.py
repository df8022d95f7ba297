"""Checkpoints as safetensors files: weights, and what goes with them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from gradcamo.errors import GradcamoError
from gradcamo.files.seal import check_seal
from gradcamo.networks.efficientnet import efficientnet3d

FORMAT = "gradcamo-checkpoint-1"


_FINITE = Annotated[float, Field(allow_inf_nan=False)]
_STEP = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Architecture(_Said):
    name: str
    in_channels: Annotated[int, Field(ge=1, le=1000)]
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)]
    width: Annotated[float, Field(gt=0, le=10)] = 1.0


class _Described(_Said):
    """What a file says of its network, within bounds."""

    architecture: _Architecture
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    channel_mean: tuple[_FINITE, ...]
    channel_std: tuple[_STEP, ...]
    crop: dict[str, Any]
    input_size: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=3, max_length=3)
    ]
    layer: str
    spacing_um: tuple[_STEP, _STEP, _STEP] | None
    recipe: dict[str, Any]
    outputs: str = "classes"


def check_described(text: str) -> None:
    """Refuse what no network can be built from, before memory is taken for it.

    Raises
    ------
    ValueError
        With the entry that is missing or out of bounds.
    """
    try:
        _Described.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from error


def check_weights(network: nn.Module, path: Path) -> None:
    """Compare names and sizes of weights with a network's, before memory is taken for them.

    Parameters
    ----------
    network : on the device "meta"
    path : of the file

    Raises
    ------
    ValueError
        If they differ.
    """
    from safetensors import safe_open

    wanted = {name: list(value.shape) for name, value in network.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"weights {name} have the size {found.get(name)}, its network's {wanted.get(name)}"
            )


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
    ValueError
        If what it says of its network is out of bounds, or its weights are another network's.
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
            text = (file.metadata() or {}).get("gradcamo", "{}")
        described = json.loads(text)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise GradcamoError(
            f"{path} is not a checkpoint ({error}): expected a .safetensors file that "
            "'gradcamo train' wrote"
        ) from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise GradcamoError(
            f"{path} holds weights but no recipe ({FORMAT}): expected a file that "
            "'gradcamo train' wrote"
        )
    check_described(text)
    with torch.device("meta"):
        check_weights(efficientnet3d(**described["architecture"]), path)
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return described, state
