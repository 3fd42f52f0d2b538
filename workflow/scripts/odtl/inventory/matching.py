"""Which annotation belongs to which image, and which to none."""

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from odtl.inventory.claims import Claim, line_problem
from odtl.inventory.paths import basename, composed, folder_of, folder_split, nearness_of, stem_of


@dataclass(frozen=True)
class Match:
    """What each image got: its claim if there is one, its problems; and the claims that are left over."""

    claims: Mapping[str, Claim]
    problems: Mapping[str, list[dict[str, str]]]
    orphans: list[tuple[Claim, str]]


def match(
    images: Sequence[str],
    claims: Sequence[Claim],
    by_path: Callable[[Claim], list[str]],
    settled: Mapping[str, str] = MappingProxyType({}),
) -> Match:
    """Give each image its annotation.

    by_path: the images that the claim's own place says it belongs to; without one, the base names decide.
    settled: image -> the file of an annotation that it has already, by a stronger claim than any of these.
    """
    names = _BaseNames(images)
    wanted: dict[str, list[tuple[tuple, Claim, bool]]] = defaultdict(list)
    for claim in claims:
        rank, found = _candidates(claim, by_path(claim), names)
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
        used.update(claim for claim, _ in entries if _same_meaning(claim, winner))
        if best[0] == 3 or (winner.only_named and composed(basename(winner.named)) != composed(basename(image))):
            done = f"matched with {image}, which it names"
            problems[image].append(line_problem("matched_by_filename", winner.path, "filename", winner.named, done))
    wants = {claim: image for image, entries in wanted.items() for _, claim, _ in entries}
    owners = {**settled, **{image: claim.path for image, claim in taken.items()}}
    orphans = [(claim, _why_orphan(claim, wants.get(claim), owners)) for claim in claims if claim not in used]
    return Match(taken, problems, orphans)


def _ambiguous(image: str, claimants: Sequence[str]) -> list[dict[str, str]]:
    found = f"more than one image or annotation for {image}: {', '.join(claimants)}"
    done = "left out; give image and annotation the same name, or say which it is in <filename>"
    return [line_problem("annotation_ambiguous", path, "file name", found, done) for path in claimants]


class _BaseNames:
    """Images by base name, with and without extension; composed and decomposed accents count as the same."""

    def __init__(self, images: Sequence[str]) -> None:
        self._images = images
        self.folders = frozenset(map(folder_of, images))

    @functools.cached_property
    def full(self) -> dict[str, list[str]]:
        return self._index(lambda name: name)

    @functools.cached_property
    def stems(self) -> dict[str, list[str]]:
        return self._index(stem_of)

    def _index(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        index = defaultdict(list)
        for image in self._images:
            index[composed(key(basename(image)))].append(image)
        return dict(index)


def _candidates(claim: Claim, own: list[str], names: _BaseNames) -> tuple[tuple, list[str]]:
    """Return a rank (lower is a stronger claim) and the images of that rank; several mean that it is not clear."""
    if own:
        return (1, 0), _prefer_named(claim, own)
    # Where the annotation's own folder holds images, its image is one of them: frames of two videos share their names.
    home = folder_of(claim.stem)
    home = home if home in names.folders else ""
    by_place = (2, names.stems, stem_of(claim.stem))
    by_name = (3, names.full, claim.named), (3, names.stems, stem_of(claim.named))
    for rank, index, target in (by_place, *by_name):
        found = index.get(composed(basename(target)), []) if target else []
        found = [image for image in found if claim.place is None or folder_split(image) in (None, claim.place)]
        found = [image for image in found if home in ("", folder_of(image))]
        if found:
            nearness = {image: nearness_of(stem_of(image), stem_of(target) if rank == 3 else target) for image in found}
            nearest = max(nearness.values())
            found = _prefer_split(claim, [image for image in found if nearness[image] == nearest])
            return (rank, -nearest), _prefer_named(claim, found)
    return (4, 0), []


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
    return claims[0] if all(_same_meaning(claims[0], other) for other in claims) else None


def _same_meaning(one: Claim, other: Claim) -> bool:
    if one is other:
        return True
    if one.packed is None or other.packed is None or one.split != other.split:
        return False
    # As text: NaN equals NaN there.
    return json.dumps(one.packed[1:]) == json.dumps(other.packed[1:])


def _why_orphan(claim: Claim, wanted: str | None, owners: Mapping[str, str]) -> str:
    if wanted in owners:
        return f"no image of its own; {wanted} is annotated by {owners[wanted]}"
    return f"no image for it (names {claim.named!r})" if claim.named else "no image for it"
