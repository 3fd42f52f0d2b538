"""One shard's images, from where they can be had to files and a ledger."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from odtl.annotations.model import Origin
from odtl.buckets import in_bucket
from odtl.errors import InputError
from odtl.fetching.client import Client, UnfitError
from odtl.fetching.journal import Entry, Journal, recall
from odtl.fetching.ledger import FAILED, FETCHED, Row, check_failures, write_ledger
from odtl.fetching.policy import Policy
from odtl.fetching.storing import Kept, Store
from odtl.fetching.telling import Telling
from odtl.manifest import iterate_manifest
from odtl.origins import shown_url, version_url
from odtl.sidecars import write_sidecar

_IN_RECORD = "tfrecord:"


def fetch_shard(
    manifest_path: str | os.PathLike,
    ledger_path: str | os.PathLike,
    sidecar_path: str | os.PathLike,
    folder: str | os.PathLike,
    settings: Mapping[str, Any],
    failures_path: str | os.PathLike | None = None,
) -> None:
    """Fetch the images of a shard's manifest that are no files yet into `folder`, and write the ledger of them.

    sidecar_path: where to write how many there are, and the ledger's digest.
    settings:     the section `fetch` of the configuration.

    failures_path: where to write the rows of those that failed if they are too many.

    Raises InputError where more of them cannot be had than `max_failed` allows; what was fetched is kept all the same.
    """
    wanted = [(line.id, line.origin) for line in iterate_manifest(manifest_path) if line.origin is not None]
    rows = fetch_images(wanted, folder, Path(manifest_path).stem, Policy.from_settings(settings))
    check_failures(rows, settings["max_failed"], failures_path)
    write_ledger(ledger_path, rows)
    failed = sum(row.status == FAILED for row in rows)
    write_sidecar(sidecar_path, {"ledger": ledger_path}, images=len(rows), failed=failed)


def fetch_images(
    wanted: Sequence[tuple[str, Origin]],
    folder: str | os.PathLike,
    shard: str,
    policy: Policy,
    stream: TextIO | None = None,
) -> list[Row]:
    """Fetch images into `folder` and return what became of each, in the order in which they are wanted.

    wanted: id and origin of each image.
    shard:  under what name the journal is kept: see `journal`.
    stream: where to tell how it goes; by default stderr.

    What was fetched before and is still there, byte for byte, is not asked for again; what failed before is. An
    address is asked for once, however many images want it.
    """
    store = Store(folder)
    origins = dict(wanted)
    entries, elsewhere = recall(folder, shard, origins)
    rows = {}
    journal = Journal(folder, shard)
    try:
        for image, entry in entries.items():
            if row := _recalled(image, origins[image], entry, store, folder):
                rows[image] = row
                if image in elsewhere:
                    journal.add(entry)
        missing = [image for image in origins if image not in rows]
        telling = Telling(len(missing), stream)
        if rows:
            telling.say(f"{len(rows)} of {len(origins)} images are here already")
        try:
            for row in _fetch_missing(missing, origins, store, folder, policy, telling):
                rows[row.image] = row
                if row.status == FETCHED:
                    journal.add(_entry(row, origins[row.image]))
        finally:
            telling.close()
    finally:
        journal.close()
    return _mark_same([rows[image] for image, _ in wanted])


def _recalled(image: str, origin: Origin, entry: Entry, store: Store, folder: str | os.PathLike) -> Row | None:
    if entry.url != version_url(origin.url, origin.etag) or (origin.sha256 and origin.sha256 != entry.sha256):
        return None
    kept = store.recall(image, entry.sha256, entry.bytes, entry.format)
    return None if kept is None else _fetched(image, origin, entry.final_url, kept, folder)


def _entry(row: Row, origin: Origin) -> Entry:
    return Entry(row.image, version_url(origin.url, origin.etag), row.final_url, row.sha256, row.bytes, row.format)


def _fetch_missing(
    missing: Sequence[str],
    origins: Mapping[str, Origin],
    store: Store,
    folder: str | os.PathLike,
    policy: Policy,
    telling: Telling,
) -> Iterable[Row]:
    by_url: dict[str, list[str]] = {}
    for image in missing:
        by_url.setdefault(origins[image].url, []).append(image)

    def keep(url: str, data: bytes) -> list[Kept]:
        return [store.keep(image, data, origins[image].sha256) for image in by_url[url]]

    def rows(url: str, final_url: str, kept: Sequence[Kept] | None, error: str) -> Iterable[Row]:
        images = by_url[url]
        telling.count(len(images), bool(error))
        if kept is None:
            return [_failed(image, origins[image], final_url, error) for image in images]
        return [
            _fetched(image, origins[image], final_url, each, folder) for image, each in zip(images, kept, strict=True)
        ]

    for url in [url for url in by_url if url.startswith(_IN_RECORD)]:
        kept, error = _extract(url, keep)
        yield from rows(url, shown_url(url), kept, error)
    objects = {url: origins[images[0]].etag for url, images in by_url.items() if in_bucket(url)}
    if objects:
        # What asks buckets is optional.
        from odtl.fetching.objects import fetch_objects

        for outcome in fetch_objects(objects, policy, keep):
            yield from rows(outcome.url, outcome.final_url, outcome.kept, outcome.error)
    client: Client[list[Kept]] = Client(policy, keep, telling.say)
    for outcome in client.fetch([url for url in by_url if not url.startswith(_IN_RECORD) and url not in objects]):
        yield from rows(outcome.url, outcome.final_url, outcome.kept, outcome.error)


def _extract(url: str, keep: Callable[[str, bytes], list[Kept]]) -> tuple[list[Kept] | None, str]:
    # What reads records takes its time to load.
    from odtl.annotations.tfrecord import read_image

    try:
        return keep(url, read_image(url)), ""
    except UnfitError as error:
        return None, str(error)
    except InputError as error:
        return None, error.problems[0].found


def _fetched(image: str, origin: Origin, final_url: str, kept: Kept, folder: str | os.PathLike) -> Row:
    return Row(
        image,
        shown_url(origin.url),
        FETCHED,
        final_url,
        (Path(folder) / kept.path).as_posix(),
        kept.sha256,
        kept.bytes,
        kept.format,
        origin.licence,
        origin.source,
        label=origin.label,
    )


def _failed(image: str, origin: Origin, final_url: str, error: str) -> Row:
    url, words = shown_url(origin.url), " ".join(error.split())[:500]
    return Row(
        image, url, FAILED, final_url, licence=origin.licence, source=origin.source, error=words, label=origin.label
    )


def _mark_same(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with `same_as` filled in."""
    first: dict[str, str] = {}
    marked = []
    for row in rows:
        other = first.setdefault(row.sha256, row.image) if row.sha256 else row.image
        marked.append(row if other == row.image else replace(row, same_as=other))
    return marked
