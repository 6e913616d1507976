"""The command `ringline`, and what a call from a shell needs: here signaling and media are put together."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ringline")
except PackageNotFoundError:
    __version__ = "of a checkout that is not installed"
