"""Finds libopus and binds it.

opuslib looks for the system's library only; PyAV's wheel carries a newer one, which goes first. `OPUS_LIB` names
another. opuslib loads it and gives the constants; its decode builds a Python list per sample and its ctl functions
have no argument types, so the hot functions are bound here once more, to write into buffers of the caller's.
"""

import ctypes
import ctypes.util
import os
from ctypes import POINTER, c_char_p, c_int, c_int32, c_ubyte, c_void_p
from pathlib import Path
from types import SimpleNamespace

from media.errors import CodecError

# Where auditwheel, delocate and delvewheel put PyAV's libraries, seen from the directory of the package `av`.
_WHEEL_PATTERNS = ("../av.libs/libopus-*", "../av.libs/libopus*.dll", ".dylibs/libopus*.dylib")


def _find() -> str | None:
    if named := os.environ.get("OPUS_LIB"):
        return named
    import av

    package = Path(av.__file__).parent
    for pattern in _WHEEL_PATTERNS:
        folder, _, name = pattern.rpartition("/")
        for path in sorted((package / folder).glob(name)):
            return str(path.resolve())
    return ctypes.util.find_library("opus")


def _load() -> SimpleNamespace:
    path = _find()
    if path is None:
        raise CodecError(
            "libopus was not found: install PyAV's wheel or the system's libopus, or set OPUS_LIB"
        )
    # opuslib asks find_library while it is imported, and has no other way to be told.
    original = ctypes.util.find_library
    ctypes.util.find_library = lambda name: path if name == "opus" else original(name)
    try:
        import opuslib.api.ctl
        import opuslib.api.encoder  # noqa: F401

        library = ctypes.CDLL(path)
        # Functions that keep the interpreter while they run. Giving it back and asking for it costs more than a
        # frame's decoding (30 µs) once the threads of several calls want it.
        holding = ctypes.PyDLL(path)
    except OSError as error:
        raise CodecError(f"libopus at {path} cannot be loaded: {error}") from None
    finally:
        ctypes.util.find_library = original
    return _bind(library, holding)


def _bind(library: ctypes.CDLL, holding: ctypes.PyDLL) -> SimpleNamespace:
    def function(name: str, result: object, *arguments: object, of: ctypes.CDLL = library) -> object:
        bound = getattr(of, name)
        bound.restype, bound.argtypes = result, list(arguments)
        return bound

    return SimpleNamespace(
        version=function("opus_get_version_string", c_char_p),
        strerror=function("opus_strerror", c_char_p, c_int),
        encoder_create=function("opus_encoder_create", c_void_p, c_int32, c_int, c_int, POINTER(c_int)),
        encoder_destroy=function("opus_encoder_destroy", None, c_void_p),
        encode=function("opus_encode", c_int32, c_void_p, c_char_p, c_int, c_void_p, c_int32),
        # Variadic in C: the fixed arguments are typed, the rest is passed as given.
        encoder_ctl=function("opus_encoder_ctl", c_int, c_void_p, c_int),
        decoder_create=function("opus_decoder_create", c_void_p, c_int32, c_int, POINTER(c_int)),
        decoder_destroy=function("opus_decoder_destroy", None, c_void_p),
        decode=function(
            "opus_decode", c_int, c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int, of=holding
        ),
        samples=function("opus_packet_get_nb_samples", c_int, c_char_p, c_int32, c_int32, of=holding),
        # since 1.5; absent in a system's older library
        has_lbrr=function("opus_packet_has_lbrr", c_int, c_char_p, c_int32)
        if hasattr(library, "opus_packet_has_lbrr")
        else None,
        ubyte=c_ubyte,
    )


_library: SimpleNamespace | None = None


def libopus() -> SimpleNamespace:
    """The bound library, loaded on first use. Raises CodecError when there is none."""
    global _library
    if _library is None:
        _library = _load()
    return _library


def version() -> str:
    """For instance `libopus 1.6.1`."""
    return str(libopus().version().decode())
