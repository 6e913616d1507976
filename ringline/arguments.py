"""What a command line may say: each value is checked before anything starts. All raise ArgumentTypeError."""

import argparse
import ipaddress
import socket
from pathlib import Path

from media import MediaError, load_speech
from media.arguments import ip_address, network, seconds, seed, whole_number
from media.io.video_files import VideoFile
from signaling import Profile, ProfileError

__all__ = [
    "local_address",
    "network",
    "profile",
    "seconds",
    "seed",
    "sound_file",
    "video",
    "whole_number",
]


def profile(text: str) -> Path:
    """A file that `ringline register` made; nothing is changed in it, or made beside it."""
    try:
        Profile.open(text).close()
    except ProfileError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def sound_file(text: str) -> Path:
    """A file in which there is sound."""
    try:
        load_speech(text, 0.02)
    except MediaError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def video(text: str) -> str:
    """`none`, `pattern`, `camera`, or a film file."""
    if text not in ("none", "pattern", "camera"):
        try:
            VideoFile(text).close()
        except MediaError as error:
            raise argparse.ArgumentTypeError(f"{error}; give pattern, camera, or a film file") from None
    return text


def local_address(text: str) -> str:
    """A literal IP address of this machine."""
    address = ipaddress.ip_address(ip_address(text))
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))
    except OSError:
        raise argparse.ArgumentTypeError(f"{text} is not an address of this machine") from None
    return text
