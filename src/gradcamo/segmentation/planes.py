"""Cells from a Z-stack: Cellpose on every plane, then stitched along z.

Gives voxel by voxel what one stitched Cellpose call gives, but plane by plane, so that there is
progress to show and a moment to cancel.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from gradcamo.datatypes import ZStack, refuse_no_stack
from gradcamo.errors import GradcamoError
from gradcamo.segmentation.models import default_model, evaluate, find_weights, load_model
from gradcamo.settings import SegmentSettings

NUCLEUS = (r"hoechst|dapi|draq ?5|\bdna\b|\bh2b\b|nucle(us|i|ar)(?![a-z])",)
CYTOPLASM = (
    r"syto ?(14|rna)|\brna\b",
    r"concanavalin|\bcon ?a\b|\ber\b|endoplasmic",
    r"cyto(plasm|sol)?(?![a-z])|cell",
    r"membrane|wga|wheat|golgi|\bagp\b|actin|phalloidin",
)


class PlaneMasks(NamedTuple):
    """Masks of one plane, before stitching: (Y, X) int32, numbered within the plane."""

    plane: int
    total: int
    masks: np.ndarray


def segment(stack: ZStack, settings: SegmentSettings | None = None) -> np.ndarray:
    """Label every cell of a stack with Cellpose, plane by plane, stitched along z.

    Parameters
    ----------
    stack : ZStack
        (C, Z, Y, X); the channels used are those that the settings name, or found by their names.
    settings : SegmentSettings, optional
        Model, diameter and thresholds; those of the paper by default.

    Returns
    -------
    ndarray
        (Z, Y, X) int32: 0 outside cells, 1 … n without gaps; all 0 where there is no cell.

    Raises
    ------
    GradcamoError
        If channels cannot be told apart, intensities are not finite or weights are missing.

    Examples
    --------
    One plane, for a quick look:

    >>> import gradcamo as gc
    >>> stack = gc.read_stack("plate/images/E02_s1.ome.tif")
    >>> plane = gc.ZStack(stack.data[:, 4:5], stack.channels, stack.spacing_um)
    >>> labels = gc.segment(plane, gc.SegmentSettings(model="bundled"))
    >>> labels.shape, bool(labels.max() > 10)
    ((1, 160, 160), True)
    """
    refuse_no_stack(stack, "a segmentation")
    settings = settings or SegmentSettings()
    if not isinstance(settings, SegmentSettings):
        raise GradcamoError(
            f"a segmentation takes settings, got {settings!r}: gc.SegmentSettings(model=…)"
        )
    return stitch((done.masks for done in segment_planes(stack, settings)), settings)


def segment_planes(stack: ZStack, settings: SegmentSettings | None = None) -> Iterator[PlaneMasks]:
    """Masks of one plane after the other, for progress and cancelling; raises as `segment`."""
    settings = settings or SegmentSettings()
    ready = prepare(stack, settings)
    for plane in range(len(ready.images)):
        yield segment_plane(ready, plane, settings)


class Prepared(NamedTuple):
    """What all planes of a stack need: normalised images (Z, Y, X, 2) and the network."""

    images: np.ndarray
    model: Any


def prepare(stack: ZStack, settings: SegmentSettings) -> Prepared:
    """Normalise the whole stack and load the network; raises as `segment`."""
    return Prepared(_normalised(stack, settings), load_model(settings))


def segment_plane(ready: Prepared, plane: int, settings: SegmentSettings) -> PlaneMasks:
    """Masks of one plane, those that segmenting the stack finds in it."""
    image = ready.images[plane]
    masks = evaluate(ready.model, image, settings)
    return PlaneMasks(plane, len(ready.images), masks.reshape(image.shape[:2]).astype(np.int32))


def stitch(planes: Iterable[np.ndarray], settings: SegmentSettings | None = None) -> np.ndarray:
    """Join the masks of neighbouring planes, (Y, X) each, into cells: (Z, Y, X) int32.

    Masks whose overlap (IoU) reaches the threshold become one cell; then holes are filled and
    cells under the smallest size are dropped.
    """
    from cellpose import utils

    settings = settings or SegmentSettings()
    masks = np.stack([np.asarray(plane, np.int32) for plane in planes])
    with contextlib.redirect_stderr(io.StringIO()):  # its own progress bar
        masks = utils.stitch3D(masks, stitch_threshold=settings.stitch_threshold)
    if masks.any():
        masks = utils.fill_holes_and_remove_small_masks(masks, min_size=settings.min_size)
    return masks.astype(np.int32)


def choose_channels(stack: ZStack, settings: SegmentSettings) -> tuple[str, str | None]:
    """The cytoplasm channel and the nucleus channel, or None for a stack without nuclei.

    As the settings say; else the only channel there is; else found by name.

    Raises
    ------
    GradcamoError
        If a named channel is missing or the names do not tell which shows the cells.
    """
    given = [name for name in (settings.cytoplasm, settings.nucleus) if name]
    if given:
        stack.select(tuple(given))  # says which are missing
    if len(stack.channels) == 1:
        return stack.channels[0], None
    rest = [name for name in stack.channels if name not in given]
    nucleus = settings.nucleus or _first_match(NUCLEUS, rest)
    rest = [name for name in rest if name != nucleus]
    cytoplasm = settings.cytoplasm or _first_match(CYTOPLASM, rest)
    if cytoplasm is None and nucleus is not None and len(rest) == 1:
        cytoplasm = rest[0]
    if cytoplasm is None:
        raise GradcamoError(
            f"the names of the channels {list(stack.channels)} do not tell which one fills the "
            "cells: name it with --cytoplasm, and the one that shows nuclei with --nucleus"
        )
    return cytoplasm, nucleus


def recipe(stack: ZStack, settings: SegmentSettings | None = None) -> dict[str, Any]:
    """How labels are made: Cellpose's version, weights, channels and every setting."""
    settings = settings or SegmentSettings()
    cytoplasm, nucleus = choose_channels(stack, settings)
    weights = find_weights(settings.model)
    return {
        "cellpose": version("cellpose"),
        "weights": weights.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **settings.model_dump(exclude={"batch_size"}),
        "model": settings.model or default_model(),
        "cytoplasm": cytoplasm,
        "nucleus": nucleus,
    }


