"""Which annotation belongs to which image, and which to none."""

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from odtl.inventory.claims import Claim, line_problem
from odtl.inventory.paths import basename, composed, folder_of, folder_split, nearness_of, stem_of
from odtl.inventory.reading import EXTRA

# How strong a claim is, the strongest first.
_SAME_PATH, _SAME_NAME, _BY_NAME, _BUT_FOR_CASE, _NONE = range(1, 6)


@dataclass(frozen=True)
class Match:
    """What each image got: its claim if there is one, its problems; and the claims that are left over."""

    claims: Mapping[str, Claim]
    problems: Mapping[str, list[dict[str, str]]]
    orphans: list[tuple[Claim, str]]


def match(
    images: Sequence[str],
    claims: Sequence[Claim],
    by_path: Callable[[Claim], tuple[int, list[str]]],
    settled: Mapping[str, str] = MappingProxyType({}),
) -> Match:
    """Give each image its annotation.

    by_path: the images that the claim's own place says it belongs to, and how near that is (0 goes before 1); without
             one, the base names decide.
    settled: image -> the file of an annotation that it has already, by a stronger claim than any of these.
    """
    names = _BaseNames(images)
    wanted: dict[str, list[tuple[tuple, Claim, bool]]] = defaultdict(list)
    for claim in claims:
        rank, found = _candidates(claim, *by_path(claim), names)
        for image in found:
            wanted[image].append((rank, claim, len(found) > 1))
    taken: dict[str, Claim] = {}
    problems: dict[str, list[dict[str, str]]] = defaultdict(list)
    used: set[Claim] = set()
    for image, entries in wanted.items():
        if image in settled:
            continue
        best = min(rank for rank, *_ in entries)
        entries = [(claim, unsure) for rank, claim, unsure in entries if rank == best]
        winner = _winner(image, entries)
        if winner is None:
            problems[image] += _ambiguous(image, sorted({claim.path for claim, _ in entries}))
            used.update(claim for claim, _ in entries)
            continue
        taken[image] = winner
        used.add(winner)
        used.update(claim for claim, _ in entries if same_meaning(claim, winner))
        if best[0] >= _BY_NAME or (winner.only_named and composed(basename(winner.named)) != composed(basename(image))):
            why = "the names differ in case only" if best[0] == _BUT_FOR_CASE else "which it names"
            found, done = winner.named or basename(winner.stem), f"matched with {image}: {why}"
            problems[image].append(line_problem("matched_by_filename", winner.path, "filename", found, done))
    wants = {claim: image for image, entries in wanted.items() for _, claim, _ in entries}
    owners = {**settled, **{image: claim.path for image, claim in taken.items()}}
    orphans = [(claim, _why_orphan(claim, wants.get(claim), owners)) for claim in claims if claim not in used]
    return Match(taken, problems, orphans)


def _ambiguous(image: str, claimants: Sequence[str]) -> list[dict[str, str]]:
    found = f"more than one image or annotation for {image}: {', '.join(claimants)}"
    done = "left out; give image and annotation the same name, or say which it is in <filename>"
    return [line_problem("annotation_ambiguous", path, "file name", found, done) for path in claimants]


class _BaseNames:
    """Images by base name, with and without extension; composed and decomposed accents count as the same.

    Loosely: case does not count, either. Data sets are moved between file systems that tell case and such that do not.
    """

    def __init__(self, images: Sequence[str]) -> None:
        self._images = images
        self.folders = frozenset(map(folder_of, images))

    @functools.cached_property
    def full(self) -> dict[str, list[str]]:
        return self._index(lambda name: name)

    @functools.cached_property
    def stems(self) -> dict[str, list[str]]:
        return self._index(stem_of)

    @functools.cached_property
    def loosely_full(self) -> dict[str, list[str]]:
        return self._index(str.casefold)

    @functools.cached_property
    def loosely_stems(self) -> dict[str, list[str]]:
        return self._index(lambda name: stem_of(name).casefold())

    def _index(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        index = defaultdict(list)
        for image in self._images:
            index[key(composed(basename(image)))].append(image)
        return dict(index)


def _candidates(claim: Claim, nearness: int, own: list[str], names: _BaseNames) -> tuple[tuple, list[str]]:
    """Return a rank (lower is a stronger claim) and the images of that rank; several mean that it is not clear."""
    if own:
        return (_SAME_PATH, nearness), _prefer_named(claim, own)
    # Where the annotation's own folder holds images, its image is one of them: frames of two videos share their names.
    home = folder_of(claim.stem)
    home = home if home in names.folders else ""
    place, named = stem_of(claim.stem), stem_of(claim.named)
    # The indexes are made when they are asked for: few data sets need all of them.
    for rank, index, target in (
        (_SAME_NAME, "stems", place),
        (_BY_NAME, "full", claim.named),
        (_BY_NAME, "stems", named),
        (_BUT_FOR_CASE, "loosely_stems", place),
        (_BUT_FOR_CASE, "loosely_full", claim.named),
        (_BUT_FOR_CASE, "loosely_stems", named),
    ):
        name = composed(basename(target))
        name = name.casefold() if rank == _BUT_FOR_CASE else name
        found = getattr(names, index).get(name, []) if target else []
        found = [image for image in found if claim.place is None or folder_split(image) in (None, claim.place)]
        found = [image for image in found if home in ("", folder_of(image))]
        if found:
            nearness = {image: nearness_of(stem_of(image), stem_of(target)) for image in found}
            nearest = max(nearness.values())
            found = _prefer_split(claim, [image for image in found if nearness[image] == nearest])
            return (rank, -nearest), _prefer_named(claim, found)
    return (_NONE, 0), []


def _prefer_named(claim: Claim, found: list[str]) -> list[str]:
    named = [image for image in found if composed(basename(image)) == composed(basename(claim.named))]
    return named if len(named) == 1 else found


def _prefer_split(claim: Claim, found: list[str]) -> list[str]:
    same = [image for image in found if claim.split is not None and folder_split(image) == claim.split]
    return same or found


def _winner(image: str, entries: Sequence[tuple[Claim, bool]]) -> Claim | None:
    if any(unsure for _, unsure in entries):
        return None
    claims = [claim for claim, _ in entries]
    if len(claims) > 1:
        naming = [claim for claim in claims if composed(basename(claim.named)) == composed(basename(image))]
        claims = naming if naming else claims
    return claims[0] if all(same_meaning(claims[0], other) for other in claims) else None


def same_meaning(one: Claim, other: Claim) -> bool:
    """Say whether two annotations say the same."""
    if one is other:
        return True
    if one.packed is None or other.packed is None or one.split != other.split:
        return False
    # As text: NaN equals NaN there.
    return json.dumps(_meaning(one)) == json.dumps(_meaning(other))


def _meaning(claim: Claim) -> list:
    # Neither what it calls its image nor where that is to be had.
    extra = {key: value for key, value in claim.extra.items() if key not in ("origin", "called")}
    return [*claim.packed[1:EXTRA], extra]


def _why_orphan(claim: Claim, wanted: str | None, owners: Mapping[str, str]) -> str:
    if wanted in owners:
        return f"no image of its own; {wanted} is annotated by {owners[wanted]}"
    return f"no image for it (names {claim.named!r})" if claim.named else "no image for it"
