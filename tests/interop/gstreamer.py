"""GStreamer's webrtcbin (Debian's packages), in a process of the system's Python; see gst_end.py."""

import shutil
import subprocess

from tests.interop.browser import HERE

PYTHON = "/usr/bin/python3"
PACKAGES = (
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",  # x264enc
    "gstreamer1.0-nice",
    "gir1.2-gst-plugins-bad-1.0",
    "python3-gst-1.0",
)
ASK = """
import gi
for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC
Gst.init(None)
for name in "webrtcbin nicesrc opusenc vp8enc x264enc openh264dec".split():
    assert Gst.ElementFactory.find(name), name
print(".".join(str(part) for part in Gst.version()[:3]))
"""


def find() -> str | None:
    """Its version, when all that is needed is there."""
    if not shutil.which(PYTHON):
        return None
    done = subprocess.run([PYTHON, "-c", ASK], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or None if done.returncode == 0 else None


def words() -> list[str]:
    return [PYTHON, "-X", "faulthandler", str(HERE / "gst_end.py")]
