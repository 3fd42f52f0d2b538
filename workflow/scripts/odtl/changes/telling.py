"""What changed and what runs because of it: as text for the terminal, and as a table with every single change."""

import os
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from odtl.changes.images import KINDS, ImageChange, compare_manifests
from odtl.changes.last_run import LastRun
from odtl.changes.settings import ABSENT, SettingChange, compare_settings, value_text
from odtl.changes.staleness import FOLLOWS, Reason, StaleJob, reasons_of
from odtl.files import write_csv
from odtl.split import SPLITS, parse_shard_name

COLUMNS = ("change", "name", "split", "what", "before", "after")
_NO_IMAGE = re.compile(rb'"image":\s*null')
_CLASS_CHANGES, _SUBJECTS, _BOXES, _NAMES = 5, 3, 6, 4


@dataclass(frozen=True)
class Changes:
    """What changed since the last finished run; `last` is None where there was none.

    counts: split -> number of images, where there was none to compare with.
    """

    last: LastRun | None
    images: tuple[ImageChange, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    classes_added: tuple[str, ...] = ()
    classes_gone: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None

    def __bool__(self) -> bool:
        return bool(self.images or self.settings or self.classes_added or self.classes_gone)


def find_changes(
    last: LastRun | None,
    settings: Mapping,
    classes: Sequence[str],
    manifests: Mapping[str, tuple[str | os.PathLike, str]],
) -> Changes:
    """Compare what there is with the last finished run.

    settings: the whole configuration; classes: those in the data; manifests: shard -> (its manifest, its SHA-256).

    Only manifests whose digest differs are read. A record that is damaged counts as none.
    """
    if last is not None:
        kept = {shard: digest for shard, (_, digest) in manifests.items()}
        try:
            before = {shard: last.manifest(shard) for shard, old in last.digests.items() if kept.get(shard) != old}
        except (OSError, ValueError):
            last = None
        else:
            after = {shard: path for shard, (path, new) in manifests.items() if last.digests.get(shard) != new}
            added = tuple(name for name in classes if name not in last.classes)
            gone = tuple(name for name in last.classes if name not in classes)
            images = compare_manifests(before, after)
            return Changes(last, images, compare_settings(last.settings, settings), added, gone)
    return Changes(None, counts=_count({shard: path for shard, (path, _) in manifests.items()}))


def tell(
    changes: Changes,
    stale: Sequence[StaleJob] = (),
    jobs: Mapping[str, int] | None = None,
    most: int | None = 20,
    more: str = "",
) -> str:
    """Return what changed and what runs because of it, as text.

    stale: the jobs that are to run, in the order of the flow; jobs: rule -> number of all its jobs, fresh ones too.
    most:  lines for each kind of change; None: all. more: where the rest can be read.
    """
    parts = [_first(changes, stale, jobs or {})] if changes.last is None else _changes(changes, most, more)
    everything = changes.last is None and sum((jobs or {}).values()) == len(stale)
    if not everything or any(job.made_before for job in stale):
        parts += ["", *_stale(changes, stale, jobs or {})]
    else:
        parts += [f"All jobs are to run: {len(stale):,}."]
    return "\n".join(parts) + "\n"


def write_changes(changes: Changes, path: str | os.PathLike) -> None:
    """Write every single change as a row of a CSV of `COLUMNS`; `change` is a key of `KINDS`, setting or class."""
    write_csv(path, COLUMNS, _rows(changes))


def _first(changes: Changes, stale: Sequence[StaleJob], jobs: Mapping[str, int]) -> str:
    counts = changes.counts or {}
    splits = ", ".join(f"{counts.get(split, 0):,} {split}" for split in SPLITS)
    fresh = sum(jobs.values()) > len(stale)
    first = "There is no record of a finished run to compare with" if fresh else "First run"
    return f"{first}: {_number(sum(counts.values()), 'image')} ({splits})."


def _changes(changes: Changes, most: int | None, more: str) -> list[str]:
    when = changes.last.finished.astimezone().strftime("%Y-%m-%d %H:%M")
    if not changes:
        return [f"No image, label or setting has changed since the last finished run ({when})."]
    return [f"Changed since the last finished run ({when}):", *_summary(changes), *_details(changes, most, more)]


def _summary(changes: Changes) -> Iterator[str]:
    kinds = Counter(change.kind for change in {(c.kind, c.image): c for c in changes.images}.values())
    if kinds:
        listed = ", ".join(f"{kinds[kind]:,} {words}" for kind, words in KINDS.items() if kinds[kind])
        yield from _wrap("  images:   ", listed)
    if boxes := _box_counts(changes.images):
        yield from _wrap("  boxes:    ", ", ".join(boxes))
    if changes.classes_added or changes.classes_gone:
        added = [f"{name} is new" for name in changes.classes_added]
        gone = [f"{name} is in no image any more" for name in changes.classes_gone]
        yield from _wrap("  classes:  ", ", ".join([*added, *gone]))
    if changes.settings:
        yield f"  settings: {len(changes.settings)} changed"


def _box_counts(images: Iterable[ImageChange]) -> list[str]:
    boxes = [box for change in images for box in change.boxes]
    moved, added = sum(box.moved for box in boxes), sum(box.before is None for box in boxes)
    removed = sum(box.after is None for box in boxes)
    parts = [f"{n:,} {word}" for n, word in ((moved, "moved"), (added, "added"), (removed, "removed")) if n]
    renamed = Counter((box.before.name, box.after.name) for box in boxes if box.renamed)
    if renamed:
        listed = [f"{n:,} {one} -> {other}" for (one, other), n in renamed.most_common(_CLASS_CHANGES)]
        listed += ["..."] if len(renamed) > _CLASS_CHANGES else []
        parts.append(f"{sum(renamed.values()):,} with another class ({', '.join(listed)})")
    marked = sum(not (box.moved or box.renamed) and None not in (box.before, box.after) for box in boxes)
    return [*parts, *([f"{marked:,} with another label text or flag"] if marked else [])]


def _details(changes: Changes, most: int | None, more: str) -> Iterator[str]:
    by_kind = defaultdict(list)
    for change in changes.images:
        by_kind[change.kind].append(change)
    for kind, found in by_kind.items():
        words = _heading(kind)
        yield from ["", f"{words[0].upper()}{words[1:]}:"]
        yield from _bounded(map(_image_lines, found), len(found), most, more)
    if changes.settings:
        yield from ["", "Settings:"]
        yield from _bounded(([f"  {change}"] for change in changes.settings), len(changes.settings), most, more)


def _heading(kind: str) -> str:
    words = KINDS[kind]
    return f"images {words}" if words.startswith(("with", "in ", "at ")) else words


def _bounded(blocks: Iterable[Sequence[str]], count: int, most: int | None, more: str) -> Iterator[str]:
    lines = 0
    for index, block in enumerate(blocks):
        shown = block if most is None or len(block) <= _BOXES else block[: _BOXES - 1]
        if most is not None and index and lines + len(shown) > most:
            yield f"  and {count - index:,} more{f' ({more})' if more else ''}"
            return
        yield from shown
        if len(shown) < len(block):
            yield f"      and {len(block) - len(shown):,} more of this image"
        lines += len(shown)


def _image_lines(change: ImageChange) -> list[str]:
    name, before, after = f"  {change.image}", change.before, change.after
    match change.kind:
        case "relabelled":
            return [f"{name} ({change.split})", *(f"      {box}" for box in change.boxes)]
        case "renamed":
            return [f"  {before} -> {after}"]
        case "added" | "labelled" | "mended" | "removed" | "unlabelled":
            return [f"{name} ({change.split}, {before or after})"]
        case "broken" | "problem" | "cured":
            return [f"{name}: {before if change.kind == 'cured' else after}"]
        case _ if before or after:
            return [f"{name}: {before} -> {after}"]
        case _:
            return [f"{name} ({change.split})"]


def _stale(changes: Changes, stale: Sequence[StaleJob], jobs: Mapping[str, int]) -> Iterator[str]:
    if not stale:
        yield "Nothing is stale: no job is to run."
        return
    yield f"To run: {_number(len(stale), 'job')} of {sum(jobs.values()):,}."
    groups: dict[tuple, list[tuple[StaleJob, list[Reason]]]] = defaultdict(list)
    for job in stale:
        reasons = reasons_of(job, changes.settings)
        # Experiments are told apart where their reasons differ; of shards there may be hundreds.
        groups[job.rule, tuple(reasons) if job.experiment else ()].append((job, reasons))
    heads = {key: _head([job for job, _ in found], jobs.get(key[0], 1)) for key, found in groups.items()}
    width = max(map(len, heads.values()))
    for key, found in groups.items():
        reasons = _join(reason for _, reasons in found for reason in reasons)
        yield from _wrap(f"  {heads[key]:{width}}  ", reasons)


def _head(found: Sequence[StaleJob], total: int) -> str:
    names = [job.experiment for job in found if job.experiment]
    if names:
        return f"{found[0].rule} ({', '.join([*names[:_NAMES], *(['...'] if len(names) > _NAMES else [])])})"
    return f"{found[0].rule} ({len(found)}{f' of {total}' if total > 1 else ''})"


def _join(reasons: Iterable[Reason]) -> str:
    by_why: dict[str, list[str]] = defaultdict(list)
    for reason in dict.fromkeys(reasons):
        by_why[reason.why].append(reason.what)
    follows = by_why.pop(FOLLOWS, [])
    parts = []
    for why, subjects in by_why.items():
        whats = sorted(filter(None, subjects))
        listed = ", ".join(whats[:_SUBJECTS])
        listed += f" and {len(whats) - _SUBJECTS:,} more" if len(whats) > _SUBJECTS else ""
        parts.append(": ".join(filter(None, [why, listed])))
    parts += [f"{FOLLOWS} {', '.join(follows)}"] if follows else []
    return "; ".join(parts) or "Snakemake gives no reason"


def _wrap(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, 110, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _count(manifests: Mapping[str, str | os.PathLike]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for shard, path in manifests.items():
        content = Path(path).read_bytes()
        # A quote inside a text is escaped: this is the key itself. Parsing 100,000 lines takes seconds.
        missing = len(_NO_IMAGE.findall(content)) - content.count(b'"origin": {')
        counts[parse_shard_name(shard)[0]] += content.count(b"\n") - missing
    return dict(counts)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _rows(changes: Changes) -> Iterator[dict[str, str]]:
    for change in changes.images:
        row = {"change": change.kind, "name": change.image, "split": change.split}
        if not change.boxes:
            yield {**row, "before": change.before, "after": change.after}
        for box in change.boxes:
            places = {
                side: f"{value.name} {value.place}" if value else ""
                for side, value in (("before", box.before), ("after", box.after))
            }
            yield {**row, "what": str(box), **places}
    for setting in changes.settings:
        yield {"change": "setting", "name": setting.key, "what": str(setting)} | {
            side: "" if value == ABSENT else value_text(value)
            for side, value in (("before", setting.before), ("after", setting.after))
        }
    for name in changes.classes_added:
        yield {"change": "class", "name": name, "what": "new"}
    for name in changes.classes_gone:
        yield {"change": "class", "name": name, "what": "in no image any more"}
