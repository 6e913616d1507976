"""Which path is used: told the time, without sockets."""

from media.io.ice_paths import CHECKS_AT_ONCE, CONSENT_INTERVAL, DEAD, RECHECK_INTERVAL, SILENCE, Paths

STEP = 0.25


class World:
    """Paths with a round trip of 0.1 s. `there`, `back`: those whose directions work; `talks`: where the peer sends."""

    def __init__(self, *names: str, talks: str | None) -> None:
        self.paths: Paths[str] = Paths()
        self.names = names
        self.current, self.talks = names[0], talks
        self.there, self.back = set(names), set(names)
        self.now = 0.0
        self.asked: list[tuple[float, str]] = []
        self.changes: list[tuple[float, str]] = []
        self._answers: list[tuple[float, str, float]] = []
        self.paths.answered(self.current, 0.0)

    def ask(self, name: str) -> None:
        self.paths.asked(name, self.now)
        self.asked.append((self.now, name))
        if name in self.there & self.back:
            self._answers.append((self.now + 0.1, name, self.now))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += STEP
            for at, name, asked in [a for a in self._answers if a[0] <= self.now]:
                self._answers.remove((at, name, asked))
                if name in self.there & self.back:
                    self.paths.answered(name, at, asked=asked)
            if self.talks in self.back:
                self.paths.heard(self.talks, self.now)
            others = [name for name in self.names if name != self.current]
            if self.paths.is_due(self.current, self.now):
                self.ask(self.current)
            if not self.paths.is_failing(self.current, self.now):
                continue
            if (better := self.paths.better(self.current, others, self.now)) is not None:
                self.current = better
                self.changes.append((self.now, better))
                self.ask(better)
            else:
                for name in self.paths.others_due(others, self.now):
                    self.ask(name)


def test_a_path_that_works_is_asked_every_five_seconds_and_no_other() -> None:
    world = World("a", "b", talks="a")
    world.run(60.0)
    assert world.changes == [] and {name for _, name in world.asked} == {"a"}
    assert 60 / CONSENT_INTERVAL - 2 <= len(world.asked) <= 60 / CONSENT_INTERVAL


def test_a_dead_path_is_left_within_four_seconds() -> None:
    world = World("a", "b", "c", talks="a")
    world.run(7.0)
    world.there -= {"a", "b"}
    world.back -= {"a", "b"}
    world.talks = None
    world.run(20.0)
    assert [name for _, name in world.changes] == ["c"] and world.changes[0][0] - 7.0 < 4.0


def test_a_path_that_dies_one_way_is_left_though_the_peer_is_heard_on_it() -> None:
    world = World("a", "b", talks="a")
    world.run(7.0)
    world.there.remove("a")
    world.run(20.0)
    assert world.current == "b" and world.changes[0][0] - 7.0 < CONSENT_INTERVAL + DEAD + 1.5


def test_a_peer_that_answers_and_sends_nothing_keeps_its_path() -> None:
    world = World("a", "b", talks=None)
    world.run(120.0)
    assert world.changes == [] and {name for _, name in world.asked} == {"a"}
    assert len(world.asked) < 120 / SILENCE


def test_a_peer_that_sends_on_another_path_is_no_reason_to_change() -> None:
    world = World("a", "b", talks="b")
    world.run(120.0)
    assert world.changes == []


def test_where_no_path_works_nothing_changes_and_little_is_sent() -> None:
    names = ["a", *(f"b{n}" for n in range(40))]
    world = World(*names, talks="a")
    world.run(3.0)
    world.there.clear()
    world.run(20.0)
    assert world.changes == []
    assert len(world.asked) <= 20 / STEP * CHECKS_AT_ONCE + 20 / RECHECK_INTERVAL
    assert {name for _, name in world.asked} == set(names), "each has its turn"
    assert world.paths.last_answer("a") < 3.5, "heard, and yet without consent"
    world.there |= set(names)
    world.run(60.0)
    assert world.changes == [], "they come back together"


def test_the_path_that_was_left_does_not_take_over_again_by_itself() -> None:
    world = World("a", "b", talks="a")
    world.run(3.0)
    world.there.remove("a")
    world.run(20.0)
    world.there.add("a")
    world.talks = "b"
    world.run(60.0)
    assert [name for _, name in world.changes] == ["b"]


def test_what_is_forgotten_is_unknown() -> None:
    paths: Paths[str] = Paths()
    paths.answered("a", 5.0)
    paths.answered("b", 5.0)
    paths.forget(["b"])
    assert paths.last_answer("a") < 0 and paths.last_answer("b") == 5.0
