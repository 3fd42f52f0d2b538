import importlib
import io
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RESOURCES = Path(__file__).parents[2] / "resources"
DEMO = RESOURCES / "demo"


@pytest.fixture(scope="module")
def generator():
    sys.path.insert(0, str(RESOURCES))
    try:
        yield importlib.import_module("generate_images")
    finally:
        sys.path.remove(str(RESOURCES))


@pytest.fixture(scope="module")
def scenes(generator):
    return [generator.make_scene("demo", 7, "train", index) for index in range(24)]


def boxes_in(path):
    fields = ("xmin", "ymin", "xmax", "ymax")
    return [tuple(int(o.findtext(f"bndbox/{f}")) for f in fields) for o in ET.parse(path).iter("object")]


@pytest.fixture(scope="module")
def demo():
    """(folder, image path, annotation root) of every committed demo image."""
    images = sorted(DEMO.glob("*/*.jpg"))
    return [(path.parent.name, path, ET.parse(path.with_suffix(".xml")).getroot()) for path in images]


# The generator.


def test_a_seed_gives_the_same_files_again_and_with_more_workers(generator, tmp_path):
    generator.write_set("demo", tmp_path / "a", count=6, test=2, seed=3, workers=1)
    generator.write_set("demo", tmp_path / "b", count=6, test=2, seed=3, workers=2)
    generator.write_set("demo", tmp_path / "c", count=6, test=2, seed=4, workers=1)
    files = {
        run: {p.relative_to(tmp_path / run): p.read_bytes() for p in (tmp_path / run).rglob("*.*")} for run in "abc"
    }
    assert len(files["a"]) == 16
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


def test_more_images_begin_with_the_same_ones(generator, tmp_path):
    generator.write_set("demo", tmp_path / "few", count=2, test=1)
    generator.write_set("demo", tmp_path / "more", count=4, test=1)
    for name in ("0001.jpg", "0002.xml"):
        assert (tmp_path / "few/train" / name).read_bytes() == (tmp_path / "more/train" / name).read_bytes()


def test_refuses_to_mix_two_runs(generator, tmp_path):
    generator.write_set("demo", tmp_path, count=1, test=1)
    with pytest.raises(FileExistsError):
        generator.write_set("demo", tmp_path, count=1, test=1)


def test_boxes_are_tight_around_what_is_visible(scenes):
    for scene in scenes:
        height, width = scene.pixels.shape[:2]
        for thing in scene.objects:
            xmin, ymin, xmax, ymax = thing.box
            assert 0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height
            covered = thing.mask >= 0.5
            assert covered[ymin:ymax, xmin:xmax].sum() == covered.sum()
            sides = covered[ymin, :], covered[ymax - 1, :], covered[:, xmin], covered[:, xmax - 1]
            assert all(side.any() for side in sides)


