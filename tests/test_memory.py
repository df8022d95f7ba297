"""What an audit keeps in memory: neither what it read of a file, nor cells it is done with."""

import json
import subprocess
import sys

import psutil
import pytest

AUDITS = """
import json, resource, sys
from math import prod
from pathlib import Path

import numpy as np
import torch

import gradcamo as gc
from gradcamo.cells import windows

torch.set_num_threads(1)
windows.HELD = 0  # all stacks are large ones
CHANNELS = tuple("abcdef")
checkpoint = gc.Checkpoint(
    gc.efficientnet3d(in_channels=6, num_classes=2, width=0.1),
    classes=("control", "treated"),
    channels=CHANNELS,
    channel_mean=(0.2,) * 6,
    channel_std=(0.2,) * 6,
    crop=gc.CropSettings(size_yx=(64, 64), planes=16),
    input_size=(64, 96, 96),
    layer="block_10",
)


def peak(planes, cells):
    '''In bytes, of this process, after a field of so many planes and cells was audited.'''
    folder = Path(sys.argv[1])
    shape = planes, 512, 512
    labels = np.zeros(shape, np.uint8)
    for n in range(cells):
        y, x = 40 + 70 * (n // 6), 40 + 70 * (n % 6)
        z = n * (planes - 8) // cells
        labels[z : z + 8, y : y + 30, x : x + 30] = n + 1
    np.save(folder / "labels.npy", labels)
    del labels
    # of zeros, which take no room on the disk; that a channel is constant shows when all is read
    np.lib.format.open_memmap(folder / "image.npy", "w+", np.uint16, (6, *shape))
    stack = gc.read_stack(folder / "image.npy", axes="CZYX", channels=CHANNELS)
    table = gc.audit(stack, gc.read_labels(folder / "labels.npy", axes="ZYX"), checkpoint)
    assert len(table) == cells
    del stack, table
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


print(json.dumps([peak(20, 8), peak(20, 32), peak(160, 32)]))
"""


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere memory is given back when it is short")
def test_an_audit_takes_no_more_memory_for_more_cells_and_planes(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", AUDITS, str(tmp_path)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    few, many, large = json.loads(out.splitlines()[-1])
    batch = 8 * 6 * 64 * 96 * 96 * 4  # as the network takes it: 113 MB
    assert many - few < batch
    voxels = 140 * 512 * 512  # that the larger one has more
    assert large - many < voxels + 12 * voxels / 4  # its labels, and not its 12 bytes of image
