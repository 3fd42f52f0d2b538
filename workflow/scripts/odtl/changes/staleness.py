"""Why a job runs, in words: what Snakemake found, translated."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from odtl.changes.settings import ABSENT, SettingChange, differ, value_text
from odtl.split import parse_shard_name

# What `script_digest` and `manifest.digest` return, as parameters of a rule.
_CODE_DIGEST, _MANIFEST_DIGEST = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{64}")
_INVENTORY = "results/inventory/"
FOLLOWS = "follows"
# Parameters that are no settings, by their key.
_FACTS = {
    "label_map": "the classes in the data changed",
    "class_ids": "the ids of its classes changed",
    "images_to_detect": "the images to detect on changed",
    "trainings": "the experiments or their seeds changed",
    "differing": "the settings in which the experiments differ changed",
}
# A value that says nothing to a person is not told.
_LONGEST = 60


@dataclass(frozen=True)
class StaleJob:
    """One job that is to run, and what Snakemake found.

    rule, name:     the rule, and what tells the job from others of it: a shard, split or experiment; "" for none.
    experiment:     the experiment, if it is about one.
    missing:        outputs that are not there; made_before: whether they were once.
    updated:        inputs that are newer than the outputs and have another content.
    follows:        rules that run and remake its inputs, in the order of the flow.
    before, after:  parameters that only the outputs, or only the job, have, as Python writes them.
    unfinished:     whether an interrupted run left its outputs.
    forced, script_changed, inputs_changed, software_changed: as Snakemake says.
    """

    rule: str
    name: str = ""
    experiment: str = ""
    missing: tuple[str, ...] = ()
    made_before: bool = False
    updated: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    before: frozenset[str] = field(default_factory=frozenset)
    after: frozenset[str] = field(default_factory=frozenset)
    unfinished: bool = False
    forced: bool = False
    script_changed: bool = False
    inputs_changed: bool = False
    software_changed: bool = False


@dataclass(frozen=True, order=True)
class Reason:
    """Why a job runs: `why` is the same for all that run for it, `what` is what it was for this one ("": no more)."""

    why: str
    what: str = ""


def reasons_of(job: StaleJob, settings: Sequence[SettingChange] = ()) -> list[Reason]:
    """Return why a job runs, each reason once, the ones that explain most first.

    settings: those that changed, so that a parameter can be called by its key in the configuration.
    """
    return list(dict.fromkeys(_reasons(job, settings)))


def _reasons(job: StaleJob, settings: Sequence[SettingChange]) -> Iterator[Reason]:
    if job.forced:
        yield Reason("forced by the command line")
    if job.unfinished:
        yield Reason("left unfinished by an interrupted run")
    if job.missing and not job.made_before:
        yield Reason("not made yet")
    elif job.missing:
        yield from (Reason("output missing", file) for file in sorted(job.missing))
    yield from map(_updated, sorted(job.updated))
    yield from _parameters(job, settings)
    if job.script_changed:
        yield Reason("its script is newer than what it made")
    if job.software_changed:
        yield Reason("its software environment changed")
    # Where something is made for the first time, what comes before it goes without saying.
    if job.follows and not (job.missing and not job.made_before):
        yield from (Reason(FOLLOWS, rule) for rule in job.follows)
    elif job.inputs_changed and not job.missing:
        yield Reason("it has other input files than before")


def _updated(file: str) -> Reason:
    if file.startswith(_INVENTORY):
        stem = PurePath(file).stem
        try:
            parse_shard_name(stem)
        except ValueError:
            return Reason({"classes": "the classes in the data changed"}.get(stem, "the images to detect on changed"))
        return Reason("images or labels changed", stem)
    return Reason("input changed", file)


def _parameters(job: StaleJob, settings: Sequence[SettingChange]) -> Iterator[Reason]:
    before, after = _values(job.before), _values(job.after)
    for pattern, why, what in (
        (_CODE_DIGEST, "the library's code for it changed", ""),
        (_MANIFEST_DIGEST, "images or labels changed", job.name),
    ):
        old, new = [_take(values, lambda value, pattern=pattern: _is(value, pattern)) for values in (before, after)]
        if old or new:
            yield Reason(why, what)
    mappings = [_take(values, lambda value: isinstance(value, Mapping)) for values in (before, after)]
    for old in mappings[0]:
        # The one with most keys in common is the same parameter, as it is now.
        new = max(mappings[1], key=lambda other, old=old: len(old.keys() & other.keys()), default=None)
        if new is not None:
            mappings[1].remove(new)
            yield from (_setting(path, one, other, job, settings) for path, one, other in differ(old, new))
    if mappings[1]:
        yield Reason("the rule itself changed")
    if before or after:
        old, new = [values[0] if len(values) == 1 else ABSENT for values in (before, after)]
        yield _setting((), old, new, job, settings)


def _setting(
    path: tuple[str, ...], before: object, after: object, job: StaleJob, settings: Sequence[SettingChange]
) -> Reason:
    if path and path[0] in _FACTS:
        return Reason(_FACTS[path[0]])
    key = ".".join(path)
    same = [s for s in settings if value_text(s.after) == value_text(after)]
    if key:
        same = [s for s in same if s.key.endswith(f".{key}")]
    else:
        same = [s for s in same if value_text(s.before) == value_text(before)]
    # `batch_size` may be that of `training`, or another experiment's own.
    mine = [s for s in same if s.experiments is None or not job.experiment or job.experiment in s.experiments]
    if mine:
        key = mine[0].key
    values = [value_text(value) for value in (before, after)]
    if ABSENT in (before, after) or max(map(len, values)) > _LONGEST:
        return Reason("changed", key or "a setting")
    return Reason("", f"{key or 'a setting'} {values[0]} -> {values[1]}")


def _values(texts: frozenset[str]) -> list:
    values = []
    for text in sorted(texts):
        try:
            values.append(ast.literal_eval(text))
        # What Python cannot read back (nan, a range) is compared as the text it is.
        except (ValueError, SyntaxError):
            values.append(text)
    return values


def _take(values: list, wanted) -> list:
    found = [value for value in values if wanted(value)]
    values[:] = [value for value in values if not wanted(value)]
    return found


def _is(value: object, pattern: re.Pattern) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
