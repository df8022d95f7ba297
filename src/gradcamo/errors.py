"""The one exception for input that cannot be used, and the one warning."""


class GradcamoError(ValueError):
    """Says what was expected, what came and what to do next."""


class GradcamoWarning(UserWarning):
    """Says what may not be what it seems; the work goes on."""
