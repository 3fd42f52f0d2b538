"""How much memory decoded images would take, told without decoding them."""

import pytest

from odtl.tf_example import frame, serialize
from odtl.training import sizing
from odtl.training.sizing import Estimate, estimate, shrunk_size, spans

WIDE = serialize({"image/height": [100], "image/width": [200], "image/encoded": [b"."]})
LONG = serialize({"image/height": [400], "image/width": [100], "image/encoded": [b"." * 5000]})


@pytest.fixture
def paths(tmp_path):
    contents = {"a": [WIDE] * 3, "b": [LONG], "empty": []}
    for name, messages in contents.items():
        (tmp_path / name).write_bytes(b"".join(map(frame, messages)))
    return [tmp_path / name for name in contents]


def test_bytes_of_all_images(paths):
    assert estimate(paths, None, 10**6) == Estimate(4, 3 * (3 * 100 * 200 + 400 * 100))


def test_bytes_of_shrunk_images(paths):
    assert estimate(paths, (100, 100), 10**6) == Estimate(4, 3 * (3 * 50 * 100 + 100 * 25))


def test_more_than_the_budget(paths):
    needed = 3 * (3 * 100 * 200 + 400 * 100)
    assert estimate(paths, None, needed).images == 4
    assert estimate(paths, None, needed - 1) is None


def test_no_more_records_are_looked_for_than_could_fit(tmp_path, monkeypatch):
    path, seen = tmp_path / "many", []
    path.write_bytes(frame(WIDE) * 1000)

    def watched(path):
        for span in spans(path):
            seen.append(span)
            yield span

    monkeypatch.setattr(sizing, "spans", watched)
    assert estimate([path], None, 10 * 3 * 100 * 200) is None
    assert len(seen) < 50


def test_no_images_need_nothing(paths):
    assert estimate(paths[-1:], None, 10) == Estimate(0, 0)


def test_where_records_stand(paths):
    found = list(spans(paths[0]))
    content = paths[0].read_bytes()
    assert [content[span.offset : span.offset + span.length] for span in found] == [WIDE] * 3


def test_record_that_is_cut_off_is_not_counted(paths):
    paths[0].write_bytes(paths[0].read_bytes()[:-20])
    assert len(list(spans(paths[0]))) == 2


@pytest.mark.parametrize(
    "size, covering, shrunk",
    [
        ((100, 200), False, (50, 100)),
        ((100, 200), True, (100, 200)),
        ((200, 400), True, (100, 200)),
        ((50, 80), False, (50, 80)),
    ],
)
def test_shrunk_size(size, covering, shrunk):
    assert shrunk_size(*size, (100, 100), covering) == shrunk


def test_budget_is_a_share_of_what_is_free(monkeypatch):
    monkeypatch.setattr(sizing, "free_memory", lambda: 10**9)
    assert sizing.cache_budget() == 25 * 10**7
    monkeypatch.setattr(sizing, "free_memory", lambda: 10**12)
    assert sizing.cache_budget() == 1024**3


def test_free_memory_is_some():
    assert 0 < sizing.free_memory() < 2**60
