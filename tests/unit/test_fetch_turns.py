"""Who is asked when, on a clock of the test's own; and how it is told."""

import io

from odtl.fetching.hosts import Hosts
from odtl.fetching.policy import Policy
from odtl.fetching.telling import Telling

A, B = ("http", "a", 80), ("http", "b", 80)
POLICY = Policy(per_host=2, attempts=3, first_wait=1, max_wait=10)


def taken(hosts, now):
    """Take all that may begin; return the tasks."""
    found = []
    while task := hosts.take(now):
        found.append(task[1])
    return found


def filled(*tasks):
    hosts = Hosts(POLICY)
    for host, task in tasks:
        hosts.add(host, task)
    return hosts


def test_hosts_take_turns_within_their_limit():
    hosts = filled(*((A, f"a{n}") for n in range(4)), *((B, f"b{n}") for n in range(3)))
    assert taken(hosts, 0) == ["a0", "b0", "a1", "b1"]
    hosts.give_back(B)
    assert taken(hosts, 0) == ["b2"]
    hosts.give_back(A)
    hosts.give_back(A)
    assert taken(hosts, 0) == ["a2", "a3"]


def test_first_goes_before_the_others_and_later_waits_for_its_time():
    hosts = filled((A, "old"))
    hosts.add(A, "redirected", first=True)
    hosts.add(B, "again", at=5.0)
    assert taken(hosts, 4.9) == ["redirected", "old"]
    assert hosts.next_time() == 5.0
    assert taken(hosts, 5.0) == ["again"]
    assert hosts.next_time() is None


def test_host_that_asks_for_patience_is_left_alone_and_then_asked_for_half():
    hosts = filled(*((A, n) for n in range(6)))
    assert taken(hosts, 0) == [0, 1]
    hosts.asked_to_wait(A, 5, now=1)
    # The other transfer is told the same: once is enough.
    hosts.asked_to_wait(A, 5, now=1)
    hosts.give_back(A)
    hosts.give_back(A)
    assert taken(hosts, 5.9) == []
    assert hosts.next_time() == 6
    assert taken(hosts, 6) == [2]


def test_silent_host_is_asked_ever_later_and_then_not_any_more():
    hosts = filled(*((A, n) for n in range(9)))
    now, pauses = 0.0, []
    while not hosts.given_up(A):
        for _ in taken(hosts, now):
            hosts.give_back(A)
            hosts.silent(A, began=now, now=now + 0.5)
        assert taken(hosts, now + 0.5) == [] or hosts.given_up(A)
        pauses.append(hosts.next_time())
        now = pauses[-1] or now
    # A wait of one second, then of two; the tasks that are left come at once, to be told so.
    assert pauses[:2] == [1.5, 4.0]
    hosts.give_back(A)
    assert hosts.take(now) is not None


def test_an_answer_makes_a_host_heard_again():
    hosts = filled((A, 1))
    for now in (0, 10):
        hosts.silent(A, now, now + 1)
    hosts.answered(A)
    hosts.silent(A, 20, 21)
    assert not hosts.given_up(A)


def test_plain_lines_where_there_is_no_terminal():
    now, stream = [0.0], io.StringIO()
    telling = Telling(40, stream, clock=lambda: now[0])
    for number in range(40):
        now[0] += 0.5
        telling.count(1, failed=number % 20 == 0)
    telling.close()
    assert stream.getvalue() == "20/40 images, 2.0 images/s, 1 failed\n40/40 images, 2.0 images/s, 2 failed\n"


def test_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    telling = Telling(3, stream)
    telling.count(1, failed=False)
    telling.count(2, failed=True)
    telling.say("a line")
    telling.close()
    assert "3/3" in stream.getvalue() and "2 failed" in stream.getvalue() and "a line\n" in stream.getvalue()
