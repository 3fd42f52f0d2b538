"""Edits of a data set, as rules of a stateful test: what people and their tools do to files and to settings.

A subclass says in `check` what must hold after the edits. A file's time stamps matter as much as its bytes here: many
of the edits keep a file's size, its time of modification, or both.
"""

import functools
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from PIL import Image

from helpers import voc_xml

SIZE = (64, 48)
# Long ago; and what is not so long ago that a future time stamp would be of interest by itself.
OLD_NS = 10**18
# The images of each source; x holds annotations alone, y those of YOLO.
FOLDERS = (
    *("d", "d/train", "d/val", "d/test", "d/sub", "d/train/sub", "d/images", "d/labels", "d/train/labels"),
    *("e", "e/test", "x", "x/train", "t", "y", "y/images", "y/labels"),
)
ROOTS = "detxy"
STEMS = (
    "a",
    "b",
    "c",
    "A",
    "a b",
    "caf\u00e9",
    "cafe\u0301",
    "it's",
    'so "x"',
    "x,y",
    "a.jpg",
    "{split}",
    "#1%20",
    "1\n2",
)
# The last two tell nothing: there, first bytes decide.
IMAGES = (".jpg", ".png", ".JPG", ".jfif", ".shot", "")
TABLES = ("t/labels.csv", "t/train.csv")
LABELS = ("cup", "mug", "Cup", "cup holder", "caf\u00e9", "")
LOOKS = ("red", "blue", "lime", "taller", "turned", "cut off", "not an image", "empty")
GROUPS = (None, "^[^/]+/", "([a-c])[^/]*$", "(?:^|/)(cup)?")
FRACTIONS = (
    {"train": 0.6, "val": 0.2, "test": 0.2},
    {"train": 0.5, "val": 0.1, "test": 0.4},
    {"train": 0.0, "val": 0.0, "test": 1.0},
    {"train": 1.0, "val": 0.0, "test": 0.0},
)

picks = st.integers(0, 40)
# Names that meet often: what is where is only hard to tell where several things have one name.
folders = st.one_of(st.sampled_from(("d", "d/train", "d/test", "d/sub")), st.sampled_from(FOLDERS))
stems = st.one_of(st.sampled_from(("a", "b", "A", "a.jpg")), st.sampled_from(STEMS))
extensions = st.sampled_from(IMAGES)
looks = st.sampled_from(LOOKS)
# How a file gets its new content: written in place or put in its place, and with which time of modification.
ways = st.sampled_from(("in place", "in place, kept time", "replaced", "replaced, kept time", "replaced, older"))
# Always two digits: a moved box leaves the file's size as it was. Beyond 63 and 47 they are outside the image.
edges = st.integers(10, 70)
boxes = st.tuples(st.sampled_from(LABELS), st.tuples(edges, edges, edges, edges))
# Two tables in three list only images that are there under just that name.
table_rows = st.lists(
    st.tuples(
        picks,
        st.sampled_from(("listed", "listed", "other")),
        boxes,
        st.sampled_from(("", "", "train", "val", "test")),
        st.sampled_from(("", "", "http://x/1.jpg", "http://x/2.jpg?token=1", "http://x/2.jpg?token=2")),
    ),
    max_size=4,
)


