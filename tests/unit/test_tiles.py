"""Large images by tiles: covered without gaps, and each object told once, where it is."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odtl.detecting.batches import Finder
from odtl.detecting.pictures import Picture
from odtl.detecting.thresholds import Thresholds
from odtl.detecting.tiles import Tiling, merge
from odtl.detections import Detections, no_detections
from odtl.detector import Detector
from odtl.errors import InputError
from red import NAMES, find_red, image_with_red


def detections(*found: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    boxes, scores, classes = zip(*found, strict=True)
    return Detections(np.array(boxes, float), np.array(scores), np.array(classes))


def test_places():
    assert Tiling(100, 0.2).places(100, 80) == [(0, 0, 100, 80)]
    assert Tiling(100, 0.2).places(180, 50) == [(0, 0, 100, 50), (80, 0, 180, 50)]
    # Two steps of 80 would reach 260: the three are moved together.
    assert [place[0] for place in Tiling(100, 0.2).places(250, 100)] == [0, 75, 150]
    assert Tiling(100, 0).places(200, 200) == [
        (0, 0, 100, 100), (100, 0, 200, 100), (0, 100, 100, 200), (100, 100, 200, 200),
    ]  # fmt: skip


@given(st.integers(1, 700), st.integers(1, 700), st.integers(32, 300), st.floats(0, 0.9))
def test_tiles_cover_the_image_and_overlap(width, height, side, overlap):
    places = Tiling(side, overlap).places(width, height)
    assert {(xmax - xmin, ymax - ymin) for xmin, ymin, xmax, ymax in places} == {(min(side, width), min(side, height))}
    for low, high, length in [(0, 2, width), (1, 3, height)]:
        spans = sorted({(place[low], place[high]) for place in places})
        assert spans[0][0] == 0 and spans[-1][1] == length
        assert all(one[1] - other[0] >= overlap * side - 1 for one, other in itertools.pairwise(spans))


@pytest.mark.parametrize(("side", "overlap", "told"), [(16, 0.2, "at least 32"), (640, 1.0, "0 to 0.9")])
def test_tilings_that_make_no_sense_are_refused(side, overlap, told):
    with pytest.raises(InputError, match=told):
        Tiling(side, overlap)


def test_boxes_are_moved_to_their_place_and_told_once():
    left, right = (0, 0, 100, 100), (60, 0, 160, 100)
    found = merge(
        [
            (left, detections(((70, 10, 90, 30), 0.8, 1), ((10, 10, 20, 20), 0.6, 2))),
            (right, detections(((11, 10, 31, 30), 0.9, 1), ((50, 50, 60, 60), 0.7, 1))),
        ],
        160,
        100,
    )
    assert found.scores.tolist() == [0.9, 0.7, 0.6]
    assert found.boxes.tolist() == [[71, 10, 91, 30], [110, 50, 120, 60], [10, 10, 20, 20]]
    assert found.classes.tolist() == [1, 1, 2]


def test_boxes_of_other_classes_are_left_alone():
    one = detections(((10, 10, 50, 50), 0.9, 1), ((10, 10, 50, 50), 0.8, 2))
    assert len(merge([((0, 0, 100, 100), one)], 100, 100)) == 2


def test_a_part_gives_way_to_the_whole():
    """An object at the edge of a tile, cut off with a high score there, whole with a lower one in the next."""
    left, right = (0, 0, 100, 100), (60, 0, 160, 100)
    found = merge(
        [(left, detections(((80, 10, 100, 40), 0.95, 1))), (right, detections(((20, 10, 70, 40), 0.7, 1)))], 160, 100
    )
    assert found.boxes.tolist() == [[80, 10, 130, 40]]
    assert found.scores.tolist() == [0.7]
    # Small ones within a large one stay, where nothing cuts them off.
    found = merge([(left, detections(((5, 5, 95, 95), 0.9, 1), ((40, 40, 60, 60), 0.8, 1)))], 100, 100)
    assert len(found) == 2


def test_the_edge_of_the_image_cuts_nothing_off():
    found = merge([((0, 0, 100, 100), detections(((0, 0, 30, 30), 0.5, 1), ((0, 0, 20, 20), 0.4, 1)))], 100, 100)
    assert len(found) == 2


def test_nothing_is_nothing():
    assert len(merge([((0, 0, 100, 100), no_detections())], 100, 100)) == 0


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_objects_are_found_where_they_are(batch_size):
    sizes = []

    def detect(batch):
        sizes.append(batch.shape)
        return Detector(NAMES, "", find_red).detect(batch)

    finder = Finder(detect, Thresholds(0.5, {}), batch_size, Tiling(100, 0.3))
    boxes = [(20, 10, 40, 30), (85, 60, 110, 90), (200, 110, 230, 140)]
    for box in boxes:
        pixels = np.asarray(image_with_red(box, (250, 150)))
        ((_, found),) = finder.find([Picture("a", pixels)])
        assert found.boxes.tolist() == [pytest.approx(box, abs=0.01)]
    assert {shape[1:] for shape in sizes} == {(150, 250, 3), (100, 100, 3)}
    assert max(shape[0] for shape in sizes) == batch_size


def test_images_no_larger_than_a_tile_go_as_they_are():
    sizes = []

    def detect(batch):
        sizes.append(batch.shape)
        return Detector(NAMES, "", find_red).detect(batch)

    pictures = [Picture("a", np.zeros((100, 80, 3), np.uint8), index) for index in range(3)]
    found = list(Finder(detect, Thresholds(0.5, {}), 2, Tiling(100)).find(pictures))
    assert [picture.index for picture, _ in found] == [0, 1, 2]
    assert sizes == [(2, 100, 80, 3), (1, 100, 80, 3)]
