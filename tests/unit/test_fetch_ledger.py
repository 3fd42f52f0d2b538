"""What was fetched takes its place in the line of the manifest; what was not is a rejected row."""

import pytest

from odtl.annotations.model import Origin
from odtl.cleaning import clean
from odtl.errors import InputError
from odtl.fetching.ledger import Row, as_fetched
from odtl.images import ImageInfo
from odtl.manifest import Line, LineAnnotation

URL = "https://example.org/a.jpg"
ORIGIN = Origin(URL)
ANNOTATION = LineAnnotation("a.json", 100, 80, ((1, 2, 30, 40),), ("cup",), ("cup",), (False,), (False,))


def line(image: str | None = None, origin: Origin | None = ORIGIN) -> Line:
    return Line("a-12345678", image, image and "1" * 64, "a-12345678", ANNOTATION, (), origin)


def test_fetched_image_is_used():
    row = Row("a-12345678", URL, "fetched", path="results/images/a-12345678.jpg", sha256="2" * 64)
    found = as_fetched(line(), {row.image: row})
    assert (found.image, found.sha256, found.problems) == ("results/images/a-12345678.jpg", "2" * 64, ())


def test_image_that_could_not_be_had_is_a_rejected_row():
    row = Row("a-12345678", URL, "failed", error="404 Not Found")
    boxes, ledger = clean(as_fetched(line(), {row.image: row}), ImageInfo("", 0, 0))
    assert boxes == []
    assert [(entry.status, entry.reason, entry.file, entry.found) for entry in ledger] == [
        ("rejected", "image_not_fetched", URL, "404 Not Found")
    ]


def test_image_that_is_a_file_anyway_is_left_alone():
    for each in (line("d/a.jpg"), line("d/a.jpg", None), line(None, None)):
        assert as_fetched(each, {}) is each


def test_ledger_of_another_data_set_is_refused():
    with pytest.raises(InputError, match="no row in the ledger"):
        as_fetched(line(), {})
