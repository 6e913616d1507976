"""A registered profile, without a server."""

from pathlib import Path

import pytest

from signaling import Profile
from signaling.client.profile import ProfileData, private_key_text
from signaling.identity import new_device_key

ALICE = "+12025550100"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Of ALICE, at a server that is not there."""
    path = tmp_path / "alice.profile"
    data = ProfileData(
        server="http://127.0.0.1:1",
        number=ALICE,
        jid=f"{ALICE}@calls.localhost",
        device="d0123456789abcdef",
        device_name="test",
        device_token="token",
        private_key=private_key_text(new_device_key()),
    )
    Profile.create(path, data).close()
    return path
