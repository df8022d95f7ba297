"""Look into a built wheel and sdist: complete, valid, and how large.

python scripts/check_dist.py build/dist
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

WHEEL = (
    "gradcamo/py.typed",
    "gradcamo/__init__.pyi",
    "gradcamo/napari.yaml",
    "gradcamo/weights/demo_checkpoint.safetensors",
    "gradcamo/weights/cellpose_gradcamo.safetensors",
    "licenses/LICENSE",
)
SDIST = (
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "constraints.txt",
    "tests/conftest.py",
    "docs/index.md",
)


def lacking(names: list[str], wanted: tuple[str, ...]) -> list[str]:
    return [want for want in wanted if not any(name.endswith(want) for name in names)]


def main(folder: Path) -> None:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
        weights = sum(i.file_size for i in archive.infolist() if "/weights/" in i.filename)
    with tarfile.open(sdist) as archive:
        packed = archive.getnames()
    if missing := lacking(inside, WHEEL) + lacking(packed, SDIST):
        sys.exit(f"not packed: {', '.join(missing)}")
    for path in (wheel, sdist):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"of which weights {weights / 1e6:.1f} MB")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", wheel, sdist], check=True)
    subprocess.run([sys.executable, "-m", "check_wheel_contents", wheel], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
