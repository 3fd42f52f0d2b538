"""Which images must stay together so that no split holds a copy of what another one holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from odtl.duplicates.groups_file import Group

# Where as many images are in one split as in another: the test images stay what they were.
_PREFERENCE = ("test", "val", "train")


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an image is now: its split, and the group that keeps it there (by default its id)."""

    split: str
    group: str


def propose_groups(
    placed: Mapping[str, Placed], pairs: Iterable[tuple[str, str]], configured: Mapping[str, Group]
) -> dict[str, Group]:
    """Return the groups to configure, image id -> group with its split, so that no pair is torn apart.

    placed:     all images that are used, by id.
    pairs:      ids of images that show the same.
    configured: what the configured file says; each of its lines is kept, but for a group that another one takes in.

    Groups are joined, not images: what a configured expression keeps together stays together. Those that are joined get
    the name of the configured one among them; else that of one now in the split where most of their images are (test,
    val, train where it is as many), and go there. So as few images as possible move, and one that is named as its group
    goes by hash where it was. Groups of one split that nothing joins are not listed, unless they were.
    """
    joined = _Joined()
    for one, other in pairs:
        joined.join(placed[one].group, placed[other].group)
    members: dict[str, list[str]] = defaultdict(list)
    for image, place in placed.items():
        if place.group in joined.parents:
            members[joined.root(place.group)].append(image)
    proposal = dict(configured)
    kept = Counter(group.name for group in configured.values())
    known = {group.name: group for group in configured.values()}
    for images in members.values():
        names = {placed[image].group for image in images}
        splits = Counter(placed[image].split for image in images)
        if len(names) == 1 and len(splits) == 1:
            continue
        old = sorted(names & known.keys(), key=lambda name: (-kept[name], name))
        group = _chosen(images, placed, splits, known[old[0]] if old else None)
        proposal.update(dict.fromkeys(images, group))
        # Its images that are not here now go with it, too.
        proposal.update({image: group for image, each in configured.items() if each.name in names})
    return proposal


def _chosen(images: list[str], placed: Mapping[str, Placed], splits: Counter, old: Group | None) -> Group:
    if old is not None and old.split:
        return old
    most = max(splits.values())
    split = next(split for split in _PREFERENCE if splits[split] == most)
    name = old.name if old else min(placed[image].group for image in images if placed[image].split == split)
    return Group(name, split)


class _Joined:
    """Sets that are joined two by two (union-find with path halving)."""

    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def root(self, name: str) -> str:
        parents = self.parents
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    def join(self, one: str, other: str) -> None:
        # The smaller name leads: the result depends on no order.
        low, high = sorted((self.root(one), self.root(other)))
        self.parents[high] = low
