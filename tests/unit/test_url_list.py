"""Lists of addresses are read as written; a bad row is reported by its line and loses nothing else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odtl.annotations import url_list
from odtl.annotations.model import Annotation, Origin
from odtl.errors import InputError


@pytest.fixture
def save(tmp_path):
    def _save(text: str | bytes) -> str:
        path = tmp_path / "urls.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return _save


def urls(table):
    return list(table.annotations)


def test_what_an_image_search_wrote(save):
    table = url_list.read(save("Image_Urls\nhttp://a.org/x.jpg\nhttps://b.org/y.png?w=1&h=2\n"))
    assert urls(table) == ["http://a.org/x.jpg", "https://b.org/y.png?w=1&h=2"]
    assert table.problems == ()


def test_columns_in_any_order_and_case(save):
    path = save(
        "Source,CLASS,URL,Licence,Split,width\nblog,cat,https://a.org/1.jpg,CC BY,Training,5\n,,http://b/2,,,\n"
    )
    assert url_list.read(path).annotations == {
        "https://a.org/1.jpg": Annotation(
            path, split="train", origin=Origin("https://a.org/1.jpg", "CC BY", "blog", label="cat")
        ),
        "http://b/2": Annotation(path, origin=Origin("http://b/2")),
    }


def test_byte_order_mark_spaces_empty_rows_and_no_header(save):
    assert urls(url_list.read(save(b"\xef\xbb\xbfurl\r\n\r\n http://a/1 \r\n,\r\n"))) == ["http://a/1"]
    assert urls(url_list.read(save("http://a/1\nhttp://a/2\n"))) == ["http://a/1", "http://a/2"]
    assert urls(url_list.read(save('url\n"http://a/1,2.jpg"\n'))) == ["http://a/1,2.jpg"]
    # In the only column, commas need no quotes.
    assert urls(url_list.read(save("url\nhttp://a/1,2.jpg\nhttp://a/3,,\n"))) == ["http://a/1,2.jpg", "http://a/3"]
    assert urls(url_list.read(save("url\n"))) == []


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("peach.jpg", "no web address ('peach.jpg')"),
        ("//me:secret@a.org/x.jpg", "no web address ('//a.org/x.jpg')"),
        ("ftp://a.org/x.jpg", "an address of the scheme 'ftp'"),
        ("file:///etc/passwd", "an address of the scheme 'file'"),
        ("data:image/png;base64:AAAA", "an address of the scheme 'data'"),
        ("http://", "no web address ('http://')"),
        ("http://[", "no web address ('http://[')"),
    ],
)
def test_row_without_a_web_address_is_reported(save, cell, found):
    table = url_list.read(save(f"url,split\nhttp://a/1,\n{cell},\nhttp://a/2,\n"))
    assert urls(table) == ["http://a/1", "http://a/2"]
    (entry,) = table.problems
    assert (entry.filename, entry.reason) == ("", "row_unreadable")
    assert (entry.problem.field, entry.problem.found) == ("row 3", found)


def test_other_bad_rows(save):
    table = url_list.read(
        save("url,split\nhttp://a/1,test\nhttp://a/1,train\n,train\nhttp://a/2,often\nhttp://a/3,,x\n")
    )
    assert urls(table) == ["http://a/1"]
    assert table.annotations["http://a/1"].split == "test"
    assert [(entry.reason, entry.problem.field, entry.problem.found) for entry in table.problems] == [
        ("row_repeated", "row 3", "an address that row 2 has, too"),
        ("row_unreadable", "row 4", "no address"),
        ("row_unreadable", "row 5", "the split 'often'"),
        ("row_unreadable", "row 6", "more columns than the header has"),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"name\nhttp://a/1\n", b"url,Image_Urls\nhttp://a/1,http://a/1\n", b"url\n\xff\n", b'url\n"http'],
)
def test_table_that_cannot_be_read(save, content):
    with pytest.raises(InputError, match=r"urls\.csv"):
        url_list.read(save(content))


def test_no_file(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="not a regular file"):
            url_list.read(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_end_in_anything_but_an_input_error(save, content):
    for start in (b"", b"url,license\n"):
        try:
            table = url_list.read(save(start + content))
        except InputError:
            continue
        assert all(url.startswith(("http://", "https://", "HTTP", "Http")) or "://" in url for url in table.annotations)
