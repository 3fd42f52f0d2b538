"""The model card: what a stranger has to know of an exported detector, as Markdown.

Its sections are those of Mitchell et al. 2019 (https://arxiv.org/abs/1810.03993), as far as a machine can fill them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from odtl.export.formats import TITLES

MODEL_CARD = "model_card.md"


def model_card(
    metadata: Mapping[str, Any], model: Mapping[str, Any], threads: Sequence[int], notes: Sequence[str]
) -> str:
    """Return the card of what `metadata.gather` has gathered.

    model: `name`, `family`, `licence` (`name`, `source`), `trained_on` of the pretrained model, as the zoo has them.
    notes: sentences on what is not there, and why.
    """
    sections = [
        _head(metadata, model),
        _files(metadata, threads, notes),
        _use(metadata),
        _quality(metadata),
        _data(metadata),
        _training(metadata, model),
        _licence(metadata, model),
    ]
    return "\n".join(line for section in sections for line in section)


def _head(metadata: Mapping, model: Mapping) -> Iterator[str]:
    classes, size = metadata["classes"], metadata["input"]["size"]
    checkpoint = metadata["checkpoint"]
    yield f"# Object detector `{metadata['experiment']}`"
    yield ""
    yield (
        f"It finds {len(classes)} kind(s) of objects in images: {', '.join(f'`{name}`' for name in classes)}. For each "
        "it gives a box, a class and a score between 0 and 1."
    )
    yield ""
    yield f"- **Kind:** {model['family']}, fine-tuned from `{model['name']}`."
    yield f"- **Images:** RGB, of any size; the detector looks at {size[1]} x {size[0]} pixels of them."
    yield f"- **Checkpoint:** step {checkpoint['step']}: {checkpoint['reason']}. SHA-256 `{checkpoint['sha256']}`."
    yield ""


def _files(metadata: Mapping, threads: Sequence[int], notes: Sequence[str]) -> Iterator[str]:
    yield "## Files"
    yield ""
    timed = [f"ms, {count} thread{'s' if count > 1 else ''}" for count in threads]
    header = ["format", "file", "size", "AP", "AP50", *timed]
    yield _row(header)
    yield _row(["---"] * len(header))
    for name, entry in metadata["formats"].items():
        times = [entry["milliseconds"].get(str(count)) for count in threads]
        yield _row(
            [
                TITLES[name],
                f"`{entry['path']}`",
                _bytes(entry["bytes"]),
                _share(entry["AP"]),
                _share(entry["AP50"]),
                *("-" if time is None else f"{time:.1f}" for time in times),
            ]
        )
    yield ""
    compared = next(iter(metadata["formats"].values()))["compared_on"]
    yield (
        f"AP: on the same {compared['images']} {compared['split']} image(s) for each format, each loaded from disk and "
        "found to detect what the checkpoint detects, within the tolerances that `parity/` tells."
    )
    if threads and (size := metadata["latency"]["image_size"]):
        yield (
            f"Milliseconds: the median for one image of {size[0]} x {size[1]} pixels, from pixels to boxes, on "
            f"{metadata['latency']['processor']}; what else the machine did disturbs it."
        )
    yield from notes
    yield ""


def _use(metadata: Mapping) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield (
        "The frozen graph and the SavedModel take `image_tensor`, uint8 (N, height, width, 3), upright RGB, and give "
        "`detection_boxes` (ymin, xmin, ymax, xmax as shares of height and width), `detection_scores`, "
        "`detection_classes` (ids from 1, see `label_map.pbtxt`) and `num_detections`. The SavedModel's signature "
        "`serving_bytes` takes JPEG and PNG files instead, and does not look at their EXIF orientation."
    )
    if any(name.startswith("tflite") for name in metadata["formats"]):
        yield (
            "The TFLite files carry labels and the meaning of input and outputs as metadata, for MediaPipe Tasks; "
            "`labels.txt` has a line for each class, the first for class 0."
        )
    yield ""


def _quality(metadata: Mapping) -> Iterator[str]:
    quality = metadata["quality"]
    yield "## Quality"
    yield ""
    if quality["note"]:
        yield quality["note"]
        yield ""
        return
    yield (
        f"On {quality['images']} test image(s), which it was not trained on: AP {_share(quality['AP'])}, AP50 "
        f"{_share(quality['AP50'])} (as COCO defines them, 0 to 1; `-`: nothing to measure)."
    )
    yield ""
    yield _row(["class", "AP", "AP50", "labelled objects"])
    yield _row(["---"] * 4)
    for row in quality["per_class"]:
        yield _row([_escaped(row["class"]), _share(row["AP"]), _share(row["AP50"]), str(row["boxes"])])
    yield ""
    yield (
        "It knows only what such images show: on others - another camera, light, scale, background - it may be worse, "
        "and it is to be measured there before anyone relies on it."
    )
    yield ""


def _data(metadata: Mapping) -> Iterator[str]:
    data = metadata["data"]
    yield "## Data"
    yield ""
    yield _row(["split", "images", "boxes", "fingerprint (SHA-256)"])
    yield _row(["---"] * 4)
    for split, fingerprint in data["fingerprint"].items():
        yield _row(
            [split, str(data["images"].get(split, 0)), str(data["boxes"].get(split, 0)), f"`{fingerprint[:16]}`"]
        )
    yield ""


def _training(metadata: Mapping, model: Mapping) -> Iterator[str]:
    training, versions = metadata["training"], metadata["versions"]
    yield "## Training"
    yield ""
    yield (
        f"{training['steps']} steps of {training['batch_size']} images on {_device(training['device'])}, "
        + (f"starting from `{model['name']}`" if metadata["pretrained"] else "starting from random weights")
        + f". {training['parameters']:,} parameters. All settings stand in `metadata.json`."
    )
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}."
    yield ""


def _licence(metadata: Mapping, model: Mapping) -> Iterator[str]:
    yield "## Licence"
    yield ""
    if metadata["pretrained"]:
        licence = model["licence"]
        yield f"Of the pretrained weights: {licence['name']} ({licence['source']})."
        if model.get("trained_on"):
            yield f"They were trained on: {model['trained_on']}."
    else:
        yield "No pretrained weights were used."
    yield "What the training images allow is for whoever has labelled them to say."
    yield ""


def _device(device: Mapping) -> str:
    kind = f"{device['kind']} ({device['name']})" if device.get("name") else device["kind"]
    return f"{device['count']} x {kind}" if device.get("count", 1) > 1 else f"a {kind}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} KB"
