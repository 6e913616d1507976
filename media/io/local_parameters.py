"""What this end offers, from the parts of a connection: the input of media.negotiation."""

from collections.abc import Sequence

from media.engine import MediaEngine
from media.io.secure_transport import SecureTransport
from media.negotiation import LocalParameters, LocalVideo


def local_parameters(
    transport: SecureTransport,
    engine: MediaEngine,
    *,
    session_id: int,
    microphone: bool,
    camera: bool,
    screen: bool,
    video_codecs: Sequence[str],
    data: bool,
) -> LocalParameters:
    """`microphone`, `camera`, `screen`: there is one; `data`: with a section for data channels."""
    video = None
    if camera or screen or engine.video_parameters is not None:
        video = LocalVideo(
            ssrc=engine.video_ssrc,
            rtx_ssrc=engine.rtx_ssrc,
            codecs=tuple(video_codecs),
            send=camera,
            receive=screen,
        )
    return LocalParameters(
        session_id=session_id,
        ice_ufrag=transport.latest_ice.local_ufrag,
        ice_pwd=transport.latest_ice.local_pwd,
        fingerprint=transport.fingerprint,
        ssrc=engine.ssrc,
        cname=engine.cname,
        send=microphone,
        setup=transport.setup,
        video=video,
        data=data,
    )