@functools.cache
def picture(look: str, extension: str) -> bytes:
    """Return an image file; those that differ in colour alone are equally long."""
    image = Image.new("RGB", (64, 50) if look == "taller" else SIZE, look if look in LOOKS[:3] else "gray")
    exif = Image.Exif()
    if look == "turned":
        exif[0x0112] = 6
    stream = io.BytesIO()
    if extension == ".png":
        image.save(stream, "PNG", compress_level=0, exif=exif)
    else:
        image.save(stream, "JPEG", exif=exif)
        length = len(stream.getvalue())
        image.save(stream := io.BytesIO(), "JPEG", exif=exif, comment=b" " * (2000 - length))
    content = stream.getvalue()
    changed = {"cut off": content[: len(content) // 2], "not an image": b"?" * len(content), "empty": b""}
    return changed.get(look, content)


def put(path: Path, content: bytes, way: str = "replaced") -> None:
    """Write a file in one of the `ways`."""
    kept = path.stat() if path.is_file() else None
    if kept is None:
        remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path if way.startswith("in place") else path.with_name(".new")
    written.write_bytes(content)
    if "kept" in way and kept is not None:
        os.utime(written, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    elif "older" in way:
        os.utime(written, ns=(OLD_NS, OLD_NS))
    os.replace(written, path)


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a folder with all time stamps, over what is there."""
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", source, target], check=True)


class Edits(RuleBasedStateMachine):
    """A data set that changes: the files in `home`, the settings in attributes.

    Every rule is one edit. After it, as `pauses` has it, comes nothing, the next run at once, or the next run later,
    when no file is young.
    """

    # Whether annotations name addresses; what runs the whole workflow would fetch from them.
    addresses = True

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.home = Path(self.scratch.name, "project")
        self.home.mkdir()
        self.pauses: Sequence[str] = ("at once",)
        self.edits, self.refused = 0, 0
        self.sources = {"d": "from_folders"}
        self.names: dict[str, str | None] = {"d": None, "e": "more", "t": "table", "y": "numbers", "u": None, "v": None}
        self.lists: object = None
        self.annotations: object = None
        self.table: object = TABLES[0]
        self.split = {"fractions": FRACTIONS[0], "val_from_train": 0.0, "group": None, "groups": None, "seed": ""}
        self.shards, self.strict = 2, False
        self.classes: list[str] | None = None
        self.aliases: dict[str, str] = {}

    def teardown(self) -> None:
        self.scratch.cleanup()

    # --- What the edits come to ----------------------------------------------------------------------------------

    def check(self) -> bool:
        """Raise AssertionError unless the results are right now; return False if the data set is refused as it is."""
        raise NotImplementedError

    @invariant()
    def results_are_right(self) -> None:
        pause = self.pauses[self.edits % len(self.pauses)]
        self.edits += 1
        if pause != "none":
            if pause == "settled":
                self.wait()
            if self.check():
                self.refused = 0
            else:
                self.refused += 1
                # What stays refused hides what further edits do.
                if self.refused == 2:
                    self.mend()

    def wait(self) -> None:
        """Let so much time pass that no file is young."""
        raise NotImplementedError

    def mend(self) -> None:
        """Make a data set of what is there that is most often accepted."""
        self.sources, self.annotations, self.table = {"d": self.sources["d"]}, None, TABLES[0]
        self.lists = None
        self.add_pair("d", "mended", ".jpg", "lime", [("cup", (10, 11, 30, 31))])

    def data_config(self) -> dict:
        sources = []
        for folder, split in self.sources.items():
            table = {"format": "csv", "annotations": self.table}
            lists = self.lists if folder == "d" and split == "from_folders" else None
            voc = {"format": "voc", "annotations": self.annotations if folder == "d" else None, "split_lists": lists}
            where = {"name": self.names[folder], "images": folder, "split": split}
            if folder in "uv":
                # Images that are nowhere but on the network.
                where = {"name": self.names[folder], "split": split}
                sources.append({**where, "format": "csv", "annotations": f"addresses/{folder}.csv"})
                continue
            sources.append({**where, **{"t": table, "y": {"format": "yolo"}}.get(folder, voc)})
        return {"sources": sources, "split": self.split, "shards": self.shards, "strict": self.strict}

    def labels_config(self) -> dict:
        return {"classes": self.classes, "aliases": self.aliases}

    def files(self, *suffixes: str) -> list[Path]:
        """Return the data's files with one of the endings, in any case, sorted."""
        found = (path for root in ROOTS for path in (self.home / root).rglob("*") if not path.name.startswith("."))
        return sorted(path for path in found if path.name.lower().endswith(suffixes))

    def picked(self, pick: int, *suffixes: str) -> Path | None:
        """Return one of these files that is a file and no link to nothing; None if there is none."""
        found = [path for path in self.files(*suffixes) if path.is_file()]
        return found[pick % len(found)] if found else None

    def image(self, pick: int) -> Path | None:
        return self.picked(pick, ".jpg", ".png")

    def xml(self, pick: int) -> Path | None:
        return self.picked(pick, ".xml")

    def add_pair(self, folder: str, stem: str, extension: str, look: str, objects: list) -> None:
        put(self.home / folder / f"{stem}{extension}", picture(look, extension.lower()))
        self.write_xml(self.home / folder / f"{stem}.xml", f"{stem}{extension}", objects)

    def write_xml(self, path: Path, filename: str, objects: list, way: str = "replaced") -> None:
        put(path, voc_xml(filename.replace("<", "&lt;"), SIZE, objects).encode(), way)

    # --- The start -----------------------------------------------------------------------------------------------

    @initialize(
        pairs=st.lists(
            st.tuples(
                st.sampled_from(FOLDERS[:6]),
                stems,
                extensions,
                st.sampled_from(LOOKS[:3]),
                st.lists(boxes, min_size=1, max_size=3),
            ),
            min_size=3,
            max_size=8,
        )
    )
    def start(self, pairs: list) -> None:
        for pair in pairs:
            self.add_pair(*pair)

    # --- Files ---------------------------------------------------------------------------------------------------

    @rule(folder=folders, stem=stems, extension=extensions, look=looks, objects=st.lists(boxes, max_size=3))
    def label_new_image(self, folder, stem, extension, look, objects):
        self.add_pair(folder, stem, extension, look, objects)

    @rule(folder=folders, stem=stems, extension=extensions, look=looks, way=ways)
    def add_image(self, folder, stem, extension, look, way):
        put(self.home / folder / f"{stem}{extension}", picture(look, extension.lower()), way)

    @rule(
        folder=folders,
        stem=stems,
        ending=st.sampled_from((".xml", ".jpg.xml", ".XML")),
        names=stems,
        objects=st.lists(boxes, max_size=3),
    )
    def add_xml(self, folder, stem, ending, names, objects):
        self.write_xml(self.home / folder / f"{stem}{ending}", f"{names}.jpg", objects)

    @rule(pick=picks)
    def delete_image(self, pick):
        if path := self.image(pick):
            path.unlink()

    @rule(pick=picks)
    def delete_xml(self, pick):
        if path := self.xml(pick):
            path.unlink()

    @rule(pick=picks)
    def delete_both(self, pick):
        if path := self.image(pick):
            path.unlink()
            remove(path.with_suffix(".xml"))

    @rule(pick=picks, folder=folders, stem=stems)
    def rename_image(self, pick, folder, stem):
        if path := self.image(pick):
            self.rename(path, self.home / folder / f"{stem}{path.suffix}")

    @rule(pick=picks, folder=folders, stem=stems)
    def rename_xml(self, pick, folder, stem):
        if path := self.xml(pick):
            self.rename(path, self.home / folder / f"{stem}{path.suffix}")

    @rule(pick=picks, folder=folders, stem=stems)
    def rename_both(self, pick, folder, stem):
        if path := self.image(pick):
            self.rename(path, self.home / folder / f"{stem}{path.suffix}")
            if path.with_suffix(".xml").is_file():
                self.rename(path.with_suffix(".xml"), self.home / folder / f"{stem}.xml")

    @rule(pick=picks, folder=folders)
    def move_both(self, pick, folder):
        if path := self.image(pick):
            self.rename_both(pick, folder, path.stem)

    @staticmethod
    def rename(old: Path, new: Path) -> None:
        if new.is_dir():
            remove(new)
        new.parent.mkdir(parents=True, exist_ok=True)
        os.replace(old, new)

    @rule(one=picks, other=picks, kind=st.sampled_from(((".jpg", ".png"), (".xml",))))
    def swap_names(self, one, other, kind):
        one, other = self.picked(one, *kind), self.picked(other, *kind)
        if one and one != other:
            aside = one.with_name(".aside")
            os.rename(one, aside)
            os.rename(other, one)
            os.rename(aside, other)

    @rule(old=st.sampled_from(FOLDERS), new=st.sampled_from(FOLDERS))
    def rename_folder(self, old, new):
        old, new = self.home / old, self.home / new
        if old.is_dir() and not new.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            if old not in new.parents:
                os.rename(old, new)

    @rule(pick=picks, look=looks, way=ways)
    def replace_pixels(self, pick, look, way):
        if path := self.image(pick):
            put(path, picture(look, path.suffix.lower()), way)

    @rule(pick=picks, which=picks, edge=edges, way=ways)
    def move_box(self, pick, which, edge, way):
        if path := self.xml(pick):
            text = path.read_text()
            found = list(re.finditer(r"(?<=m[a-z]{2}>)\d\d(?=<)", text))
            if found:
                place = found[which % len(found)].start()
                put(path, f"{text[:place]}{edge}{text[place + 2 :]}".encode(), way)

    @rule(pick=picks, old=st.sampled_from(LABELS), new=st.sampled_from(LABELS), way=ways)
    def rename_class_in_one(self, pick, old, new, way):
        if path := self.xml(pick):
            put(path, path.read_text().replace(f"<name>{old}<", f"<name>{new}<").encode(), way)

    @rule(old=st.sampled_from(LABELS), new=st.sampled_from(LABELS), way=ways)
    def rename_class_everywhere(self, old, new, way):
        for path in self.files(".xml"):
            if path.is_file():
                put(path, path.read_text().replace(f"<name>{old}<", f"<name>{new}<").encode(), way)

    @rule(pick=picks, objects=st.lists(boxes, max_size=3), way=ways)
    def label_anew(self, pick, objects, way):
        if path := self.xml(pick):
            self.write_xml(path, f"{path.stem}.jpg", objects, way)

    @rule(pick=picks, kind=st.sampled_from(("empty", "cut off", "other root", "entity", "no boxes")), way=ways)
    def break_xml(self, pick, kind, way):
        if path := self.xml(pick):
            text = path.read_text()
            entity = f"<!DOCTYPE a [<!ENTITY b 'c'>]>{text}"
            broken = {"empty": "", "cut off": text[: len(text) // 2], "other root": "<x/>", "entity": entity}
            put(path, broken.get(kind, re.sub("<object>.*</object>", "", text)).encode(), way)

    @rule(pick=picks, what=st.sampled_from(("white space", "path", "verified", "nothing")), way=ways)
    def save_again_with_same_meaning(self, pick, what, way):
        if path := self.xml(pick):
            text = path.read_text()
            changed = {
                "white space": text.replace("><", ">\n  <"),
                "path": re.sub("<path>[^<]*<", "<path>/another/place.jpg<", text),
                "verified": text.replace("<annotation>", '<annotation verified="yes">'),
            }
            put(path, changed.get(what, text).encode(), way)

    @rule(old=st.booleans())
    def touch_everything(self, old):
        for path in self.files(""):
            if path.exists():
                os.utime(path, **({"ns": (OLD_NS, OLD_NS)} if old else {}))

    @rule(pick=picks, kind=st.sampled_from(("dangling", "pipe", "folder")))
    def replace_by_what_is_no_file(self, pick, kind):
        if path := self.picked(pick, ".jpg", ".png", ".xml"):
            path.unlink()
            if kind == "dangling":
                path.symlink_to("nothing")
            elif kind == "pipe":
                os.mkfifo(path)
            else:
                path.mkdir()

    @rule(pick=picks)
    def replace_by_a_link(self, pick):
        path = self.picked(pick, ".jpg", ".png", ".xml")
        if path and not path.is_symlink():
            target = self.home / "pool" / f"{len(list(self.home.glob('pool/*')))}{path.suffix}"
            target.parent.mkdir(exist_ok=True)
            os.rename(path, target)
            path.symlink_to(os.path.relpath(target, path.parent))

    @rule(pick=picks, look=looks, way=ways)
    def replace_what_a_link_leads_to(self, pick, look, way):
        linked = sorted(self.home.glob("pool/*[gG]"))
        if linked:
            path = linked[pick % len(linked)]
            put(path, picture(look, path.suffix.lower()), way)

    @rule()
    def back_up(self):
        for root in ROOTS:
            remove(self.home / "backup" / root)
            if (self.home / root).is_dir():
                copy(self.home / root, self.home / "backup" / root)

    @rule()
    def restore(self):
        for root in ROOTS:
            if (self.home / "backup" / root).is_dir():
                copy(self.home / "backup" / root, self.home / root)

    @rule(rows=table_rows, table=st.sampled_from(TABLES), kind=st.sampled_from(("good", "good", "short")), way=ways)
    def write_table(self, rows, table, kind, way):
        header = "split,url,filename,width,height,class,xmin,ymin,xmax,ymax"
        images = [path.relative_to(self.home / "t").as_posix() for path in self.files(".jpg") if "t" in path.parts]
        text = [header if kind == "good" else header[:-5]]
        for pick, named, (label, box), split, url in rows:
            name = images[pick % len(images)] if images and named == "listed" else f"{STEMS[pick % len(STEMS)]}.jpg"
            quoted = '"' + name.replace('"', '""') + '"'
            text.append(
                ",".join([split, url if self.addresses else "", quoted, *map(str, SIZE), label, *map(str, box)])
            )
        put(self.home / table, "\n".join([*text, ""]).encode(), way)

    @rule(
        folder=st.sampled_from(("y", "y/labels", "y/images")),
        stem=stems,
        rows=st.lists(st.tuples(st.integers(0, 2), edges), max_size=3),
        way=ways,
    )
    def write_numbers(self, folder, stem, rows, way):
        text = "".join(f"{number} 0.5 0.5 0.{edge} 0.2\n" for number, edge in rows)
        put(self.home / folder / f"{stem}.txt", text.encode(), way)

    @rule(names=st.sampled_from((["cup", "mug", "Cup"], ["mug", "cup", "Cup"], ["cup"], [])), way=ways)
    def write_names(self, names, way):
        put(self.home / "y/classes.txt", "".join(f"{name}\n" for name in names).encode(), way)

    @rule(
        which=st.sampled_from("uv"),
        rows=st.lists(st.tuples(picks, boxes, st.sampled_from(("", "train", "test"))), min_size=1, max_size=3),
        name=st.sampled_from((None, "far")),
        way=ways,
    )
    def annotate_addresses(self, which, rows, name, way):
        if not self.addresses:
            return
        lines = ["filename,url,split,width,height,class,xmin,ymin,xmax,ymax"]
        for pick, (label, box), split in rows:
            lines.append(",".join([f"{pick % 3}.jpg", f"http://x/{pick % 4}", split, "64,48", label, *map(str, box)]))
        put(self.home / f"addresses/{which}.csv", "\n".join([*lines, ""]).encode(), way)
        self.names = {**self.names, which: name}
        self.sources = {**self.sources, which: self.sources.get(which, "from_folders")}

    @rule(which=st.sampled_from("uv"))
    def drop_addresses(self, which):
        self.sources = {name: split for name, split in self.sources.items() if name != which}

    @rule(split=st.sampled_from(("train", "val", "test")), names=st.lists(stems, max_size=3), way=ways)
    def write_list(self, split, names, way):
        put(self.home / f"lists/{split}.txt", "".join(f"{name}\n" for name in names).encode(), way)

    @rule(
        rows=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(("one", "two"))), max_size=5),
        splits=st.tuples(*[st.sampled_from(("", "train", "val", "test"))] * 2),
        used=st.booleans(),
        way=ways,
    )
    def write_groups(self, rows, splits, used, way):
        parts = [path.relative_to(self.home).parts for path in self.files(".jpg", ".png")]
        ids = ["/".join([*filter(None, [self.names.get(root)]), *rest]) for root, *rest in parts] or ["none.jpg"]
        groups = {ids[pick % len(ids)]: (name, splits[name == "two"]) for pick, name in rows}
        text = "".join(f'"{image}",{name},{split}\n' for image, (name, split) in groups.items())
        put(self.home / "groups.csv", f"image,group,split\n{text}".encode(), way)
        self.split = {**self.split, "groups": "groups.csv" if used else None}

    # --- Settings ------------------------------------------------------------------------------------------------

    @rule(fractions=st.sampled_from(FRACTIONS))
    def set_fractions(self, fractions):
        self.split = {**self.split, "fractions": fractions}

    @rule(share=st.sampled_from((0.0, 0.3, 0.8)))
    def set_val_from_train(self, share):
        self.split = {**self.split, "val_from_train": share}

    @rule(seed=st.sampled_from(("", "1", "2")))
    def set_seed(self, seed):
        self.split = {**self.split, "seed": seed}

    @rule(group=st.sampled_from(GROUPS))
    def set_group(self, group):
        self.split = {**self.split, "group": group}

    @rule(shards=st.integers(1, 3))
    def set_shards(self, shards):
        self.shards = shards

    @rule(mode=st.sampled_from(("from_folders", "by_hash", "train", "test")), folder=st.sampled_from("dety"))
    def set_split_of_source(self, mode, folder):
        if folder in self.sources:
            self.sources = {**self.sources, folder: mode}

    @rule(folder=st.sampled_from("dety"), name=st.sampled_from((None, "more", "table", "d\u00e9")))
    def name_source(self, folder, name):
        self.names = {**self.names, folder: name}

    @rule(where=st.sampled_from((None, None, "x", ["d", "x"], {"train": "d/train", "test": "d/test"})))
    def set_place_of_annotations(self, where):
        self.annotations = where

    @rule(lists=st.sampled_from((None, "lists", {"train": "lists/test.txt", "test": "lists/train.txt"})))
    def set_lists(self, lists):
        self.lists = lists

    @rule(folder=st.sampled_from("ety"), stem=stems, objects=st.lists(boxes, max_size=2))
    def add_source(self, folder, stem, objects):
        if not self.files(".jpg") or not any(folder in path.parts for path in self.files(".jpg")):
            self.add_pair(folder, stem, ".jpg", "lime", objects)
        if folder == "t" and not (self.home / TABLES[0]).is_file():
            self.write_table([(0, "listed", ("cup", (10, 11, 30, 31)), "", "")], TABLES[0], "good", "replaced")
        if folder == "y" and not (self.home / "y/classes.txt").is_file():
            self.write_names(["cup", "mug", "Cup"], "replaced")
        self.sources = {**self.sources, folder: "by_hash"}

    @rule(folder=st.sampled_from("ety"))
    def drop_source(self, folder):
        self.sources = {name: split for name, split in self.sources.items() if name != folder}

    @rule(table=st.sampled_from((TABLES[0], list(TABLES), {"train": TABLES[1], "test": TABLES[0]})))
    def set_tables(self, table):
        self.table = table

    @rule(classes=st.sampled_from((None, None, ["cup", "mug"], ["mug", "cup"], ["mug"], ["cup", "mug", "Cup"])))
    def set_classes(self, classes):
        self.classes = classes
        # An alias of a class that is not in the list is refused.
        self.aliases = {label: name for label, name in self.aliases.items() if classes is None or name in classes}

    @rule(label=st.sampled_from(LABELS[1:4]), name=st.sampled_from(("cup", "mug")))
    def add_alias(self, label, name):
        if (self.classes is None or name in self.classes) and name not in self.aliases and label != name:
            self.aliases = {**self.aliases, label: name}

    @rule()
    def drop_aliases(self):
        self.aliases = {}
