"""Packages of Debian, for tests that need programs of the system."""

import os
import shutil
import subprocess

SECONDS = 600


def install(*packages: str) -> str | None:
    """Install packages; return why that cannot be done, or None."""
    if not shutil.which("apt-get"):
        return f"{' and '.join(packages)} not installed, and there is no apt-get to install it with"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        try:
            done = subprocess.run(
                ["apt-get", "--quiet", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {command[0]} took more than {SECONDS} s"
        if done.returncode:
            return f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}"
    return None
