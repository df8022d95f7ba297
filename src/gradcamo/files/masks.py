"""Labels that are a mask: one number for all cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcamo.errors import GradcamoError


class MaskError(GradcamoError):
    """A mask stands where labels are expected."""


def refuse_no_labels(labels: np.ndarray) -> None:
    """Refuse an array that cannot hold a whole number for each cell.

    Raises
    ------
    GradcamoError
        If so.
    """
    if not hasattr(labels, "dtype"):
        raise GradcamoError(
            f"labels are an array (Z, Y, X), got {type(labels).__name__}: read a file with "
            "gc.read_labels(path), or take numpy.asarray(labels)"
        )
    if np.dtype(labels.dtype) == bool:
        raise GradcamoError(
            "these labels are a mask of True and False, and every cell needs a number of its "
            "own: skimage.measure.label(mask) makes a cell of every connected piece"
        )
    if np.dtype(labels.dtype).kind not in "ui":
        raise GradcamoError(f"labels are whole numbers, these are {labels.dtype}: round them")


def too_large(label: int) -> str:
    """What is said of labels that a table of cells cannot hold."""
    return (
        f"has the label {label}, and numbers of cells end at {np.iinfo(np.int64).max}: number them "
        "anew, as skimage.segmentation.relabel_sequential does"
    )


def refuse_mask(labels: np.ndarray, path: str | Path) -> None:
    """Refuse labels (Z, Y, X) whose only number lies in two or more pieces of one plane.

    One cell exported as 0 and 1 is in one piece in every plane, and is fine. Pieces of a plane
    touch by sides or corners.

    Raises
    ------
    MaskError
        If they are a mask.
    """
    from scipy import ndimage

    number = labels.max(initial=0)
    if not number or not all(((plane == number) | (plane == 0)).all() for plane in labels):
        return
    for z, plane in enumerate(labels):
        _, pieces = ndimage.label(plane, structure=np.ones((3, 3)))
        if pieces > 1:
            raise MaskError(
                f"{path} is a mask: its only number, {number}, lies in {pieces} separate pieces of "
                f"plane {z}, and every cell needs a number of its own. Export labels, or let every "
                "connected piece become a cell with --connected (connected=True)"
            )


def connected_pieces(labels: np.ndarray) -> np.ndarray:
    """Every connected piece of one number as a cell of its own, (Z, Y, X).

    Pieces touch by faces, edges or corners (26 neighbours) and are numbered from 1 in the order of
    their first voxels; pieces of different numbers stay apart where they touch.
    """
    from skimage.measure import label

    found = label(labels, connectivity=3)
    return found.astype(np.min_scalar_type(int(found.max(initial=0))))
