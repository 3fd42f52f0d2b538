"""Fetches many URLs: decides what is asked for when, follows redirects, tries again, and gives up."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from odtl.download import RETRIED_STATUS
from odtl.fetching.hosts import Host, Hosts
from odtl.fetching.policy import Policy
from odtl.fetching.transfers import Answer, Transfers, refused_before
from odtl.fetching.urls import Target, UrlError, parse, redirected
from odtl.origins import shown_url

T = TypeVar("T")
_REDIRECTS = {301, 302, 303, 307, 308}
# To look at what came and to write it takes longer than to receive it, and most of it runs beside Python; with more of
# them than cores they wait for one another.
_STORING_THREADS = min(4, max(2, os.cpu_count() or 1))
# The longest time without a look at what the storing threads have done.
_TURN_SECONDS = 0.05


class UnfitError(Exception):
    """What came cannot be used; `passing`: it may come whole another time."""

    def __init__(self, found: str, passing: bool = False) -> None:
        super().__init__(found)
        self.passing = passing


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a URL.

    url, final_url: as asked for, and where the bytes came from in the end; the latter without name and password.
    kept:           what the caller's `keep` returned for them, or None.
    error:          why there is nothing, or "".
    """

    url: str
    final_url: str
    kept: T | None
    error: str = ""


@dataclass(frozen=True)
class _Task:
    url: str
    start: Target
    target: Target
    attempt: int = 1
    redirects: int = 0
    # Why the attempt before failed.
    error: str = ""


