"""The public names: what the stub promises is there, and costs nothing until it is used."""

import re
import subprocess
import sys
from pathlib import Path

import gradcamo as gc


def test_every_public_name_exists_and_is_documented():
    for name in gc.__all__:
        assert getattr(gc, name).__doc__, name


def test_importing_the_package_loads_no_library():
    heavy = ["napari", "torch", "pandas", "numpy", "qtpy"]
    code = f"import sys, gradcamo; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_reference_shows_every_public_name():
    page = Path(__file__).parents[1] / "docs" / "reference.md"
    shown = re.findall(r"^::: (gradcamo\.[\w.]+)$", page.read_text(encoding="utf-8"), re.M)
    names = [name.rpartition(".")[2] for name in shown]
    assert sorted(names) == sorted(set(gc.__all__) - {"__version__"})


def test_help_lists_the_fields_of_settings_with_defaults_and_bounds():
    told = gc.PlateSettings.__doc__
    retries = "further attempts at a stack that failed; at least 0 and at most 100"
    assert f"\nretries : int, default: 1\n    {retries}\n" in told
    assert "\nlabels_stitch : float, default: 0.05\n" in told  # of a model that it inherits from
    audit = "\naudit : AuditSettings, default: AuditSettings()\n    How cells are explained"
    assert audit in told
    assert "\nrescale : {'min-max', 'percentile'}, default: 'min-max'\n" in gc.CropSettings.__doc__


def test_a_stack_shows_what_it_is_without_its_voxels(field):
    stack, _ = field
    assert repr(stack) == (
        "<ZStack 2 × 6 × 60 × 70 uint16 (DNA, actin), 0.6 × 0.35 × 0.35 µm, field.tif>"
    )
