"""The whole of it: files in, a folder of results out."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from odtl import images
from odtl.detecting.animations import Animation, open_animation, write_animation
from odtl.detecting.batches import Finder
from odtl.detecting.drafts import Drafts
from odtl.detecting.inputs import Inputs, Kind, find_inputs, kind_of
from odtl.detecting.names import class_name, output_names, video_names
from odtl.detecting.pictures import Picture, upright
from odtl.detecting.tables import UNREADABLE, UNREADABLE_COLUMNS, Tables, unreadable_rows
from odtl.detecting.telling import Progress, Summary, tell
from odtl.detecting.thresholds import Thresholds
from odtl.detecting.tiles import Tiling
from odtl.detecting.videos import VideoError
from odtl.detections import Detections
from odtl.detector import Detector
from odtl.drawing import LEAST_MOVING_SIDE, Mark, draw_marks
from odtl.errors import InputError, Problem, said_by
from odtl.files import atomic_folder, write_csv
from odtl.listing import limited

IMAGES, VIDEOS, DRAFTS = "images", "videos", "drafts"


@dataclass(frozen=True)
class Options:
    """What is wanted.

    score_threshold:  detections that score less are left out. class_thresholds: class -> its own threshold.
    batch_size:       most images of one size that are looked at together.
    tile, overlap:    images larger than `tile` pixels are cut into such squares, which share `overlap` of their side;
                      None: they are not cut.
    drafts:           whether images are written with a VOC XML beside each.
    every:            of a video, every so many frames are drafts; None: none is.
    allow_unreadable: False: InputError for what cannot be read, before anything is written.
    """

    score_threshold: float = 0.4
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    batch_size: int = 8
    tile: int | None = None
    overlap: float = 0.2
    drafts: bool = True
    every: int | None = None
    allow_unreadable: bool = True


def detect_inputs(
    model: str | os.PathLike,
    inputs: Inputs,
    output: str | os.PathLike,
    options: Options = Options(),
    max_images: int | None = None,
) -> Summary:
    """Detect objects in images and videos, and write what was found, as `detect_files` does.

    inputs:     see `find_inputs`. max_images: take no more than so many images, evenly spread, and all videos.
    Raises InputError where an input or the model is missing or damaged. A single bad image is no error.
    """
    found = find_inputs(inputs, Path(output))
    return detect_files(model, limited(found, max_images), output, options)


def detect_files(
    model: str | os.PathLike,
    files: Mapping[str, str | os.PathLike],
    output: str | os.PathLike,
    options: Options = Options(),
) -> Summary:
    """Detect objects in files and write what was found.

    model:  what `Detector.load` takes. files: name in the results (with `/` for sub-folders) -> path.
    output: a folder, written whole or not at all:
      images/              the images with boxes and labels, JPEG, in the same sub-folders (see `output_names`);
      videos/              the same of videos and animated GIFs, with their frame rate, length and size;
      detections.csv       `tables.CSV_COLUMNS`, one row per detection, best first per image or frame; pixels of the
                           upright image; images first, then videos, by name; `frame` (from 0) and `time` (seconds) are
                           empty for an image;
      detections_coco.json, images_coco.json   the same as COCO (see `tables`);
      drafts/              images with a VOC XML each (see `drafts`); frames of videos as `options.every` says;
      unreadable.csv       one row per file that could not be read, or not to its end.
    Raises InputError where the model or the options cannot be used.
    """
    detector = Detector.load(model)
    thresholds = Thresholds.of(detector.names, options.score_threshold, options.class_thresholds)
    tiling = Tiling(options.tile, options.overlap) if options.tile else None
    finder = Finder(detector.detect, thresholds, options.batch_size, tiling)
    with atomic_folder(output) as folder:
        job = _Job(folder, files, finder, detector.names, options)
        summary = job.run()
        write_csv(folder / UNREADABLE, UNREADABLE_COLUMNS, unreadable_rows(summary.unreadable))
        if summary.unreadable and not options.allow_unreadable:
            cure = "Mend or remove it, or allow it (`detect.allow_unreadable`)."
            raise InputError(Problem(file, "content", reason, cure) for file, reason in summary.unreadable)
    tell(summary, thresholds)
    return summary


class _Job:
    """One run: what it goes by, and where it stands."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str | os.PathLike],
        finder: Finder,
        names: Mapping[int, str],
        options: Options,
    ) -> None:
        self._folder, self._files, self._finder, self._names, self._options = folder, files, finder, names, options
        kinds = {file: kind_of(path) for file, path in files.items()}
        self._stills = [file for file, kind in kinds.items() if kind is Kind.IMAGE]
        self._videos = {file: kind for file, kind in kinds.items() if kind is not Kind.IMAGE}
        self._unreadable: list[tuple[str, str]] = []
        self._tables = Tables(folder, names)
        self._drafts = Drafts(folder / DRAFTS, names)
        self._progress = Progress(len(self._stills))

    def run(self) -> Summary:
        """Detect in all files; the folder is whole but for the table of what could not be read."""
        for name in (IMAGES, VIDEOS):
            (self._folder / name).mkdir()
        times = [time.perf_counter()]
        images_done = self._detect_images()
        times.append(time.perf_counter())
        videos_done = frames_done = 0
        names = video_names(list(self._videos))
        for file, kind in self._videos.items():
            frames = self._detect_video(file, kind, self._folder / VIDEOS / names[file])
            videos_done, frames_done = videos_done + bool(frames), frames_done + frames
        times.append(time.perf_counter())
        self._progress.close()
        self._tables.close()
        self._drafts.close()
        return Summary(
            images_done,
            self._tables.detections,
            tuple(self._unreadable),
            frames_done,
            videos_done,
            times[1] - times[0],
            times[2] - times[1],
        )

    def _detect_images(self) -> int:
        names, count = output_names(self._stills), 0
        for picture, found in self._finder.find(self._read_images()):
            path = self._folder / IMAGES / names[picture.file]
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without chroma subsampling, or the letters' colours run.
            drawn = draw_marks(picture.image, marks(found, self._names))
            drawn.save(path, "JPEG", quality=90, subsampling=0)
            if self._options.drafts:
                self._drafts.add(picture, found)
            self._tables.add(picture, found)
            self._progress.step()
            count += 1
        return count

    def _read_images(self) -> Iterator[Picture]:
        for index, file in enumerate(self._stills):
            try:
                data = images.read_bytes(self._files[file])
                image = upright(data)
            # A damaged file can make a decoder raise nearly anything, and one file must not cost all others.
            except Exception as error:
                self._skip(file, error)
                self._tables.leave_out(index)
                self._progress.step()
                continue
            yield Picture.of(file, image, index, data)

    def _detect_video(self, file: str, kind: Kind, path: Path) -> int:
        """Detect in a video or an animated GIF; return the number of its frames."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open_animation(self._files[file], kind) as animation:
                self._progress.grow(animation.stated)
                count = write_animation(path, animation, self._annotated(file, animation))
                if animation.trouble:
                    self._unreadable.append((file, animation.trouble))
                return count
        except (VideoError, images.ImageError) as error:
            self._skip(file, error)
            path.unlink(missing_ok=True)
            return 0

    def _annotated(self, file: str, animation: Animation) -> Iterator[Image.Image]:
        """Yield the frames of an animation with what was found drawn on them."""
        every = self._options.every
        for picture, found in self._finder.find(animation.pictures(file)):
            self._tables.add_frame(picture, found)
            if every and picture.frame % every == 0:
                self._drafts.add(picture, found)
            yield draw_marks(picture.image, marks(found, self._names), LEAST_MOVING_SIDE)
            self._progress.step()

    def _skip(self, file: str, error: Exception) -> None:
        self._unreadable.append((file, said_by(error)))


def marks(found: Detections, names: Mapping[int, str]) -> list[Mark]:
    """Return what is to be drawn for detections: the class's name and its score in per cent."""
    boxes: Iterable = zip(found.boxes.tolist(), found.scores, found.classes, strict=True)
    return [Mark(tuple(box), f"{class_name(names, number)} {score:.0%}", int(number)) for box, score, number in boxes]