class Client(Generic[T]):
    """Fetches URLs.

    keep:   is given a URL and the bytes that came for it, by one of several threads, and returns what is to be told of
            it; UnfitError where it cannot be used.
    report: takes one line on what is unusual.
    """

    def __init__(self, policy: Policy, keep: Callable[[str, bytes], T], report: Callable[[str], None]) -> None:
        self._policy, self._keep, self._report = policy, keep, report
        self._hosts: Hosts[_Task] = Hosts(policy)
        self._transfers = Transfers(policy)
        self._storing: dict[Future, tuple[Host, _Task]] = {}
        self._stored: SimpleQueue[Future] = SimpleQueue()

    def fetch(self, urls: Sequence[str]) -> Iterator[Outcome[T]]:
        """Yield the outcome of each URL, as they come in."""
        waiting = 0
        for url in urls:
            try:
                target = parse(url)
            except UrlError as error:
                yield Outcome(url, shown_url(url), None, str(error))
                continue
            self._hosts.add(target.host, _Task(url, target, target))
            waiting += 1
        with ThreadPoolExecutor(_STORING_THREADS) as pool:
            try:
                while waiting:
                    for outcome in self._turn(pool):
                        waiting -= 1
                        yield outcome
            finally:
                pool.shutdown(cancel_futures=True)
                self._transfers.close()

    def _turn(self, pool: ThreadPoolExecutor) -> Iterator[Outcome[T]]:
        now = time.monotonic()
        # What waits to be stored is in memory, too.
        while len(self._transfers) + len(self._storing) < 2 * self._policy.parallel:
            if len(self._transfers) >= self._policy.parallel or not (taken := self._hosts.take(now)):
                break
            yield from self._begin(*taken)
        for (host, task), answer in self._transfers.finished(self._patience(now)):
            self._hosts.give_back(host)
            if answer.status == 200 and not answer.error:
                self._hosts.answered(host)
                future = pool.submit(self._keep, task.url, answer.body)
                self._storing[future] = (host, task)
                future.add_done_callback(self._stored.put)
            else:
                yield from self._not_here(host, task, answer)
        if self._storing:
            yield from self._take_in(0 if len(self._transfers) else _TURN_SECONDS)
        elif not len(self._transfers):
            # All that is left waits for a time.
            self._sleep(now)

    def _take_in(self, patience: float) -> Iterator[Outcome[T]]:
        """Yield the outcomes of what the storing threads have done; wait for the first at most so many seconds."""
        try:
            future = self._stored.get(timeout=patience) if patience else self._stored.get_nowait()
            while True:
                yield from self._outcome(future, *self._storing.pop(future))
                future = self._stored.get_nowait()
        except Empty:
            return

    def _begin(self, host: Host, task: _Task) -> Iterator[Outcome[T]]:
        reason = refused_before(task.target.name, self._policy)
        if not reason and self._hosts.given_up(host):
            silence = f"{host[1]} did not answer {self._policy.attempts} times in a row, and is not asked any more"
            reason = f"{task.error}; {silence}" if task.error else silence
        if reason:
            self._hosts.give_back(host)
            yield self._failed(task, reason)
        else:
            self._transfers.start((host, task), task.target)

    def _patience(self, now: float) -> float:
        if self._storing:
            return _TURN_SECONDS if len(self._transfers) >= self._policy.parallel else 0.005
        following = self._hosts.next_time()
        return 1.0 if following is None else min(1.0, max(0.0, following - now))

    def _sleep(self, now: float) -> None:
        following = self._hosts.next_time()
        if following is not None and following > now:
            time.sleep(min(1.0, following - now))

    def _outcome(self, future: Future, host: Host, task: _Task) -> Iterator[Outcome[T]]:
        try:
            yield Outcome(task.url, shown_url(task.target.url), future.result())
        except UnfitError as error:
            if error.passing and task.attempt < self._policy.attempts:
                self._again(task, str(error))
            else:
                yield self._failed(task, str(error))

    def _not_here(self, host: Host, task: _Task, answer: Answer) -> Iterator[Outcome[T]]:
        """Follow a redirect, wait for another attempt, or give up."""
        now = time.monotonic()
        if answer.status:
            self._hosts.answered(host)
        elif answer.passing:
            self._hosts.silent(host, answer.began, now)
        if answer.status in _REDIRECTS and not answer.error:
            yield from self._follow(task, answer)
            return
        passing = answer.passing if answer.error else answer.status in RETRIED_STATUS or answer.status >= 500
        words = answer.error or f"HTTP status {answer.status}"
        if answer.status in (429, 503) and (answer.status == 429 or answer.retry_after):
            self._slow_down(host, answer, now)
        if not passing:
            yield self._failed(task, words)
        elif task.attempt < self._policy.attempts:
            self._again(task, words, answer.retry_after)
        else:
            yield self._failed(task, f"{words} ({task.attempt} attempts)")

    def _follow(self, task: _Task, answer: Answer) -> Iterator[Outcome[T]]:
        if not answer.location:
            yield self._failed(task, f"HTTP status {answer.status} without saying where the file is")
            return
        if task.redirects >= self._policy.max_redirects:
            yield self._failed(task, f"more than {self._policy.max_redirects} redirects")
            return
        try:
            target = redirected(task.target, answer.location)
        except UrlError as error:
            yield self._failed(task, f"a redirect to {shown_url(answer.location)[:200]}: {error}")
            return
        self._hosts.add(target.host, replace(task, target=target, redirects=task.redirects + 1), first=True)

    def _slow_down(self, host: Host, answer: Answer, now: float) -> None:
        pause = min(self._policy.max_wait, max(self._policy.first_wait, answer.retry_after))
        self._report(f"{host[1]} asks for patience (HTTP status {answer.status}): left alone for {pause:g} s")
        self._hosts.asked_to_wait(host, pause, now)

    def _again(self, task: _Task, words: str, asked: float = 0.0) -> None:
        """Try once more from the start, after twice the wait each time, or after as long as the server asks for."""
        pause = min(self._policy.max_wait, max(asked, self._policy.first_wait * 2 ** (task.attempt - 1)))
        again = _Task(task.url, task.start, task.start, task.attempt + 1, error=words)
        self._hosts.add(task.start.host, again, at=time.monotonic() + pause)

    def _failed(self, task: _Task, words: str) -> Outcome[T]:
        return Outcome(task.url, shown_url(task.target.url), None, words)
