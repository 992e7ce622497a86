"""The one error of this package."""


class ConfigError(Exception):
    """A setting that cannot be used; the text names its source, its key and what was expected."""
