"""Searches for images: each makes a list of addresses, a CSV that a data source can name as its `urls`.

A provider is a module here with a `Provider` (see `model`): pure functions from settings and page to a request, and
from an answer to images and the next page. One loop asks (see `asking` and `search`), for all of them.
"""

from odtl.searching.search import COLUMNS, PROVIDERS, search, search_images

__all__ = ["COLUMNS", "PROVIDERS", "search", "search_images"]
