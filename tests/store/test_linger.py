"""The linger of the writer: senders at once are brought together, a lone one is never kept waiting."""

from itertools import pairwise

import pytest

from edged.store.linger import LONGEST_PAUSE, REMEMBERED, Linger


def rounds(senders: int, *, commit_s: float, turnaround_s: float, count: int = 40) -> list[int]:
    """What each commit holds, of senders that send again so long after their answer, one after the other."""
    linger, now = Linger(), 0.0
    due = [turnaround_s * (1 + index % 2) for index in range(senders)]
    groups = []
    for _ in range(count):
        now = max(now, min(due))
        gathered = sum(each <= now for each in due)
        while gathered < senders and (patience := linger.patience(gathered, now)):
            following = min(each for each in due if each > now)
            if following > now + patience:
                now += patience
                break
            now = following
            gathered = sum(each <= now for each in due)
        answered = [index for index, each in enumerate(due) if each <= now]
        now += commit_s
        for place, index in enumerate(answered):
            due[index] = now + turnaround_s * (place + 1)
        linger.answered(len(answered), waiting=sum(each <= now for each in due), seconds=commit_s, now=now)
        groups.append(len(answered))
    return groups


def test_a_lone_sender_is_not_waited_for() -> None:
    linger = Linger()
    for index in range(20):
        assert linger.patience(1, index) == 0.0
        linger.answered(1, waiting=0, seconds=0.04, now=index + 0.5)


@pytest.mark.parametrize("senders", [2, 4, 8])
def test_halves_come_together_where_a_flush_takes_long(senders: int) -> None:
    assert rounds(senders, commit_s=0.04, turnaround_s=0.002)[-10:] == [senders] * 10


def test_those_who_were_answered_and_those_who_came_meanwhile_are_waited_for() -> None:
    linger = Linger()
    linger.answered(4, waiting=4, seconds=0.04, now=1.0)
    assert linger.patience(4, 1.0) == pytest.approx(0.02)
    assert linger.patience(7, 1.015) == pytest.approx(0.005)
    assert linger.patience(8, 1.015) == 0.0
    assert linger.patience(7, 1.02) == 0.0


def test_what_came_long_after_is_not_kept_waiting() -> None:
    linger = Linger()
    linger.answered(8, waiting=0, seconds=0.04, now=1.0)
    assert linger.patience(1, 60.0) == 0.0


def test_the_shortest_of_the_last_commits_counts() -> None:
    linger = Linger()
    linger.answered(8, waiting=0, seconds=0.002, now=1.0)
    linger.answered(8, waiting=0, seconds=0.030, now=2.0)
    assert linger.patience(1, 2.0) == pytest.approx(0.001)
    for index in range(REMEMBERED):
        linger.answered(8, waiting=0, seconds=0.030, now=3.0 + index)
    assert linger.patience(1, 3.0 + REMEMBERED - 1) == pytest.approx(0.015)


def test_waiting_in_vain_is_tried_ever_more_rarely_until_it_succeeds() -> None:
    linger, now, tried = Linger(), 0.0, []
    linger.answered(8, waiting=0, seconds=0.002, now=now)
    for index in range(400):
        if linger.patience(2, now):
            tried.append(index)
        now += 1.0
        linger.answered(2, waiting=6, seconds=0.002, now=now)
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 2
    assert pauses[-1] == LONGEST_PAUSE + 1
    while not linger.patience(2, now):
        linger.answered(2, waiting=6, seconds=0.002, now=now)
    linger.answered(8, waiting=0, seconds=0.002, now=now)
    assert linger.patience(2, now)


def test_one_that_is_late_alone_is_not_committed_alone() -> None:
    linger = Linger()
    linger.answered(8, waiting=0, seconds=0.04, now=1.0)
    assert linger.patience(1, 1.0)
    linger.answered(7, waiting=1, seconds=0.04, now=2.0)
    assert linger.patience(1, 2.0)