def average_precision(truth: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """TP / (TP + FP + FN) over whole objects, matched one to one where their IoU allows.

    Parameters
    ----------
    truth, labels : integer arrays of one shape
        0 is background; ids may have gaps.
    threshold : float
        Smallest IoU of a match.

    Returns
    -------
    float
        1 where neither has an object.
    """
    from scipy.optimize import linear_sum_assignment

    if truth.shape != labels.shape:
        raise GradcamoError(f"labels of shape {labels.shape} do not fit a truth of {truth.shape}")
    true_ids, a = np.unique(np.append(truth.ravel(), 0), return_inverse=True)
    found_ids, b = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    shape = (len(true_ids), len(found_ids))
    both = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    iou = (both / union)[1:, 1:]
    matched = (iou >= threshold) + iou / (2 * min(iou.shape) + 1) if iou.size else iou
    hits = int((iou[linear_sum_assignment(-matched)] >= threshold).sum())
    objects = sum(iou.shape) - hits
    return hits / objects if objects else 1.0


def _first_match(patterns: Iterable[str], names: list[str]) -> str | None:
    """The first name that the earliest pattern finds."""
    for pattern in patterns:
        for name in names:
            if re.search(pattern, name.replace("_", " "), re.IGNORECASE):
                return name
    return None


def _normalised(stack: ZStack, settings: SegmentSettings) -> np.ndarray:
    """Cytoplasm and nucleus (Z, Y, X, 2), the whole stack scaled between its percentiles."""
    from cellpose import transforms

    cytoplasm, nucleus = choose_channels(stack, settings)
    stack.select(tuple(filter(None, (cytoplasm, nucleus)))).warn_of_absent_chunks()
    images = np.zeros((*stack.shape[1:], 2), np.float32)
    for place, name in enumerate((cytoplasm, nucleus)):
        if name is None:
            continue
        images[..., place] = stack.data[stack.channels.index(name)]
        bad = np.count_nonzero(~np.isfinite(images[..., place]), axis=(1, 2))
        if bad.any():
            raise GradcamoError(
                f"{stack.source or 'the stack'}, channel {name}, Z {bad.argmax()}: {bad.sum()} NaN "
                "or infinite intensities, most of them there: replace them before segmenting"
            )
    return transforms.normalize_img(images, normalize=True, norm3D=True)
