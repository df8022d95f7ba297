"""Open every dock of the installed plugin in a real window, on a sample with labels.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/open_docks.py [PICTURE.png]

The docks are those of the manifest. Whatever one of them raises ends this with an error.
"""

from __future__ import annotations

import sys

PLUGIN = "napari-gradcamo"


def main(picture: str | None = None) -> None:
    import napari
    from npe2 import PluginManager
    from qtpy.QtWidgets import QApplication

    import gradcamo

    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, "built_in_stack_and_labels")
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    docks = [widget.display_name for widget in manifest.contributions.widgets or ()]
    for dock in docks:
        viewer.window.add_plugin_dock_widget(PLUGIN, dock, tabify=True)
        QApplication.processEvents()
    open_now = [name for name in viewer.window.dock_widgets if name.endswith(f"({PLUGIN})")]
    if len(open_now) != len(docks):
        sys.exit(f"{len(docks)} docks are in the manifest, {len(open_now)} are open: {open_now}")
    if picture is not None:
        viewer.window.resize(1440, 900)
        QApplication.processEvents()
        viewer.screenshot(picture, canvas_only=False)
    viewer.close()
    print(f"{len(docks)} docks of {gradcamo.__file__} were open: {', '.join(docks)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
