"""Read by mypy, not run: whoever uses the package sees its real types."""

from typing import assert_type

import pandas as pd

import gradcamo as gc


def what_type_checkers_see(stack: gc.ZStack, checkpoint: gc.Checkpoint) -> None:
    assert_type(gc.read_stack("stack.tif"), gc.ZStack)
    assert_type(gc.audit(stack, None, checkpoint), pd.DataFrame)
    assert_type(gc.AuditSettings().cutoff, float)
    gc.no_such_name  # type: ignore[attr-defined]  # noqa: B018
    gc.read_stack(1)  # type: ignore[arg-type]
