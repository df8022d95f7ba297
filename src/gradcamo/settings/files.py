"""What files do not say about themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from gradcamo.settings.base import Settings, lengths


class ReadSettings(Settings):
    """What image files do not say about themselves."""

    axes: str | None = Field(
        None, description="order of each file's axes, such as CZYX, where it is not declared"
    )
    channel_names: tuple[str, ...] = Field(
        (), description="names of the channels in order, or old=new for those to rename"
    )
    spacing: Annotated[
        tuple[float | None, float | None, float | None] | None, BeforeValidator(lengths)
    ] = Field(None, description="voxel size z,y,x in µm; ? for a length that is not known")


class LabelReadSettings(ReadSettings):
    """What label images do not say about themselves, either."""

    labels_axes: str | None = Field(
        None, description="order of the axes of label images (default: planes, rows, columns)"
    )
    labels_stitch: float = Field(
        0.05,
        ge=0,
        le=1,
        description="overlap (IoU) at which masks of one plane each become one cell along z; 0: "
        "they have the same numbers in all planes",
    )
    labels_coarser: bool = Field(
        False, description="enlarge label images of a coarser level to the stack's size"
    )
    connected: bool = Field(
        False,
        description="label images are masks, one number for all cells: each connected piece "
        "becomes a cell",
    )


class FolderSettings(LabelReadSettings):
    """How the stacks of a plate are found in a folder."""

    pattern: str | None = Field(
        None,
        description="how the files of a folder are named, such as "
        "'{well}_s{site}_z{z}_{channel}.tif' (default: the layout is recognised)",
    )
    labels: str | None = Field(
        None,
        description="names of the label images in that folder, such as "
        "'{well}_s{site}_labels.tif', or which labels of an OME-Zarr plate to use",
    )
    layout: str | None = Field(
        None, description="CSV of well, treatment for a folder or an OME-Zarr plate"
    )
    well_column: str | None = Field(
        None, description="column of the layout that holds wells (default: by its usual names)"
    )
    treatment_column: str | None = Field(
        None, description="column of the layout that holds treatments (default: likewise)"
    )


class OpenSettings(FolderSettings):
    """What is opened in a window: an image, or the folder of a plate."""

    labels: str | None = Field(
        None,
        description="label image of IMAGE's cells; of a folder, how those in it are named, such as "
        "'{well}_s{site}_labels.tif'; of a TABLE, their folder or 'masks/{Metadata_Well}.tif'",
    )
