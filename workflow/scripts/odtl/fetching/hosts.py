"""Whose turn it is: how many transfers a host gets, when it is left alone, and when it is given up."""

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from odtl.fetching.policy import Policy

Task = TypeVar("Task")
Host = tuple[str, str, int]


@dataclass
class _State(Generic[Task]):
    limit: int
    waiting: deque = field(default_factory=deque)
    live: int = 0
    # Not before this time is anything asked of it again.
    paused_until: float = 0.0
    # Consecutive rounds without any answer, and when the last of them ended.
    silent_rounds: int = 0
    round_ended: float = 0.0
    # Whether it stands in one of the two queues of hosts.
    listed: bool = False


class Hosts(Generic[Task]):
    """Tasks that wait for their host, in the order in which they may begin. Times are seconds of one clock."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._states: dict[Host, _State[Task]] = {}
        self._ready: deque[Host] = deque()
        self._later: list[tuple[float, int, Host, Task | None]] = []
        self._number = itertools.count()

    def add(self, host: Host, task: Task, at: float = 0.0, first: bool = False) -> None:
        """Let a task wait for its host; at: not before that time; first: before the others of that host."""
        if at:
            heapq.heappush(self._later, (at, next(self._number), host, task))
            return
        waiting = self._state(host).waiting
        waiting.appendleft(task) if first else waiting.append(task)
        self._list(host)

    def take(self, now: float) -> tuple[Host, Task] | None:
        """Return a task that may begin now, and its host; None if there is none. Each host has its turn."""
        while self._later and self._later[0][0] <= now:
            _, _, host, task = heapq.heappop(self._later)
            if task is None:
                self._state(host).listed = False
            else:
                self._state(host).waiting.appendleft(task)
            self._list(host)
        while self._ready:
            host = self._ready.popleft()
            state = self._states[host]
            state.listed = False
            if not state.waiting or state.live >= state.limit:
                continue
            if state.paused_until > now and not self.given_up(host):
                # Listed there.
                state.listed = True
                heapq.heappush(self._later, (state.paused_until, next(self._number), host, None))
                continue
            state.live += 1
            task = state.waiting.popleft()
            self._list(host)
            return host, task
        return None

    def give_back(self, host: Host) -> None:
        """Say that a task that was taken has ended."""
        self._states[host].live -= 1
        self._list(host)

    def answered(self, host: Host) -> None:
        """Say that the host has answered, whatever it said."""
        self._state(host).silent_rounds = 0

    def silent(self, host: Host, began: float, now: float) -> None:
        """Say that the host did not answer what it was asked at `began`.

        What was asked at one time counts once. Each such round doubles the time that the host is left alone.
        """
        state = self._state(host)
        if began >= state.round_ended:
            wait = min(self._policy.max_wait, self._policy.first_wait * 2**state.silent_rounds)
            state.silent_rounds += 1
            state.round_ended = now
            state.paused_until = max(state.paused_until, now + wait)

    def asked_to_wait(self, host: Host, seconds: float, now: float) -> None:
        """Leave the host alone for so long, and ask it for half as much at one time from then on."""
        state = self._state(host)
        if state.paused_until <= now:
            state.limit = max(1, state.limit // 2)
        state.paused_until = max(state.paused_until, now + seconds)

    def given_up(self, host: Host) -> bool:
        """Return whether the host was silent so often that it is not asked any more."""
        return self._state(host).silent_rounds >= self._policy.attempts

    def next_time(self) -> float | None:
        """Return when something that waits for a time may begin; None where nothing does."""
        return self._later[0][0] if self._later else None

    def _state(self, host: Host) -> _State[Task]:
        if host not in self._states:
            self._states[host] = _State(self._policy.per_host)
        return self._states[host]

    def _list(self, host: Host) -> None:
        state = self._states[host]
        if not state.listed and state.waiting and state.live < state.limit:
            state.listed = True
            self._ready.append(host)
