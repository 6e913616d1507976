"""VP8 encoding with libvpx by ctypes: FFmpeg's wrapper cannot change the bitrate without a key frame.

libvpx checks its own ABI: vpx_codec_enc_init_ver refuses every version but its own, and the default configuration
tells where its members lie. When any of that does not fit, available() is False and PyAV encodes (codecs/vp8.py).
"""

import ctypes
import os
import struct
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_long, c_size_t, c_uint, c_ulong, c_void_p
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from media.errors import CodecError

_CONFIG_BYTES = 4096  # the struct has about 500; nobody says exactly
_CONTEXT_BYTES = 512  # of about 60
# Offsets in vpx_codec_enc_cfg_t (libvpx 1.8 to 1.16, 64 bit), checked against the default values below.
_OFFSETS = {
    "g_threads": 4, "g_w": 12, "g_h": 16, "timebase_num": 28, "timebase_den": 32, "g_error_resilient": 36,
    "g_lag_in_frames": 44, "rc_dropframe_thresh": 48, "rc_end_usage": 72, "rc_target_bitrate": 112,
    "rc_min_quantizer": 116, "rc_max_quantizer": 120, "rc_undershoot_pct": 124, "rc_overshoot_pct": 128,
    "rc_buf_sz": 132, "rc_buf_initial_sz": 136, "rc_buf_optimal_sz": 140, "kf_mode": 160, "kf_max_dist": 168,
}  # fmt: skip
_DEFAULTS = {"g_w": 320, "g_h": 240, "timebase_num": 1, "timebase_den": 30, "rc_target_bitrate": 256,
             "rc_max_quantizer": 63, "rc_buf_sz": 6000, "rc_buf_initial_sz": 4000, "rc_buf_optimal_sz": 5000,
             "kf_mode": 1, "kf_max_dist": 128}  # fmt: skip
_ABI_VERSIONS = range(10, 64)
_IMG_FMT_I420 = 0x102
_CBR = 1
_FORCE_KEY_FRAME = 1
_REALTIME = 1
_CX_FRAME_PACKET = 0
_SET_CPUUSED, _SET_STATIC_THRESHOLD, _SET_MAX_INTRA_BITRATE = 13, 17, 26
# Speed at which 640x480 takes about 4 ms here; libwebrtc uses the same for desktops.
CPU_USED = -6
MAX_INTRA_PERCENT = 450  # a key frame is at most 4.5 times the mean frame, so that it does not fill a queue
MIN_QUANTIZER, MAX_QUANTIZER = 2, 56  # libwebrtc


@cache
def _library() -> SimpleNamespace | None:
    """The bound library with its ABI version, or None when there is none that fits."""
    import av

    named = os.environ.get("VPX_LIB")
    package = Path(av.__file__).parent
    paths = [Path(named)] if named else sorted(package.parent.glob("av.libs/libvpx-*"))
    if not paths or struct.calcsize("P") != 8:
        return None
    try:
        library = ctypes.CDLL(str(paths[0]))
    except OSError:
        return None

    def function(name: str, result: object, *arguments: object) -> object:
        bound = getattr(library, name)
        bound.restype, bound.argtypes = result, list(arguments)
        return bound

    bound = SimpleNamespace(
        interface=function("vpx_codec_vp8_cx", c_void_p),
        config_default=function("vpx_codec_enc_config_default", c_int, c_void_p, c_void_p, c_uint),
        init=function("vpx_codec_enc_init_ver", c_int, c_void_p, c_void_p, c_void_p, c_long, c_int),
        config_set=function("vpx_codec_enc_config_set", c_int, c_void_p, c_void_p),
        control=function("vpx_codec_control_", c_int, c_void_p, c_int),
        encode=function("vpx_codec_encode", c_int, c_void_p, c_void_p, c_int64, c_ulong, c_long, c_ulong),
        data=function("vpx_codec_get_cx_data", c_void_p, c_void_p, POINTER(c_void_p)),
        destroy=function("vpx_codec_destroy", c_int, c_void_p),
        wrap=function("vpx_img_wrap", c_void_p, c_void_p, c_int, c_uint, c_uint, c_uint, c_void_p),
        free=function("vpx_img_free", None, c_void_p),
        version=function("vpx_codec_version_str", c_char_p),
    )
    config = ctypes.create_string_buffer(_CONFIG_BYTES)
    if bound.config_default(bound.interface(), config, 0) or not _layout_fits(config.raw):
        return None
    for version in _ABI_VERSIONS:
        context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        if bound.init(context, bound.interface(), config, 0, version) == 0:
            bound.destroy(context)
            bound.abi = version
            return bound
    return None


