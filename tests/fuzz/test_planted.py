"""A fault that is planted in the server is noticed, by what the interop tier runs too, for the reason that it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COUNTED = {
    "one_in_a_thousand_dropped": ("each_message_comes", "messages? \\d+"),
    "one_in_a_thousand_doubled": ("each_message_comes", "more than once"),
    "one_in_a_thousand_iqs_unanswered": ("each_iq", "are not answered"),
    "kept_in_a_wrong_order": ("what_is_kept", "another order"),
    "grows_in_the_store": ("what_is_kept", "is not what was written"),
    "a_task_leaked_per_connection": ("of_a_connection", "tasks are left"),
    "a_socket_leaked_per_call": ("of_a_call", "sockets are left"),
    "bytes_leaked_per_stanza": ("of_a_stanza", "are left of each stanza"),
    "bytes_leaked_in_one_piece": ("of_a_stanza", "bytes are left of each stanza"),
    "blocked_by_broken_frames": ("broken_frame", "keeps others waiting"),
    "strangers_go_first": ("no_stranger", "floods of strangers keep others waiting"),
    "aborts_on_a_rare_stanza": ("no_stanza_ends", "the server ended with -6"),
    "a_queue_without_bound": ("does_not_read", "the server grew"),
}
KILLED = {
    "acknowledged_before_stored": "acknowledged, and lost",
    "not_stored_where_online": "lost to somebody who was online",
}

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize("fault", COUNTED)
def test_who_counts_notices(fault: str) -> None:
    promise, why = COUNTED[fault]
    done = _run("tests/fuzz/counted.py", "--plant", fault, "--only", promise)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(why, done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize("fault", KILLED)
def test_who_kills_notices(fault: str) -> None:
    done = _run("tests/bench/kill_server.py", "--plant", fault, "--rounds", "2", "--seconds", "0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert KILLED[fault] in done.stdout, done.stdout + done.stderr


def test_nothing_is_noticed_where_nothing_is_planted() -> None:
    done = _run("tests/fuzz/counted.py")
    assert done.returncode == 0, done.stdout + done.stderr
    done = _run("tests/bench/kill_server.py", "--rounds", "4", "--seconds", "0")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_fault_has_who_notices_it() -> None:
    listed = _run("tests/fuzz/counted.py", "--help").stdout.replace("\n", "")
    assert all(
        fault in listed.replace(" ", "") for fault in COUNTED.keys() | KILLED.keys() | {"strangers_go_first"}
    )
