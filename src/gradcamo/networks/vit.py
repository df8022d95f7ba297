"""Vision transformers: the class token's self-attention in place of Grad-CAM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gradcamo.datatypes import CamResult
from gradcamo.errors import GradcamoError
from gradcamo.networks.geometry import LayerInfo
from gradcamo.networks.gradcam import at_least_single, check_input
from gradcamo.networks.grids import Sight
from gradcamo.networks.meaning import per_class
from gradcamo.networks.outputs import logits_of
from gradcamo.networks.sharing import frozen


def attention_last(attentions: Sequence[Tensor]) -> Tensor:
    """What the class token attends to in the last layer, the mean over heads.

    Parameters
    ----------
    attentions : sequence of Tensor
        One (N, heads, 1 + P, 1 + P) per layer, rows sum to 1, the class token first.

    Returns
    -------
    Tensor
        (N, P): one weight per patch.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import torch
    >>> first, last = torch.rand(2, 1, 4, 10, 10).softmax(-1)  # of 1 cell, 4 heads, 9 patches
    >>> gc.attention_last([first, last]).reshape(1, 3, 3).shape
    torch.Size([1, 3, 3])
    """
    return at_least_single(attentions[-1]).mean(1)[:, 0, 1:]


def attention_rollout(attentions: Sequence[Tensor]) -> Tensor:
    """Attention followed through all layers (Abnar and Zuidema, 2020).

    Each layer passes on half of what it attends to and half of what it is given (the residual
    connection): R = prod over layers of (mean over heads of A + I) / 2. As `attention_last`, from
    R instead of the last layer's A.

    Parameters
    ----------
    attentions : sequence of Tensor
        One (N, heads, 1 + P, 1 + P) per layer, rows sum to 1, the class token first.

    Returns
    -------
    Tensor
        (N, P): one weight per patch.

    Raises
    ------
    GradcamoError
        If no attention was given.

    Examples
    --------
    >>> import gradcamo as gc
    >>> import torch
    >>> first, last = torch.rand(2, 1, 4, 10, 10).softmax(-1)  # of 1 cell, 4 heads, 9 patches
    >>> seen = gc.attention_rollout([first, last])
    >>> gc.grad_camo(seen, torch.ones(1, 9, dtype=bool))  # a cell that fills its crop
    tensor([1.])
    """
    rolled: Tensor | None = None
    for attention in attentions:
        a = at_least_single(attention).mean(1)
        a = (a + torch.eye(a.shape[-1], device=a.device, dtype=a.dtype)) / 2
        rolled = a if rolled is None else a @ rolled
    if rolled is None:
        raise GradcamoError("no attention was given: one matrix per layer is expected")
    return rolled[:, 0, 1:]


_MAPS = {"attention_last": attention_last, "attention_rollout": attention_rollout}


def attention_layers(network: nn.Module, input_shape: Sequence[int]) -> dict[str, LayerInfo]:
    """The maps that a transformer offers: tokens' width, grid of patches and where they look.

    Parameters
    ----------
    network : MONAI's ViT with ``classification=True``
    input_shape : (C, *spatial) of one cell

    Raises
    ------
    GradcamoError
        If the network was made for another input size.
    """
    patch, grid = _patches(network, input_shape[1:])
    offset = tuple((size - 1) / 2 for size in patch)
    sight = Sight(tuple(float(size) for size in patch), offset)
    width = network.norm.normalized_shape[0]  # type: ignore[union-attr, index]
    return {name: LayerInfo(int(width), grid, sight) for name in _MAPS}


def attention_cam(
    network: nn.Module, x: Tensor, layers: Iterable[str] = ("attention_last",)
) -> CamResult:
    """Self-attention maps of a batch, for the same scores as Grad-CAM's.

    Parameters
    ----------
    network : MONAI's ViT with ``classification=True``
    x : (N, C, *spatial)
    layers : ``attention_last``, ``attention_rollout`` or both

    Returns
    -------
    CamResult with ``maps`` (N, *grid of patches); ``profiles`` are the class token after the last
    norm, (N, hidden_size). Attention does not depend on a class: ``target`` is the predicted one.

    Raises
    ------
    GradcamoError
        If a layer is unknown, the input does not fit, or the network does not keep its attention.
    """
    layers = tuple(layers)
    if unknown := [name for name in layers if name not in _MAPS]:
        raise GradcamoError(
            f"a transformer has no layer {unknown[0]!r}: choose from {', '.join(_MAPS)}"
        )
    check_input(x, network)
    _, grid = _patches(network, x.shape[2:])
    with frozen(network), _kept(network) as seen, torch.no_grad():
        out = network(x)
        logits = logits_of(out[0] if isinstance(out, tuple) else out, len(x))
        attentions = [block.attn.att_mat for block in network.blocks]  # type: ignore[union-attr]
    token = at_least_single(seen[0][:, 0])
    maps = {name: _MAPS[name](attentions).unflatten(1, grid) for name in layers}
    predicted = per_class(logits).argmax(1)
    return CamResult(
        at_least_single(logits), predicted, predicted, maps, dict.fromkeys(maps, token)
    )


def _patches(network: Any, size: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Extent of one patch in voxels, and the grid of patches."""
    embedding = network.patch_embedding.patch_embeddings
    if isinstance(embedding, nn.Sequential):  # patches cut out by einops, then a linear map
        lengths: Any = embedding[0].axes_lengths
        patch = tuple(lengths[f"p{i + 1}"] for i in range(len(lengths)))
    else:
        patch = tuple(embedding.stride)
    grid = tuple(n // p for n, p in zip(size, patch, strict=False))
    if len(patch) != len(size) or prod(grid) != network.patch_embedding.n_patches:
        raise GradcamoError(
            f"the transformer has {network.patch_embedding.n_patches} patches of {patch} voxels, "
            f"an input of {tuple(size)} has {grid}: use the img_size that it was made with"
        )
    return patch, grid


@contextmanager
def _kept(network: Any) -> Iterator[list[Tensor]]:
    """Has the network keep its attention, and the tokens after its last norm."""
    heads = [block.attn for block in network.blocks]
    if any(getattr(head, "use_flash_attention", False) for head in heads):
        raise GradcamoError("flash attention keeps no matrix: set use_flash_attention=False")
    before = [(head.save_attn, head.att_mat) for head in heads]
    tokens: list[Tensor] = []
    hook = network.norm.register_forward_hook(lambda module, args, out: tokens.append(out))
    try:
        for head in heads:
            head.save_attn = True
        yield tokens
    finally:
        hook.remove()
        for head, (save, kept) in zip(heads, before, strict=True):
            head.save_attn, head.att_mat = save, kept