def _layout_fits(config: bytes) -> bool:
    return all(struct.unpack_from("<I", config, _OFFSETS[n])[0] == v for n, v in _DEFAULTS.items())


def available() -> bool:
    """Whether a libvpx was found whose ABI is understood."""
    return _library() is not None


def version() -> str | None:
    library = _library()
    return None if library is None else str(library.version().decode())


class LibvpxEncoder:
    """VP8, real-time, constant bitrate. Sizes are even; another size needs another encoder."""

    def __init__(self, width: int, height: int, *, bitrate_bps: int, fps: int = 30, threads: int = 1) -> None:
        library = _library()
        if library is None:
            raise CodecError("no libvpx whose ABI is understood")
        self._lib = library
        self._shape = (height * 3 // 2, width)
        self._config = ctypes.create_string_buffer(_CONFIG_BYTES)
        self._context: ctypes.Array[ctypes.c_char] | None = ctypes.create_string_buffer(_CONTEXT_BYTES)
        self._image = None
        library.config_default(library.interface(), self._config, 0)
        self._set(
            g_threads=threads, g_w=width, g_h=height, timebase_num=1, timebase_den=90000, g_error_resilient=0,
            g_lag_in_frames=0, rc_dropframe_thresh=30, rc_end_usage=_CBR, rc_target_bitrate=max(1, bitrate_bps // 1000),
            rc_min_quantizer=MIN_QUANTIZER, rc_max_quantizer=MAX_QUANTIZER, rc_undershoot_pct=100, rc_overshoot_pct=15,
            rc_buf_sz=1000, rc_buf_initial_sz=500, rc_buf_optimal_sz=600, kf_mode=0, kf_max_dist=1 << 30,
        )  # fmt: skip
        if code := library.init(self._context, library.interface(), self._config, 0, library.abi):
            self._context = None
            raise CodecError(f"libvpx encoder for {width}x{height}: error {code}")
        for control, value in (
            (_SET_CPUUSED, CPU_USED),
            (_SET_STATIC_THRESHOLD, 1),
            (_SET_MAX_INTRA_BITRATE, MAX_INTRA_PERCENT),
        ):
            library.control(self._context, control, c_int(value))
        self._buffer = np.empty(self._shape, np.uint8)
        self._image = library.wrap(None, _IMG_FMT_I420, width, height, 1, self._buffer.ctypes.data)
        self._bitrate_bps = bitrate_bps

    def _set(self, **members: int) -> None:
        for name, value in members.items():
            struct.pack_into("<I", self._config, _OFFSETS[name], value)

    def set_bitrate(self, bitrate_bps: int) -> None:
        """From the next frame on, without a key frame."""
        if bitrate_bps != self._bitrate_bps and self._context is not None:
            self._set(rc_target_bitrate=max(1, bitrate_bps // 1000))
            if self._lib.config_set(self._context, self._config) == 0:
                self._bitrate_bps = bitrate_bps

    def encode(
        self, picture: NDArray[np.uint8], *, time: int, duration: int, key_frame: bool
    ) -> tuple[bytes, bool] | None:
        """(frame, whether it is a key frame), or None when the rate control dropped it. Times at 90 kHz."""
        if self._context is None or picture.shape != self._shape:
            raise CodecError("the encoder is closed or the picture has another size")
        np.copyto(self._buffer, picture)
        flags = _FORCE_KEY_FRAME if key_frame else 0
        code = self._lib.encode(self._context, self._image, time, max(1, duration), flags, _REALTIME)
        if code:
            raise CodecError(f"libvpx encode: error {code}")
        iterator = c_void_p()
        while packet := self._lib.data(self._context, byref(iterator)):
            if ctypes.cast(packet, POINTER(c_int))[0] != _CX_FRAME_PACKET:
                continue
            # struct { kind; union { struct { void *buf; size_t sz; int64 pts; unsigned long duration; uint32 flags
            address = ctypes.cast(packet + 8, POINTER(c_void_p))[0]
            size = ctypes.cast(packet + 16, POINTER(c_size_t))[0]
            frame_flags = ctypes.cast(packet + 40, POINTER(c_uint))[0]
            return ctypes.string_at(address or 0, size), bool(frame_flags & 1)
        return None

    def close(self) -> None:
        if self._context is not None:
            self._lib.destroy(self._context)
            self._context = None
        if self._image:
            self._lib.free(self._image)
            self._image = None

    def __del__(self) -> None:
        if getattr(self, "_context", None) is not None:
            self.close()
