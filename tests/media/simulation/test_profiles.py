"""The named networks and the line that describes one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import MediaError
from media.simulation.link import LinkParameters
from media.simulation.profiles import PROFILES, UnknownProfile, get_profile, parse_line


def test_the_labs_names_are_there() -> None:
    assert {
        "none", "clean", "loss5", "loss10", "loss20", "burst", "burst_time", "rtt300", "jitter",
        "jitter_reorder", "spike", "lowbw", "video_clean", "video_1mbit", "video_300k", "video_loss5",
        "video_loss2", "wifi",
    } <= PROFILES.keys()  # fmt: skip


def test_parameters_of_a_profile() -> None:
    profile = get_profile("lowbw")
    assert profile.a_to_b.parameters == LinkParameters(delay_ms=50, rate_bps=48_000, queue_ms=300)
    assert profile.a_to_b == profile.b_to_a


def test_wifi_is_what_its_note_says() -> None:
    one, _ = get_profile("wifi").links(seed=5, start=0.0)
    delays: list[float] = []
    for number in range(30_000):
        one.send(number.to_bytes(4, "big") + bytes(150), number * 0.02)
    for at, data in one.receive(1e6):
        delays.append(at - int.from_bytes(data[:4], "big") * 0.02)
    assert one.counters.burst_lost / 30_000 == pytest.approx(0.012, abs=0.004)
    delays.sort()
    assert delays[len(delays) // 2] == pytest.approx(0.017, abs=0.002)
    assert 0.09 < delays[-1] < 0.16
    assert sum(delay > 0.06 for delay in delays) / len(delays) == pytest.approx(0.015, abs=0.01)


def test_links_are_seeded_and_the_directions_differ() -> None:
    def lost(index: int, seed: int) -> list[int]:
        one = get_profile("loss20").links(seed)[index]
        for number in range(500):
            one.send(number.to_bytes(2, "big"), number * 0.02)
        return [int.from_bytes(data, "big") for _, data in one.receive(1e3)]

    assert lost(0, 1) == lost(0, 1)
    assert lost(0, 1) != lost(1, 1)
    assert lost(0, 1) != lost(0, 2)


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(UnknownProfile, match="loss10") as caught:
        get_profile("loss11")
    assert isinstance(caught.value, MediaError)
    assert "\n" not in str(caught.value)


def test_a_line_describes_a_network() -> None:
    profile = get_profile("delay=80, jitter=20 dist=exp loss=0.03 rate=64 reorder=1")
    assert profile.a_to_b.parameters == LinkParameters(
        delay_ms=80, jitter_ms=20, distribution="exp", loss=0.03, rate_bps=64_000, reorder=True
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    ["delay=x", "dealy=1", "loss=2", "delay", "reorder=7", "dist=odd", "loss=nan", "delay=1" + " " * 2000],
)
def test_a_wrong_line_is_refused(line: str) -> None:
    with pytest.raises(UnknownProfile):
        parse_line(line)


@given(st.text() | st.from_regex(r"(delay|loss|rate|dist|ge_p|qms)=[-0-9.a-z]{0,6}( |,)?", fullmatch=True))
def test_any_text_is_a_network_or_an_unknown_profile(line: str) -> None:
    try:
        LinkParameters().changed(parse_line(line))
    except UnknownProfile:
        pass
