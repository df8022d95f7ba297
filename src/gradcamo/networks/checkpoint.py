"""A trained network with all it takes to use it: classes, channels, statistics, settings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from gradcamo.cells.crops import refuse_planes
from gradcamo.datatypes import Spacing
from gradcamo.errors import GradcamoError, warn
from gradcamo.files.landing import landing
from gradcamo.files.seal import BLANK
from gradcamo.networks.blocks import Inference
from gradcamo.networks.bundled import checkpoint_path
from gradcamo.networks.checkpoint_file import packed, read
from gradcamo.networks.efficientnet import (
    find_taps,
    plain_name,
    precision,
    taps,
)
from gradcamo.networks.fused import fused, mirrored_for, on_device
from gradcamo.networks.geometry import (
    LayerInfo,
    count_classes,
    survey,
    used_again,
)
from gradcamo.networks.grids import Reshape
from gradcamo.networks.meaning import check_classes
from gradcamo.networks.outputs import check_gradients, is_transformer, logits_of, unwrapped
from gradcamo.networks.preprocess import resize, standardise
from gradcamo.networks.replay import Replayed
from gradcamo.networks.sharing import alone, frozen, made_once, renew
from gradcamo.networks.trial import Trial
from gradcamo.networks.vit import attention_layers
from gradcamo.settings import CropSettings, Outputs


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network that knows how to prepare its own input.

    Parameters
    ----------
    network : Module
        From ``(N, C, *input_size)`` to logits (N, K).
    classes : tuple of str
        Name of each logit (the treatments); two for a network with one logit, the second where it
        is above 0.
    channels : tuple of str
        Stains, in the order that the network expects.
    channel_mean, channel_std : tuple of float
        Statistics of the training crops, rescaled to [0, 1].
    crop : CropSettings
        The window around each cell.
    input_size : tuple of int
        (z, y, x) that crops are resized to, in voxels; (y, x) for a 2D network.
    layer : str
        The layer that is explained by default.
    spacing_um : tuple of float, optional
        Voxel size (z, y, x) of the training stacks in µm, where it is known.
    architecture : mapping, optional
        Arguments of `efficientnet3d`; empty for a network of the user's own, which can be used but
        not saved.
    recipe : mapping, optional
        How it was trained.
    reshape : callable, optional
        For layers that give no map, from what they give to ``(N, C', *grid)``, as in `grad_cam`.
    outputs : {"classes", "independent"}
        "classes", of which a cell has one, or "independent", logits that each tell whether a cell
        has one label (sigmoid, multi-label): then every audit names the one to explain.

    Raises
    ------
    GradcamoError
        If names are there twice, or statistics and channels do not fit.

    Examples
    --------
    >>> import gradcamo as gc
    >>> checkpoint = gc.Checkpoint.load("bundled")
    >>> checkpoint.classes
    ('control', '0.06x', '0.32x', '1.60x', '8.00x', '40.00x')
    >>> checkpoint.layer, checkpoint.info(checkpoint.layer).grid
    ('block_4', (4, 6, 6))
    """

    network: nn.Module
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    crop: CropSettings
    input_size: tuple[int, ...]
    layer: str
    spacing_um: Spacing | None = None
    architecture: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    reshape: Reshape | None = None
    outputs: Outputs = "classes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", unwrapped(self.network))
        for what in ("classes", "channels"):
            names = getattr(self, what)
            if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
                raise GradcamoError(
                    f"{what} need names of their own, {twice[0]!r} comes more than once"
                )
        n = len(self.channels)
        if len(self.channel_mean) != n or len(self.channel_std) != n:
            raise GradcamoError(
                f"{n} channels need as many means and deviations, got {len(self.channel_mean)} "
                f"and {len(self.channel_std)}"
            )
        if not all(np.isfinite(self.channel_mean)) or not all(s > 0 for s in self.channel_std):
            raise GradcamoError("channel means must be finite and deviations positive")
        refuse_planes(self.crop, self.input_size)
        if self.outputs not in get_args(Outputs):
            raise GradcamoError(
                f"outputs are {' or '.join(map(repr, get_args(Outputs)))}, got {self.outputs!r}"
            )
        if self.architecture:  # a network of the user's own stays in the mode it is in
            self.network.eval()

    @classmethod
    def around(
        cls,
        network: nn.Module,
        channels: Sequence[str],
        layer: str | nn.Module | None,
        input_size: Sequence[int],
        crop: CropSettings | None = None,
        classes: Sequence[str] | None = None,
        channel_mean: Sequence[float] | None = None,
        channel_std: Sequence[float] | None = None,
        reshape: Reshape | None = None,
        outputs: Outputs = "classes",
    ) -> Checkpoint:
        """What an audit needs to know about a network of your own.

        Parameters
        ----------
        network : Module
            Any CNN from ``(N, C, *input_size)`` to logits (N, K), or a vision transformer.
        channels : sequence of str
            Stains, in the order that the network expects.
        layer : str, Module or None
            The layer to explain, by name or as the module; None where no map is wanted, as for
            causal attention, which takes any network (with ``classes`` named, also a scripted
            one).
        input_size : sequence of int
            (z, y, x) in voxels, or (y, x) for a 2D network.
        crop : CropSettings, optional
            The window around each cell, 128 x 128 by default.
        classes : sequence of str, optional
            Names of the logits; "0", "1", … by default. A network with one logit needs two, the
            first where it is below 0.
        channel_mean, channel_std : sequence of float, optional
            Statistics of crops rescaled to [0, 1]; by default 0 and 1, for a network that was
            trained on rescaled crops.
        reshape : callable, optional
            For layers that give something else than ``(N, C', *grid)``, a function to that, as in
            `grad_cam`; it is used for ``layer`` and, where that makes maps of them, for others.
        outputs : {"classes", "independent"}
            "classes" where a cell has one of them (softmax, or the sign of one logit),
            "independent" where each logit tells of a label of its own (multi-label).

        Returns
        -------
        Checkpoint

        Raises
        ------
        GradcamoError
            If the network cannot take such an input, returns no logits or not as many as there are
            classes, or has no such layer, or the layer's grid is not proved.

        Examples
        --------
        >>> import gradcamo as gc
        >>> from torch import nn
        >>> network = nn.Sequential(
        ...     nn.Conv2d(2, 8, 3, stride=2, padding=1),
        ...     nn.ReLU(),
        ...     nn.AdaptiveAvgPool2d(1),
        ...     nn.Flatten(),
        ...     nn.Linear(8, 2),
        ... )
        >>> own = gc.Checkpoint.around(network, ("DNA", "ER"), layer="1", input_size=(64, 64))
        >>> own.info("1").grid
        (32, 32)
        """
        for what, names in {"channels": channels, "classes": classes}.items():
            if isinstance(names, str):
                raise GradcamoError(f"{what} are several names, got {names!r}: write ({names!r},)")
        network = unwrapped(network)
        shape = (len(channels), *input_size)
        if layer is not None and not is_transformer(network):
            check_gradients(network)
        if layer is not None or classes is None:
            n = count_classes(network, shape)
            classes = [str(k) for k in range(n)] if classes is None else classes
            check_classes(n, classes, outputs)
        if isinstance(layer, nn.Module):
            (layer,) = find_taps(network, [layer])
        layer = None if layer is None else plain_name(layer, taps(network))
        own = cls(
            network=network,
            classes=tuple(classes),
            channels=tuple(channels),
            channel_mean=tuple([0.0] * len(channels) if channel_mean is None else channel_mean),
            channel_std=tuple([1.0] * len(channels) if channel_std is None else channel_std),
            crop=crop or CropSettings(),
            input_size=tuple(input_size),
            layer=layer or "",
            reshape=reshape,
            outputs=outputs,
        )
        if layer is not None:
            own.info(layer)
        return own

    def prepare(self, images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
        """What the network sees of a batch of crops.

        Parameters
        ----------
        images : array or Tensor
            (N, C, Z, Y, X) float32, rescaled to [0, 1].
        device : device or str
            Where to.

        Returns
        -------
        Tensor
            ``(N, C, *input_size)``, standardised per channel.

        Raises
        ------
        GradcamoError
            If the crops are no batch of the checkpoint's channels.
        """
        x = torch.as_tensor(images, device=device)
        if x.ndim != 5 or x.shape[1] != len(self.channels) or not x.is_floating_point():
            raise GradcamoError(
                f"expected crops (N, {len(self.channels)}, Z, Y, X) rescaled to [0, 1], got "
                f"{x.dtype} {tuple(x.shape)}: channels are {', '.join(self.channels)}"
            )
        if self.crop.planes not in (None, x.shape[2]):
            raise GradcamoError(
                f"the network was made for crops of {self.crop.planes} planes, these have "
                f"{x.shape[2]}: cut them with its own settings, CellCrops(stack, labels, "
                "checkpoint.crop)"
            )
        if len(self.input_size) == 2:
            x = x[:, :, 0]
        return resize(standardise(x, self.channel_mean, self.channel_std), self.input_size)

    def renew(self) -> None:
        """Let go of what was made of the network's weights, if these were changed since."""
        renew(self)

    @made_once
    def layers(self) -> dict[str, LayerInfo]:
        """Channels, grid, stride and offset of each layer at this input size."""
        if is_transformer(self.network):
            return attention_layers(self.network, self._shape)
        wanted = taps(self.network)
        seen = survey(self.network, self._shape, wanted, self.reshape, self._named)
        return {name: info for name, info in seen.items() if isinstance(info, LayerInfo)}

    @property
    def _shape(self) -> tuple[int, ...]:
        return (len(self.channels), *self.input_size)

    @property
    def _named(self) -> tuple[str, ...]:
        """The layer for which ``reshape`` is taken at its word."""
        return (self.layer,) if self.reshape else ()

    def info(self, layer: str) -> LayerInfo:
        """One of the layers.

        Raises
        ------
        GradcamoError
            If there is no such layer, or its grid is not proved.

        Warns
        -----
        GradcamoWarning
            If the layer is used several times in one forward pass: the last use is explained.
        """
        if layer not in self.layers:
            raise GradcamoError(
                f"the network has no layer {layer!r} with a grid: "
                f"{'choose from ' if self.layers else 'none of its layers has one'}"
                f"{', '.join(self.layers)}{self._why_not(layer)}"
            )
        info = self.layers[layer]
        if info.uses > 1:
            warn(used_again(layer, info), stacklevel=2)
        return info

    def _why_not(self, layer: str) -> str:
        wanted = taps(self.network)
        if layer not in wanted or is_transformer(self.network):
            return ""
        tap = {layer: wanted[layer]}
        (reason,) = survey(self.network, self._shape, tap, self.reshape, self._named).values()
        return f"; {reason}"

    @made_once
    def ready(self) -> nn.Module:
        """The network made ready for inference: the same numbers, sooner (`fused`)."""
        with torch.inference_mode(False):  # gradients are asked of what is kept
            return fused(self.network)

    def logits(self, images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
        """What the network says of a batch of crops.

        Parameters
        ----------
        images : array or Tensor
            (N, C, Z, Y, X) float32, rescaled to [0, 1].
        device : device or str
            Where it is asked.

        Returns
        -------
        Tensor
            (N, K), as the network gives them.

        Raises
        ------
        GradcamoError
            If the crops are no batch of the checkpoint's channels.

        Examples
        --------
        >>> import gradcamo as gc, numpy as np
        >>> checkpoint = gc.Checkpoint.load("bundled")
        >>> crops = np.zeros((2, len(checkpoint.channels), 21, 64, 64), "float32")
        >>> tuple(checkpoint.logits(crops).shape) == (2, len(checkpoint.classes))
        True
        """
        self.renew()
        where = torch.device(device)
        network = self.on(where)
        with frozen(network), torch.inference_mode():
            turned = mirrored_for(network, torch.as_tensor(images, device=where))
            seen = self.prepare(turned, where).to(precision(network))
            return logits_of(network(seen), len(seen))

    def on(self, device: torch.device) -> nn.Module:
        """The network made ready for inference on a device; its own weights stay where they are.

        It takes crops as `gradcamo.networks.fused.mirrored_for` turns them, and gives maps so:
        `logits` does it for you.
        """
        if device not in self._placed:
            with alone(self.network), torch.inference_mode(False):
                if device not in self._placed:
                    self._placed[device] = on_device(self.ready, device)
        return self._placed[device]

    @made_once
    def _placed(self) -> dict[torch.device, nn.Module]:
        return {}

    @made_once
    def last(self) -> dict[Hashable, Replayed[Any]]:
        """What a device did last, and how; whoever goes on with it takes it out meanwhile."""
        return {}

    @made_once
    def donors(self) -> dict[Hashable, Any]:
        """What it said last of the donors of a bank (`gradcamo.causal.donors`)."""
        return {}

    @made_once
    def trials(self) -> dict[tuple[str, ...], Trial]:
        """What first cells told of a network of the user's own, for each choice of layers."""
        return {}

    def trial(self, layers: tuple[str, ...] = ()) -> Trial | None:
        """What is known of it, or still to be found out; None where we built the network.

        Without layers logits alone are asked for: what is known at some layers serves, too.
        """
        if isinstance(self.ready, Inference):
            return None
        with alone(self.network):
            if not layers and self.trials:
                return next(iter(self.trials.values()))
            return self.trials.setdefault(
                layers, Trial(self.network, layers, precision(self.ready))
            )

    def cautions(self, layer: str) -> list[str]:
        """What to say of the network wherever scores of this layer are, as far as it is known."""
        trials = [trial for layers, trial in list(self.trials.items()) if layer in layers]
        said = [caution for trial in trials for caution in trial.cautions]
        if layer in self.layers and self.layers[layer].uses > 1:
            said.append(used_again(layer, self.layers[layer]))
        return list(dict.fromkeys(said))

    @made_once
    def hash(self) -> str:
        """SHA-256 of weights and settings, the same for the same file."""
        return sha256(packed(vars(self))).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write weights and settings as one safetensors file, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in ``.safetensors``.

        Raises
        ------
        GradcamoError
            If the network is not one of `efficientnet3d`, or the disk is full.
        """
        if not self.architecture:
            raise GradcamoError(
                "only networks built by efficientnet3d can be saved: keep the code and the "
                "state dict of your own network instead"
            )
        with landing(path) as scratch:
            scratch.write_bytes(packed(vars(self), seal=BLANK))

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a checkpoint; nothing is unpickled.

        Parameters
        ----------
        path : path
            A file of `save`, or ``"bundled"`` for the small network that comes with this package.

        Returns
        -------
        Checkpoint

        Raises
        ------
        GradcamoError
            If the file is missing or is not a checkpoint of this project.
        """
        return read(checkpoint_path(path), cls)
