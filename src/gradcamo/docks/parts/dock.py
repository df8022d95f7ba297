"""What every dock and dialog does with long work: begin it, say how it goes, say why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qtpy.QtWidgets import QDialog, QWidget

from gradcamo.docks.parts.widgets import Message
from gradcamo.docks.parts.worker import Job
from gradcamo.errors import GradcamoError


class Works:
    """Runs jobs and has a message that tells of them."""

    message: Message

    def run(
        self,
        job: Job,
        steps: Callable[[], Iterator[Any]],
        text: str = "",
        gentle: bool = False,
    ) -> None:
        """Run these steps beside the window, and say ``text`` until they bring something.

        Raises
        ------
        GradcamoError
            If the job is still running.
        """
        job.start(steps, gentle)
        self.message.say(text)

    def follow(self, job: Job, enable: Callable[..., None]) -> None:
        """Say why a job failed, and call ``enable`` when it begins and when it ends."""
        job.failed.connect(self.message.fail)
        job.began.connect(enable)
        job.ended.connect(enable)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Inside, an error that users can do something about is said instead of raised."""
        try:
            yield
        except GradcamoError as error:
            self.message.fail(error)


class Dock(Works, QWidget):
    """A widget that is docked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = Message()


class Dialog(Works, QDialog):
    """A window of its own."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = Message()
