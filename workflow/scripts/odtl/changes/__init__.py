"""What changed since the last finished run, in the user's terms, and what that makes stale.

Nothing here decides what runs: Snakemake does, and its reasons are put into words. From the first room to the last:
`boxes` and `images` (what is otherwise in the manifests), `settings` (in the configuration), `last_run` (the record
to compare with), `staleness` (the jobs that run, and why), `telling` (all of it as text and as a table).
"""

from odtl.changes.images import ImageChange, compare_manifests
from odtl.changes.last_run import LastRun, keep_last_run, read_last_run
from odtl.changes.settings import SettingChange, compare_settings
from odtl.changes.staleness import StaleJob
from odtl.changes.telling import Changes, find_changes, tell, write_changes

__all__ = [
    "Changes",
    "ImageChange",
    "LastRun",
    "SettingChange",
    "StaleJob",
    "compare_manifests",
    "compare_settings",
    "find_changes",
    "keep_last_run",
    "read_last_run",
    "tell",
    "write_changes",
]
