"""Published EfficientNet-PyTorch-3D weights: read, recognised, and kept as a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradcamo.errors import GradcamoError
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.efficientnet import VARIANTS, efficientnet3d
from gradcamo.networks.geometry import default_layer
from gradcamo.networks.meaning import check_classes
from gradcamo.settings import ImportSettings


class Described(NamedTuple):
    """What weights say about themselves; ``classes`` counts logits, one of which may tell two."""

    network: str
    width: float
    channels: int
    classes: int

    @property
    def names(self) -> int:
        """How many classes are to be named."""
        return max(self.classes, 2)


def import_published(path: str | Path, settings: ImportSettings | None = None) -> Checkpoint:
    """A checkpoint around published EfficientNet-PyTorch-3D weights.

    Parameters
    ----------
    path : the ``.pth`` that ``torch.save(model.state_dict(), path)`` wrote
    settings : ImportSettings
        What the weights do not say: classes, channels, intensity statistics, sizes, layer.

    Raises
    ------
    GradcamoError
        If the file holds anything but such weights, or names and numbers do not fit them.
    """
    settings = settings or ImportSettings()
    state = published_state(path)
    found = describe_weights(state, settings.network, settings.width)
    classes = settings.classes or tuple(str(k) for k in range(found.classes))
    if found.classes == 1:
        check_classes(1, classes, "classes")
    channels = settings.channels or tuple(f"channel {c}" for c in range(found.channels))
    for what, names, n in (
        ("classes", classes, found.names),
        ("channels", channels, found.channels),
        ("channel_mean", settings.channel_mean or channels, found.channels),
        ("channel_std", settings.channel_std or channels, found.channels),
    ):
        if len(names) != n or (what in ("classes", "channels") and len(set(names)) != n):
            said = ", ".join(str(name) for name in names)
            raise GradcamoError(
                f"{Path(path).name} was trained with {n} {what.replace('_', ' ')}, got "
                f"{len(names)} ({said}): give {n}, in the order of the training, each different"
            )
    network = load_efficientnet_pytorch_3d(state, found.network, found.width)
    layer = settings.layer or default_layer(network, (found.channels, *settings.input_size))
    checkpoint = Checkpoint(
        network=network,
        classes=classes,
        channels=channels,
        channel_mean=settings.channel_mean or (0.0,) * found.channels,
        channel_std=settings.channel_std or (1.0,) * found.channels,
        crop=settings.crop,
        input_size=settings.input_size,
        layer=layer,
        spacing_um=settings.spacing_um,
        architecture={
            "name": found.network,
            "in_channels": found.channels,
            "num_classes": found.classes,
            "width": found.width,
        },
        recipe={
            "imported_from": Path(path).name,
            "sha256": sha256(Path(path).read_bytes()).hexdigest(),
        },
    )
    checkpoint.info(layer)
    return checkpoint


def describe_weights(
    state: Mapping[str, Tensor], network: str | None = None, width: float | None = None
) -> Described:
    """Variant, width, channels and classes of published weights, as far as they are not given.

    Depth tells the variant and the number of filters the width; where two variants fit (B1 and B2
    are equally deep) they are the same network, and the one with the rounder width is named.

    Raises
    ------
    GradcamoError
        If no EfficientNet has weights of these shapes.
    """
    channels, classes = state["_conv_stem.weight"].shape[1], state["_fc.weight"].shape[0]
    if network is not None and width is not None:
        return Described(network, width, channels, classes)
    shapes = {key: tuple(value.shape) for key, value in state.items() if value.ndim == 5}
    best_first = sorted(
        (abs(round(factor, 2) - factor), abs(factor - 1), name, factor)
        for name in VARIANTS
        if network in (None, name) and _depth(name) == _blocks(state)
        for factor in ([width] if width is not None else _widths(name, state))
    )
    for *_, name, factor in best_first:
        if _kernels(name, channels, classes, factor) == shapes:
            return Described(name, factor, channels, classes)
    wanted = f"{network or 'EfficientNet'}{f' of width {width:g}' if width else ''}"
    raise GradcamoError(
        f"no {wanted} has these weights ({_blocks(state)} blocks, "
        f"{state['_fc.weight'].shape[1]} features): were they trained with another network?"
    )


def _blocks(state: Mapping[str, Tensor]) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("_blocks.")})


def _depth(name: str) -> int:
    from monai.networks.nets.efficientnet import efficientnet_params

    depth = efficientnet_params[name][1]
    return sum(int(-(-depth * repeats // 1)) for repeats in (1, 2, 2, 3, 3, 4, 1))


def _widths(name: str, state: Mapping[str, Tensor]) -> Iterator[float]:
    """Factors that give the last convolution its number of filters, the round ones first."""
    from monai.networks.nets.efficientnet import efficientnet_params

    own = efficientnet_params[name][0]
    exact = state["_fc.weight"].shape[1] / 1280 / own
    reach = 4 / 1280 / own  # filters are rounded to multiples of eight
    yield from dict.fromkeys(
        factor
        for factor in (
            *(round(exact, digits) for digits in (1, 2, 3)),
            *(exact + reach * part / 4 for part in range(-4, 5)),
        )
        if factor > 0 and abs(factor - exact) <= reach
    )


def _kernels(name: str, channels: int, classes: int, width: float) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = efficientnet3d(name, channels, classes, width)
    return {
        _published_name(key): tuple(value.permute(0, 1, 3, 4, 2).shape)
        for key, value in network.state_dict().items()
        if value.ndim == 5
    }


def load_efficientnet_pytorch_3d(
    weights: Mapping[str, Tensor] | str | Path, name: str = "efficientnet-b0", width: float = 1.0
) -> nn.Module:
    """Published EfficientNet-PyTorch-3D weights in a network with axes (z, y, x), in eval mode.

    Parameters
    ----------
    weights : path or mapping of str to Tensor
        State dict, or a ``.pth`` that holds one. Kernels in the published order (y, x, z);
        channels and classes are read off them.
    name : str
        The variant that was trained, ``efficientnet-b0`` … ``efficientnet-b7``.
    width : float
        Factor on its width that it was trained with.

    Returns
    -------
    Module
        From (N, C, Z, Y, X) to logits (N, K).

    Raises
    ------
    GradcamoError
        If the file holds anything but tensors, or weights of another network.

    Examples
    --------
    >>> import gradcamo as gc
    >>> network = gc.load_efficientnet_pytorch_3d("published.pth", width=0.25)
    >>> network.training
    False
    """
    state = published_state(weights)
    network = efficientnet3d(
        name, state["_conv_stem.weight"].shape[1], state["_fc.weight"].shape[0], width
    )
    ours = {_published_name(key): key for key in network.state_dict()}
    converted = {}
    for key, value in state.items():
        kernel = value.ndim == 5
        converted[ours.get(key, key)] = value.permute(0, 1, 4, 2, 3) if kernel else value
    _load_strictly(network, converted, f"{name} of width {width:g}")
    return network.eval()


def published_state(weights: Mapping[str, Tensor] | str | Path) -> dict[str, Tensor]:
    """Names and tensors of published weights; nothing is unpickled.

    Raises
    ------
    GradcamoError
        If the file holds anything but tensors, or weights of another network.
    """
    read = _tensors(weights, "these weights") if isinstance(weights, Mapping) else _read(weights)
    state = {key.removeprefix("module."): value for key, value in read.items()}
    lacking = [key for key in ("_conv_stem.weight", "_fc.weight") if key not in state]
    if lacking:
        raise GradcamoError(
            f"these are not EfficientNet-PyTorch-3D weights: {' and '.join(lacking)} are missing, "
            f"found {', '.join(list(state)[:3]) or 'nothing'} …; pass the model's state_dict()"
        )
    return state


def _read(path: str | Path) -> Mapping[str, Tensor]:
    path = Path(path)
    if not path.is_file():
        raise GradcamoError(f"{path} does not exist: give the path of a .pth state dict")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise GradcamoError(
            f"{path} is not a plain state dict; objects are never unpickled. Where it was made, "
            "run torch.save(model.state_dict(), path)"
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    return _tensors(state, str(path))


def _tensors(state: Any, source: str) -> Mapping[str, Tensor]:
    values = list(state.values()) if isinstance(state, Mapping) else [state]
    if odd := [type(v).__name__ for v in values if not isinstance(v, Tensor)]:
        raise GradcamoError(
            f"{source} hold {odd[0]}, expected names and tensors: pass the model's state_dict()"
        )
    return state


def _published_name(key: str) -> str:
    parts = key.split(".")
    return ".".join(parts[:1] + parts[2:]) if parts[0] == "_blocks" else key


def _load_strictly(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    expected = {k: v for k, v in network.state_dict().items() if not k.endswith("_tracked")}
    given = {k: v for k, v in state.items() if not k.endswith("_tracked")}
    for key in sorted(expected.keys() | given.keys()):
        ours, theirs = expected.get(key), given.get(key)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            came = "nothing" if theirs is None else tuple(theirs.shape)
            fits = "nothing" if ours is None else tuple(ours.shape)
            raise GradcamoError(
                f"the weights do not fit {what}: {key} is {came} where {fits} is expected; "
                "name the variant and width that were trained"
            )
    network.load_state_dict({**network.state_dict(), **given})