def test_box_of_a_known_render(generator):
    shapes = importlib.import_module("image_generator.shapes")
    rendering = importlib.import_module("image_generator.rendering")
    drawn = importlib.import_module("image_generator.scenes")
    square = shapes.Part((shapes.rectangle(-0.5, -0.25, 0.5, 0.25),), shapes.Material((1.0, 0.0, 0.0)), form="flat")
    light = rendering.Light((0.0, 0.0, 1.0), 0.5, 0.5)
    layer = rendering.render((square,), rendering.Pose(scale=40), light, np.random.default_rng(0))
    xmin, ymin, xmax, ymax = drawn.box_of(layer.alpha)
    assert (xmax - xmin, ymax - ymin) == (40, 20)
    assert layer.alpha[ymin:ymax, xmin:xmax].min() == pytest.approx(1)
    assert layer.alpha.sum() == pytest.approx(40 * 20, rel=0.05)
    red, green, blue = layer.colour[(ymin + ymax) // 2, (xmin + xmax) // 2]
    assert red > 0.7 and green < 0.3 and blue < 0.3


def test_the_object_is_where_its_mask_says(generator):
    shapes = importlib.import_module("image_generator.shapes")
    red = shapes.Material((0.9, 0.02, 0.02), gloss=0.0)

    def red_disc(rng):
        return (shapes.Part((shapes.ellipse(0, 0, 0.9, 0.7),), red, form="flat"),)

    for seed in range(4):
        scene = importlib.import_module("image_generator.scenes").draw_scene(
            np.random.default_rng(seed), {"disc": red_disc}
        )
        assert scene.objects
        for thing in scene.objects:
            inside = scene.pixels[thing.mask > 0.95].astype(int)
            assert np.mean(inside[:, 0] > inside[:, 1:].max(1) + 30) > 0.97


def test_truncated_means_cut_by_the_border(scenes):
    cut = [(thing, scene) for scene in scenes for thing in scene.objects]
    for thing, scene in cut:
        height, width = scene.pixels.shape[:2]
        xmin, ymin, xmax, ymax = thing.box
        assert thing.cut == (xmin == 0 or ymin == 0 or xmax == width or ymax == height)
    assert {thing.cut for thing, _ in cut} == {True, False}


def test_objects_vary_in_number_and_scale(scenes):
    assert {len(scene.objects) for scene in scenes} >= {0, 1, 2, 3}
    sides = [max(t.box[2] - t.box[0], t.box[3] - t.box[1]) / max(s.pixels.shape) for s in scenes for t in s.objects]
    assert min(sides) < 0.2 and max(sides) > 0.5


def test_an_image_is_made_to_fit(generator):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    plain = np.full((240, 320, 3), 99, np.uint8)
    small, large = generator.encode(noise, 60_000), generator.encode(noise, 200_000)
    assert len(small) <= 60_000 < len(large) <= 200_000
    assert np.asarray(Image.open(io.BytesIO(generator.encode(plain, 15_000)))).shape == (240, 320, 3)


def test_annotation_is_laid_out_as_labelimg_does(generator):
    voc = importlib.import_module("image_generator.voc")
    text = voc.annotation_xml(
        "train/0001.jpg", 320, 240, [("mug", (0, 5, 320, 99), True), ("leaf", (7, 8, 20, 30), False)]
    )
    root = ET.fromstring(text)
    assert [child.tag for child in root] == [
        "folder",
        "filename",
        "path",
        "source",
        "size",
        "segmented",
        "object",
        "object",
    ]
    assert [child.tag for child in root.find("object")] == ["name", "pose", "truncated", "difficult", "bndbox"]
    first = [e.text for e in root.find("object").iter() if e.text.strip()]
    assert first == ["mug", "Unspecified", "1", "0", "1", "5", "320", "99"]
    assert [e.text for e in root.find("size")] == ["320", "240", "3"]
    assert text.startswith("<annotation>\n\t<folder>train</folder>\n\t<filename>0001.jpg</filename>\n")


def test_pretraining_never_shows_what_the_demo_labels(generator, monkeypatch):
    objects = importlib.import_module("image_generator.objects")
    assert len(generator.PRETRAIN_CLASSES) >= 8
    assert not set(generator.DEMO_CLASSES) & set(generator.PRETRAIN_CLASSES)
    drawn = set()

    def spy(specimen):
        return lambda rng: drawn.add(specimen) or specimen(rng)

    forbidden = set(generator.DEMO_CLASSES.values())
    assert not forbidden & {*objects.DISTRACTORS, *objects.OCCLUDERS, *generator.PRETRAIN_CLASSES.values()}
    for name, specimen in generator.PRETRAIN_CLASSES.items():
        monkeypatch.setitem(generator.PRETRAIN_CLASSES, name, spy(specimen))
    labels = {thing.label for i in range(40) for thing in generator.make_scene("pretrain", 1, "train", i).objects}
    assert drawn and not forbidden & drawn
    assert labels <= set(generator.PRETRAIN_CLASSES)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_specimen_can_be_drawn(generator, seed):
    objects = importlib.import_module("image_generator.objects")
    rendering = importlib.import_module("image_generator.rendering")
    light = rendering.Light((0.3, -0.5, 0.81), 0.5, 0.8)
    for specimen in {
        *generator.DEMO_CLASSES.values(),
        *generator.PRETRAIN_CLASSES.values(),
        *objects.DISTRACTORS,
        *objects.OCCLUDERS,
    }:
        rng = np.random.default_rng(seed)
        layer = rendering.render(specimen(rng), rendering.Pose(30, 0.4), light, rng)
        assert layer.alpha.max() > 0.6
        assert np.isfinite(layer.colour).all() and layer.colour.max() <= 1.0001


# The committed demo.


def test_demo_is_large_enough_to_learn_from_and_small_enough_to_commit(demo):
    folders = [folder for folder, _, _ in demo]
    assert folders.count("train") >= 165
    assert folders.count("test") >= 30
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 4_000_000


def test_demo_shows_its_two_classes_and_empty_images_in_both_folders(demo):
    for wanted in ("train", "test"):
        labels = [[o.findtext("name") for o in root.iter("object")] for folder, _, root in demo if folder == wanted]
        assert {label for image in labels for label in image} == {"leaf", "mug"}
        assert 0.03 <= sum(not image for image in labels) / len(labels) <= 0.1
        assert max(len(image) for image in labels) >= 3


def test_demo_annotations_fit_their_images(demo):
    for folder, path, root in demo:
        with Image.open(path) as image:
            width, height = image.size
            assert image.mode == "RGB"
        assert (root.findtext("folder"), root.findtext("filename")) == (folder, path.name)
        assert (int(root.findtext("size/width")), int(root.findtext("size/height"))) == (width, height)
        for xmin, ymin, xmax, ymax in boxes_in(path.with_suffix(".xml")):
            assert 1 <= xmin < xmax <= width and 1 <= ymin < ymax <= height
            assert min(xmax - xmin, ymax - ymin) >= 11


def test_demo_has_several_sizes_and_portrait_images(demo):
    sizes = {(root.findtext("size/width"), root.findtext("size/height")) for _, _, root in demo}
    assert len(sizes) >= 5
    assert any(int(height) > int(width) for width, height in sizes)


def test_every_demo_annotation_has_its_image():
    assert {p.with_suffix("") for p in DEMO.rglob("*.xml")} == {p.with_suffix("") for p in DEMO.rglob("*.jpg")}


# The committed weights.


def test_pretrained_weights_are_weights_and_their_classes_alone_and_small():
    folder = RESOURCES / "pretrained/demo"
    weights = {"ckpt.index", "ckpt.data-00000-of-00001"}
    assert {path.name for path in folder.iterdir()} == {"README.md", "label_map.pbtxt", *weights}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000
