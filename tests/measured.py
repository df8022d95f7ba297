"""Images, label images and tables as CytoTable and CellProfiler leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

CHANNELS = ("DNA", "ER")


def labels_of(image: int) -> np.ndarray:
    """Label image (3, 40, 60) with four objects, whose numbers have a gap."""
    labels = np.zeros((3, 40, 60), np.uint16)
    for place, number in enumerate((1, 2, 4, 5 + image)):
        labels[:, 5:35, 3 + 14 * place : 13 + 14 * place] = number
    return labels


def write_images(folder: Path, wells=("B02", "B03")) -> None:
    """``images/WELL_s1_CHANNEL.tiff`` and ``masks/WELL_s1_DNA_cells.tiff``."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    for image, well in enumerate(wells):
        for channel in CHANNELS:
            voxels = rng.integers(0, 1000, (3, 40, 60), np.uint16)
            path = folder / f"images/{well}_s1_{channel}.tiff"
            tifffile.imwrite(path, voxels, photometric="minisblack", metadata={"axes": "ZYX"})
        tifffile.imwrite(folder / f"masks/{well}_s1_DNA_cells.tiff", labels_of(image))


def cytotable(wells=("B02", "B03")) -> pd.DataFrame:
    """One row per object and all kinds of values; paths are those of another machine."""
    rows = []
    for image, well in enumerate(wells):
        for place, number in enumerate((1, 2, 4, 5 + image)):
            files = {
                f"Image_{kind}_{channel}": value
                for channel in CHANNELS
                for kind, value in (
                    ("FileName", f"{well}_s1_{channel}.tiff"),
                    ("PathName", "/app/run7/images"),
                )
            }
            rows.append(
                {
                    "Metadata_ImageNumber": image + 1,
                    "Image_Metadata_Plate": "007",
                    "Image_Metadata_Well": well,
                    "Image_Metadata_Site": 1,
                    **files,
                    "Metadata_ObjectNumber": number,
                    "Cells_AreaShape_Center_X": 7.5 + 14 * place,
                    "Cells_AreaShape_Center_Y": 20.0,
                    "Cells_Intensity_Mean_ER": 0.1 + 0.2 * number,
                    "Cells_Children_Nuclei_Count": np.nan if place == 1 else float(place),
                    "Metadata_cqc_small_is_outlier": place == 3,
                }
            )
    return pd.DataFrame(rows)


def write_cytotable(folder: Path, name: str = "plate.parquet") -> Path:
    """The table with its images and label images in one folder."""
    write_images(folder)
    path = folder / name
    table = cytotable()
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path
