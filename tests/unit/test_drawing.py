"""Drawing: what is asked for is where it was asked for, on images of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from odtl.drawing import Mark, class_colour, draw_marks, enlargement, relative_luminance, text_colour

GREY = (128, 128, 128)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.int64)


def test_box_is_drawn_in_its_colour_and_the_rest_stays():
    image = Image.new("RGB", (600, 400), GREY)
    drawn = pixels(draw_marks(image, [Mark((100, 100, 300, 250), "x", 1)]))
    assert drawn.shape == (400, 600, 3)
    for x, y in [(100, 150), (299, 150), (200, 100), (200, 249)]:
        assert tuple(drawn[y, x]) == class_colour(1), (x, y)
    assert tuple(drawn[200, 200]) == GREY
    assert tuple(drawn[350, 500]) == GREY


def test_label_is_above_the_box_and_holds_text():
    image = Image.new("RGB", (600, 400), GREY)
    drawn = pixels(draw_marks(image, [Mark((100, 100, 300, 250), "raccoon 97%", 1)]))
    above = drawn[80:98, 100:180].reshape(-1, 3)
    colours = {tuple(colour) for colour in above.tolist()}
    assert class_colour(1) in colours
    assert text_colour(class_colour(1)) in colours


def test_label_goes_inside_where_there_is_no_room_above():
    drawn = pixels(draw_marks(Image.new("RGB", (600, 400), GREY), [Mark((0, 0, 600, 400), "all of it", 2)]))
    assert tuple(drawn[1, 300]) == class_colour(2)
    assert (drawn[3:12, 3:60] == text_colour(class_colour(2))).all(axis=2).any()


def test_labels_of_equal_boxes_do_not_hide_each_other():
    box = (100, 100, 300, 250)
    marks = [Mark(box, "one", class_id) for class_id in (1, 2, 3)]
    drawn = pixels(draw_marks(Image.new("RGB", (600, 400), GREY), marks))
    areas = [(drawn == class_colour(class_id)).all(axis=2).sum() for class_id in (1, 2, 3)]
    alone = pixels(draw_marks(Image.new("RGB", (600, 400), GREY), [Mark((450, 300, 452, 302), "one", 1)]))
    label = (alone == class_colour(1)).all(axis=2).sum()
    assert min(areas) > 0.8 * label


def test_first_mark_lies_on_top():
    box = (100, 100, 300, 250)
    drawn = pixels(draw_marks(Image.new("RGB", (600, 400), GREY), [Mark(box, "best", 1), Mark(box, "other", 2)]))
    assert tuple(drawn[200, 100]) == class_colour(1)


def test_small_images_are_enlarged_and_boxes_with_them():
    drawn = draw_marks(Image.new("RGB", (60, 40), GREY), [Mark((10, 10, 30, 30), "x", 1)])
    scale = enlargement(60, 40)
    assert scale == 8 and drawn.size == (480, 320)
    assert tuple(pixels(drawn)[20 * scale, 10 * scale]) == class_colour(1)


@pytest.mark.parametrize("size", [(1, 1), (37, 501), (501, 37), (2000, 20)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA"])
def test_any_size_and_mode(size, mode):
    marks = [Mark((0, 0, *size), "a rather long name of a class 100%", 1), Mark((0, 0, 1, 1), "日本 ✓\n\t", 40)]
    image = Image.new(mode, size)
    drawn = draw_marks(image, marks)
    assert drawn.mode == "RGB"
    assert drawn.size == tuple(side * enlargement(*size) for side in size)
    assert (pixels(drawn) == class_colour(1)).all(axis=2).any()


def test_the_image_given_is_not_changed():
    image = Image.new("RGB", (600, 400), GREY)
    draw_marks(image, [Mark((0, 0, 600, 400), "x", 1)])
    assert image.getcolors() == [(600 * 400, GREY)]


def test_nothing_to_draw():
    assert draw_marks(Image.new("RGB", (600, 400), GREY), []).getcolors() == [(600 * 400, GREY)]


def test_colours_of_a_hundred_classes_differ_and_stay():
    colours = [class_colour(class_id) for class_id in range(1, 101)]
    assert len(set(colours)) == 100
    assert colours == [class_colour(class_id) for class_id in range(1, 101)]
    assert class_colour(1) == (230, 159, 0)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_can_be_read_on_any_colour(colour):
    one, other = sorted([relative_luminance(colour), relative_luminance(text_colour(colour))])
    assert (other + 0.05) / (one + 0.05) >= 4.5


edge = st.floats(-50, 700)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(edge, edge, edge, edge), max_size=5))
def test_no_box_is_too_odd_to_draw(boxes):
    draw_marks(Image.new("RGB", (500, 40)), [Mark(box, "x", index) for index, box in enumerate(boxes)])


def test_no_two_classes_look_alike():
    colours = np.array([class_colour(number) for number in range(1, 101)], float)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 999 * np.eye(100)
    assert distances[:20, :20].min() >= 80
    assert distances.min() >= 40
    assert class_colour(9) == class_colour(9)
    assert len(class_colour(100_000)) == 3
