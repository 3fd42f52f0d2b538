"""Errors that a person can act on: which file, which field, what was found, what to do."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MOST_ALIKE = 5
# What Python shows of an object that has no text of its own: another one in each run.
_ADDRESS = re.compile(r"\s*<[^<>]* at 0x[0-9a-fA-F]+>")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    file:  the file (or URL, or "config") it was found in.
    field: the field, key, element or row, as the user would look for it.
    found: what stands there.
    cure:  what is expected and what to do, a full sentence.
    """

    file: str
    field: str
    found: str
    cure: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: found {self.found}. {self.cure}"


class InputError(Exception):
    """One or many problems with what the user gave; all of them are told at once."""

    def __init__(self, problems: Problem | Iterable[Problem], headline: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.headline = headline or f"{len(self.problems)} problem(s) in the input"
        super().__init__("\n".join([f"{self.headline}:", *_lines(self.problems)]))


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the candidate nearest to `name`, or "" where none is near."""
    originals = {str(candidate).lower(): str(candidate) for candidate in candidates}
    close = difflib.get_close_matches(str(name).lower(), originals, n=1, cutoff=0.6)
    return f" Did you mean `{originals[close[0]]}`?" if close else ""


def said_by(error: BaseException) -> str:
    """Return what kind an exception of a library is and what it says (see `text_of`)."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Return what an exception says, on one line, the same in each run.

    Pillow names the object that it has read from ("cannot identify image file <_io.BytesIO object at 0x7f...>"): where
    that is in the memory says nothing, and makes two results of one input differ.
    """
    return " ".join(_ADDRESS.sub("", str(error)).split())


def _lines(problems: Iterable[Problem]) -> Iterator[str]:
    """Yield a line for each problem; of many that differ in their file alone, for the first few."""
    counts = Counter((problem.field, problem.found, problem.cure) for problem in problems)
    told: Counter[tuple[str, str, str]] = Counter()
    for problem in problems:
        same = problem.field, problem.found, problem.cure
        told[same] += 1
        if told[same] <= _MOST_ALIKE or counts[same] == _MOST_ALIKE + 1:
            yield f"  - {problem}"
        elif told[same] == counts[same]:
            yield f"  - the same of {counts[same] - _MOST_ALIKE} more files, such as {problem.file}"
