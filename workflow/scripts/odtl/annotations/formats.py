"""The annotation formats there are, and what tells one from another before a file is opened."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One format of annotations.

    endings:     what its files' names end in or, for records, hold, in lower case.
    per_image:   whether there is one file for each image, beside it or at the same place in another tree; else each
                 file annotates many images, and no name settles which.
    beside:      name of the file in the image folder that is read where the configuration names none.
    also:        name of a file beside each that says what is in it, too.
    has_origins: whether it can say where an image is to be had, so that it needs no folder of images.
    """

    endings: tuple[str, ...]
    per_image: bool = False
    beside: str | None = None
    also: str | None = None
    has_origins: bool = False

    def matches(self, name: str) -> bool:
        """Say whether a file of this name may be one of the format."""
        lower = name.lower()
        # Records in several pieces are called train.record-00000-of-00010.
        pieces = [f"{ending}-" for ending in self.endings if "record" in ending]
        return lower.endswith(self.endings) or any(piece in lower for piece in pieces)


FORMATS = {
    "voc": Format((".xml",), per_image=True),
    "yolo": Format((".txt",), per_image=True),
    "csv": Format((".csv",), has_origins=True),
    "coco": Format((".json",), has_origins=True),
    "labelbox": Format((".json", ".ndjson", ".jsonl"), has_origins=True),
    "cloud_annotations": Format((".json",), beside="_annotations.json"),
    "label_studio": Format((".json",), has_origins=True),
    "cvat": Format((".xml",)),
    "tfrecord": Format((".record", ".tfrecord", ".tfrecords"), also="label_map.pbtxt", has_origins=True),
    # Images to be labelled; the list of their addresses is all there is.
    "urls": Format((), has_origins=True),
}
