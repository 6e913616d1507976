"""The versions that a report names."""

from importlib.metadata import PackageNotFoundError, version

from media.codecs import libopus

PACKAGES = {"ringline": "ringline", "aiortc": "aiortc", "PyAV": "av"}


def versions() -> dict[str, str]:
    """Ringline, libopus, aiortc, PyAV; "checkout" for a Ringline that is not installed."""
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "checkout"
    found["libopus"] = libopus.version().removeprefix("libopus ")
    return found
