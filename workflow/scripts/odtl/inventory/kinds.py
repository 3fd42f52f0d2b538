"""Which files of an image folder are images: by their extension, or else by their first bytes.

What is an image must not go unseen because of its name. A name that says what else the file is, is believed; all others
are few, and what their first bytes said is kept.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from odtl.annotations.formats import FORMATS
from odtl.file_cache import FileCache, Key, read_files
from odtl.inventory.paths import IMAGE_EXTENSIONS
from odtl.signatures import begins_like_image
from odtl.sources import code_digest

# Of what lies beside images: annotations, tables and texts, code, archives, films and sounds, weights, and what editors
# and downloads leave behind.
OTHER_EXTENSIONS = frozenset(
    (
        *(ending for known in FORMATS.values() for ending in known.endings),
        *(".tsv", ".xlsx", ".xls", ".ods", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".names", ".data"),
        *(".pbtxt", ".prototxt", ".config"),
        *(".md", ".rst", ".html", ".htm", ".pdf", ".doc", ".docx", ".log", ".svg", ".css"),
        *(".js", ".py", ".ipynb", ".sh", ".bat", ".ps1", ".lock", ".db", ".sqlite"),
        *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"),
        *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wav", ".mp3", ".srt"),
        *(".npy", ".npz", ".pkl", ".mat", ".h5", ".hdf5", ".parquet", ".feather"),
        *(".pb", ".tflite", ".onnx", ".pt", ".pth", ".ckpt", ".index"),
        *(".bak", ".orig", ".tmp", ".part", ".partial", ".crdownload", ".swp", ".lnk", ".url", ".sha256", ".md5"),
    )
)
# More than the longest beginning that tells.
_HEAD = 64


def is_image_name(name: str) -> bool:
    """Say whether a file that was listed is an image, by its name.

    Files whose extension tells nothing are listed only where their first bytes are an image's.
    """
    return name[name.rfind(".") :].lower() not in OTHER_EXTENSIONS


def tells_nothing(name: str) -> bool:
    """Say whether a file's name leaves open whether it is an image."""
    extension = name[name.rfind(".") :].lower()
    return extension not in OTHER_EXTENSIONS and extension not in IMAGE_EXTENSIONS


def opened(files: Sequence[tuple[str, Key]], cache_path: str | os.PathLike | None) -> Collection[str]:
    """Return the paths of those files, (path, key) each, that begin as an image does.

    cache_path: where to keep that, so that only new and changed files are opened the next time; None: nowhere.
    """
    if not files and (cache_path is None or not Path(cache_path).exists()):
        return ()
    cache = FileCache(cache_path, f"1 {code_digest('signatures')}", "files without an image's extension")
    found = read_files([("head", path, key) for path, key in files], {"head": _begins}, cache)
    return {path for path, is_image in found.items() if is_image}


def _begins(path: str, key: Key) -> bool:
    try:
        with open(path, "rb", buffering=0) as stream:
            return begins_like_image(stream.read(_HEAD))
    except OSError:
        # By its name it is no image; that it cannot be opened does not make it one.
        return False
