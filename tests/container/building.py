"""Building and running a container image without an engine: Debian's buildah, in a chroot, on a base by debootstrap."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import debian

PROGRAMS = ["buildah", "debootstrap"]
BASE = "localhost/debian:bookworm"
BASE_SECONDS, BUILD_SECONDS, RUN_SECONDS = 900, 3600, 1200


class CannotBuildError(Exception):
    """Why no image can be built on this machine."""


def install() -> None:
    """Install buildah and debootstrap where they are missing.

    Raises CannotBuildError where this is not root on a Debian, or the packages cannot be had.
    """
    if os.geteuid() != 0:
        raise CannotBuildError("only root can build in a chroot")
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if not missing:
        return
    if why := debian.install(*missing):
        raise CannotBuildError(why)


@dataclass(frozen=True)
class Builder:
    """A buildah of its own: all it stores is in `folder`."""

    folder: Path

    def call(self, command: str, *arguments: str, seconds: float = RUN_SECONDS) -> str:
        """Return what a command of buildah prints; raises AssertionError with the end of it where it fails."""
        storage = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        done = subprocess.run(
            ["buildah", *storage, "--storage-driver", "vfs", command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
        )
        assert done.returncode == 0, f"buildah {command}: status {done.returncode}\n{done.stdout[-5000:]}"
        return done.stdout.strip()

    def make_base(self) -> None:
        """Make a Debian to build on; it is there under the name BASE then.

        Raises CannotBuildError where its packages cannot be had.
        """
        system = self.folder / "debian"
        command = ["debootstrap", "--variant=minbase", "bookworm", str(system)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BASE_SECONDS)
        if done.returncode:
            raise CannotBuildError(f"debootstrap failed: {(done.stdout + done.stderr).strip()[-500:]}")
        container = self.call("from", "scratch")
        self.call("copy", "--quiet", container, str(system), "/")
        self.call("commit", "--quiet", "--rm", container, BASE)
        shutil.rmtree(system)

    def build(self, context: Path, name: str, **arguments: str) -> None:
        """Build a Dockerfile; packages come from where this machine's pip has them from."""
        seen = [f"--volume={here}:{there}:ro" for here, there in self._for_pip().items()]
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        own = ["--isolation=chroot", "--network=host", "--pull-never", "--quiet", f"--tag={name}"]
        self.call("build", *own, *seen, *given, str(context), seconds=BUILD_SECONDS)

    def run(self, container: str, *command: str, user: str | None = None, volumes: Sequence[str] = ()) -> str:
        """Return what a command prints in a container, run by its user or another; it has no network but loopback's."""
        options = ["--isolation=chroot", *(f"--volume={volume}" for volume in volumes)]
        options += [f"--user={user}"] if user else []
        return self.call("run", *options, container, "--", *command)

    def _for_pip(self) -> dict[str, str]:
        """Return what is mounted while an image is built: path here -> path there."""
        listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True).stdout
        found = re.findall(r"^(?::env:|\w+)\.([\w-]+)='(.*)'$", listed, flags=re.MULTILINE)
        settings = dict(found)
        seen = {}
        for name, value in settings.items():
            for path in {word.removeprefix("file://") for word in value.split()}:
                if not path.startswith("/") or not Path(path).exists():
                    continue
                if Path(path).is_dir():
                    # Where it holds folders alone, one for each package, these name files beside it.
                    holds_files = any(each.suffix in (".whl", ".gz", ".zip") for each in Path(path).iterdir())
                    folder = path if holds_files else str(Path(path).parent)
                    seen[folder] = folder
                else:
                    # Not where a package of the base has a file of its own.
                    seen[path] = f"/run/of-pip/{Path(path).name}"
                    settings[name] = settings[name].replace(path, seen[path])
        written = self.folder / "pip.conf"
        lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items())]
        written.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {**seen, str(written): "/etc/pip.conf"}
