"""What of a source names do not settle: its images, on the disk or not, and what each file or table says of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from odtl.inventory.claims import Claim, exact_name, file_claim, line_problem, same_stem, table_claims
from odtl.inventory.listing import Source
from odtl.inventory.matching import Match, match, same_meaning
from odtl.inventory.pairing import Pairing, image_finder
from odtl.origins import shown_url


@dataclass(frozen=True)
class Remote:
    """An image that is to be fetched: from where (the fields of `Origin`), and the split that is stated with it."""

    origin: Mapping[str, str]
    split: str | None = None


@dataclass(frozen=True)
class Found:
    """Which annotation each image has, and what is left.

    remote:   images that are no files yet, by what they are called in the source.
    loose:    (path, problem) of entries that belong to no image.
    split_of: from an image to the split that the configuration, a list or its annotation gives it, or None.
    """

    match: Match
    remote: Mapping[str, Remote]
    loose: Sequence[tuple[str, dict]]
    split_of: Callable[[str], str | None]


def find(source: Source, pairing: Pairing, values: Mapping[str, object]) -> Found:
    """Match what is open in a source; `values` has what its files hold, by path."""
    own_splits = source.split == "from_folders"
    remote, loose = _listed(source, values, own_splits)
    images = [*(relative for relative, *_ in source.images), *remote]
    if source.per_image:
        claims = [file_claim(file, split, values[file[1]], source.names) for split, file in pairing.open_annotations]
        by_path = same_stem(image_finder(source))
    else:
        claims = []
        for split, file in pairing.open_annotations:
            done = pairing.settled_entries.get(file[1], ())
            rows, problems = table_claims(file, split, values[file[1]], own_splits, done)
            claims += rows
            loose += problems
        by_path = exact_name(images)
    settled = {image[0]: annotation[1] for image, _, annotation, _ in pairing.units if annotation}
    found = match(images, claims, by_path, settled)
    if any("origin" in claim.extra for claim, _ in found.orphans):
        found, more = _with_origins(found)
        remote = {**remote, **more}
    stated = {relative: remote[relative].split for relative in remote}

    def split_of(relative: str) -> str | None:
        listed = source.lists.split_of(relative) if source.lists and own_splits else None
        claim = found.claims.get(relative)
        return listed or (claim and claim.split) or stated.get(relative)

    return Found(found, remote, loose, split_of)


def _listed(
    source: Source, values: Mapping[str, object], own_splits: bool
) -> tuple[dict[str, Remote], list[tuple[str, dict]]]:
    """Return the images that a source's lists of addresses name, and what is wrong with entries of these lists."""
    remote: dict[str, Remote] = {}
    loose: list[tuple[str, dict]] = []
    for _, path, _ in source.urls:
        claims, problems = table_claims((path, path, None), None, values[path], own_splits)
        loose += problems
        for claim in claims:
            if "origin" in claim.extra:
                each = Remote(claim.extra["origin"], claim.split)
                first = remote.setdefault(claim.extra["called"], each)
                if first is not each:
                    loose.append((path, _repeated(path, claim.named, first, each)))
            loose += [(path, line_problem(reason, path, *rest)) for reason, *rest in claim.problems]
    return remote, loose


def _repeated(path: str, named: str, first: Remote, again: Remote) -> dict[str, str]:
    """Return what is to be told of an address that was listed before."""
    found = f"an address that was listed before: {shown_url(again.origin['url'])}"
    if first.split != again.split:
        found += f", there with split {first.split or 'none'}, here {again.split or 'none'}"
    return line_problem("row_repeated", path, shown_url(named), found, "left out; the first one counts")


def _with_origins(found: Match) -> tuple[Match, dict[str, Remote]]:
    """Make images of the annotations that no image in the folder belongs to, but that say where theirs is to be had."""
    wanted: dict[str, list[Claim]] = defaultdict(list)
    orphans = []
    for claim, why in found.orphans:
        if "origin" in claim.extra:
            wanted[claim.extra["called"]].append(claim)
        else:
            orphans.append((claim, why))
    claims, problems, remote = dict(found.claims), dict(found.problems), {}
    for relative, several in wanted.items():
        first = several[0]
        remote[relative] = Remote(first.extra["origin"])
        if all(same_meaning(first, other) for other in several):
            claims[relative] = first
            continue
        said = f"{len(several)} annotations of one image that differ"
        done = "left out; remove all but one of them"
        problems[relative] = [
            line_problem("annotation_ambiguous", claim.path, claim.named, said, done) for claim in several
        ]
    return replace(found, claims=claims, problems=problems, orphans=orphans), remote
