"""What version 0.1.0 left on disk, made by its own code: files, and what it was asked with.

A field with its labels, a network, tables, a plate's results, what the window kept beside the
labels, its settings (``docks.ini``) and the flags of its commands.
"""

import gzip
import shutil
from pathlib import Path

OLD = Path(__file__).parent / "data" / "v0.1.0"


def unpacked(folder: Path) -> Path:
    """A copy of the files in a folder, the network where it was."""
    there = Path(shutil.copytree(OLD, folder))
    network = there / "network.safetensors"
    network.write_bytes(gzip.decompress((there / "network.safetensors.gz").read_bytes()))
    shutil.copy(network, there / "results" / "checkpoint-c923686a2310.safetensors")
    return there
