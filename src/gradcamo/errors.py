"""The one exception for input that cannot be used."""


class GradcamoError(ValueError):
    """Says what was expected, what came and what to do next."""
