"""What the tests of DTLS share."""

import pytest
from aiortc.rtcdtlstransport import RTCCertificate


@pytest.fixture(scope="session")
def certificates() -> tuple[RTCCertificate, RTCCertificate, RTCCertificate]:
    return tuple(RTCCertificate.generateCertificate() for _ in range(3))  # type: ignore[return-value]
