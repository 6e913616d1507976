import resource

import pytest

from signaling.network_address import address_path
from signaling.server.admission import OWN_FILES, Admission
from signaling.server_limits import Limits

HERE = address_path("192.0.2.1")


class Connection:
    dropped = False

    def drop(self):
        self.dropped = True


@pytest.fixture
def admission(monkeypatch):
    """admission(files): where the process may open so many."""

    def make(files, **limits):
        monkeypatch.setattr(resource, "getrlimit", lambda which: (files, files))
        return Admission(Limits(**limits))

    return make


@pytest.mark.parametrize("files", [64, 100, 256, 1024, 65536, resource.RLIM_INFINITY])
async def test_strangers_never_have_the_last_file(admission, files):
    made = admission(files)
    open_ones = []
    for n in range(2200):
        connection = Connection()
        open_ones.append(connection)
        made.enter(connection, address_path(f"10.{n // 250}.{n % 250}.1"))
        open_ones = [c for c in open_ones if not c.dropped]
    assert len(open_ones) == made.strangers <= 2000
    if files != resource.RLIM_INFINITY:
        assert made.strangers + made.most_members <= max(8, files - OWN_FILES)
    assert made.most_members >= made.strangers  # more is reserved for those who are logged in


async def test_one_address_has_half_of_what_strangers_have(admission):
    made = admission(1024)
    connections = [Connection() for _ in range(1000)]
    for connection in connections:
        made.enter(connection, HERE)
    held = [c for c in connections if not c.dropped]
    assert held == connections[-len(held) :] and len(held) == 120 and made.dropped == 880


async def test_who_has_logged_in_gives_way_to_nobody(admission):
    made = admission(128, connections=3)
    members = [Connection() for _ in range(3)]
    for member in members:
        made.enter(member, HERE)
        assert made.promote(member)
    late = Connection()
    made.enter(late, HERE)
    assert made.is_full and not made.promote(late)
    for _ in range(100):
        made.enter(Connection(), HERE)
    assert late.dropped and not any(member.dropped for member in members)
    made.leave(members[0])
    assert not made.is_full


async def test_few_files_are_told(admission, caplog):
    admission(1024)
    assert "few open files" in caplog.text
    caplog.clear()
    admission(65536)
    assert caplog.text == ""


async def test_without_a_file_one_stranger_gives_way(admission):
    made, only = admission(1024), Connection()
    made.drop_one()  # nobody is there
    made.enter(only, HERE)
    made.drop_one()
    assert only.dropped and made.strangers == 0
