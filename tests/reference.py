"""Where the reference data lies that was made by other code."""

from pathlib import Path

DATA = Path(__file__).parent / "data"
