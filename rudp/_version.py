"""The version, where the build, the command and the package read it without importing more."""

__version__ = "0.1.0"
