"""Lists of images by split, as VOC's ImageSets/Main/*.txt and YOLO's train.txt have them: one name or path a line."""

import functools
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from odtl.errors import Problem
from odtl.file_cache import key_of
from odtl.inventory.folders import File
from odtl.inventory.paths import basename, slashes, stem_of
from odtl.split import SPLITS

_MOST_TOLD = 20
_MOST_NAMED = 5
# Further columns, on every line of a list or on none: VOC's lists for one class have 1 for images that show it, -1 for
# others and 0 for doubtful ones, other lists the number of the class.
_COLUMN = re.compile(r"-?\d+")
_MOST_COLUMNS = 8


@dataclass(frozen=True)
class SplitLists:
    """Which images are in which split, by the last part of their path without extension.

    entries: that last part -> (path without extension as listed, split) of each line that ends in it.
    listed:  path of each list -> what each of its lines may name.
    """

    entries: Mapping[str, Sequence[tuple[str, str]]]
    listed: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, files: Sequence[tuple[str, File]], field: str, problems: list[Problem]) -> "SplitLists":
        """Read the lists; what is wrong with them is added to `problems`."""
        # Each entry once, in order.
        entries: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        owners: dict[str, str] = {}
        listed: dict[str, list[Sequence[str]]] = {}
        told = 0
        for split, (_, path, _) in files:
            try:
                with open(path, encoding="utf-8-sig") as stream:
                    lines = [line for line in map(str.strip, stream) if line]
            except (OSError, ValueError) as error:
                problems.append(Problem(path, field, str(error), "A UTF-8 text with one image per line is needed."))
                continue
            listed[path] = []
            with_columns = all(_without_column(line) != line for line in lines)
            for line in lines:
                # A name may end in a number, too.
                *longer, stem = _names(line) if with_columns else [stem_of(slashes(line))]
                listed[path].append((*longer, stem))
                if owners.setdefault(stem, split) == split:
                    for each in (*longer, stem):
                        entries[basename(each)][each, split] = None
                elif (told := told + 1) <= _MOST_TOLD:
                    found = f"{line}, which is in the list of {owners[stem]}, too"
                    cure = "An image is in one split only: remove one of the two."
                    problems.append(Problem(path, split, found, cure))
        return cls({stem: list(found) for stem, found in entries.items()}, listed)

    @functools.cached_property
    def digest(self) -> str:
        """What differs as soon as a list says anything else (SHA-256, hex)."""
        return hashlib.sha256(json.dumps(self.entries, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def splits(self) -> set[str]:
        """The splits that have an image."""
        return {split for found in self.entries.values() for _, split in found}

    def describe_missing(self, images: Iterable[str]) -> Iterator[str]:
        """Yield a sentence for each list that names images that are not there, given the paths of those that are."""
        stems: dict[str, list[str]] = defaultdict(list)
        for image in images:
            stem = stem_of(image)
            stems[basename(stem)].append(stem)
        for path, lines in self.listed.items():
            # The last name is the one without columns.
            missing = [
                names[-1]
                for names in dict.fromkeys(lines)
                if not any(_is_end(name, stem) for name in names for stem in stems.get(basename(name), ()))
            ]
            if missing:
                told = ", ".join(missing[:_MOST_NAMED]) + (", ..." if len(missing) > _MOST_NAMED else "")
                yield f"{path} lists {len(missing)} image(s) that are not there: {told}"

    def split_of(self, relative: str) -> str | None:
        """Return the split of an image by its path in its source; None if no list, or no single one, has it.

        The longest listed path that is an end of the image's, or of which the image's is an end, decides.
        """
        stem = stem_of(relative)
        found = [
            (min(len(listed), len(stem)), split)
            for listed, split in self.entries.get(basename(stem), ())
            if _is_end(listed, stem)
        ]
        longest = max(found, default=(0, ""))[0]
        best = {split for length, split in found if length == longest}
        return best.pop() if len(best) == 1 else None


def _is_end(one: str, other: str) -> bool:
    """Say whether one of two paths is the other, or its last parts."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _names(line: str) -> list[str]:
    """Return what a line may name, the longest first: the whole of it, and without one column after the other."""
    names = [line]
    while len(names) <= _MOST_COLUMNS and (shorter := _without_column(names[-1])) != names[-1]:
        names.append(shorter)
    return [stem_of(slashes(name)) for name in names]


def _without_column(line: str) -> str:
    """Return a line without its last column, if that is a number and not all there is."""
    parts = line.rsplit(maxsplit=1)
    return parts[0] if len(parts) == 2 and _COLUMN.fullmatch(parts[1]) else line


def list_files(configured: str | Mapping[str, str], field: str, problems: list[Problem]) -> list[tuple[str, File]]:
    """Return (split, file) of the lists that the configuration names: one for each split, or the folder of them.

    In a folder, {train,val,test}.txt count; trainval.txt does where there is no train.txt, as in some VOC releases.
    """
    if isinstance(configured, Mapping):
        paths = [(split, os.path.normpath(configured[split])) for split in SPLITS if configured.get(split)]
    else:
        folder = os.path.normpath(configured)
        paths = [(split, f"{folder}/{split}.txt") for split in SPLITS if os.path.isfile(f"{folder}/{split}.txt")]
        if "train" not in dict(paths) and os.path.isfile(f"{folder}/trainval.txt"):
            paths.insert(0, ("train", f"{folder}/trainval.txt"))
        if not paths:
            cure = "A folder that holds train.txt, val.txt or test.txt is needed, or a path for each split."
            problems.append(Problem("config", field, f"no list in {folder}", cure))
    files = [(split, (basename(path), path, key_of(path))) for split, path in paths]
    for _, (_, path, key) in files:
        if key is None:
            problems.append(Problem("config", field, f"{path}, which is no file", "Correct the path."))
    return [(split, file) for split, file in files if file[2] is not None]
