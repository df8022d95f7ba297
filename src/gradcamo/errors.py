"""The one exception for input that cannot be used, and the one warning."""


class GradcamoError(ValueError):
    """Says what was expected, what came and what to do next; a ``ValueError``.

    Examples
    --------
    >>> import gradcamo as gc
    >>> try:
    ...     gc.read_stack("nowhere.tif")
    ... except gc.GradcamoError as error:
    ...     print(error)
    there is no image nowhere.tif: check the path
    """


class GradcamoWarning(UserWarning):
    """Says what may not be what it seems; the work goes on."""
