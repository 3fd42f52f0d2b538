"""What there is: every image and annotation of the sources, by meaning, as one small manifest per shard.

The main process scans the sources before the DAG is built. A manifest is written only when its content has changed, so
a touched file, a re-saved annotation with the same meaning or a copy of the whole project makes nothing stale.
Nothing is judged here but what concerns the match of images and annotations; the boxes stage does the rest.

From the first room to the last: `folders`, `buckets`, `listing`, `kinds`, `names` and `lists` (which files each source
has), `reading` and `tables` (what they hold), `pairing` (what their names settle), `claims`, `matching`, `origins` and
`finding` (which annotation is of which image where names do not tell, and images that are no files yet), `classes`,
`entries` and `placing` (the lines, their ids and shards), `pieces` and `workers` (the work, in parts and processes),
`scanning` (all of it), `manifests` (what is written), `refreshing` (as little of it as will do).
"""

from odtl.inventory.manifests import read_classes, read_origins, read_shard_classes, write
from odtl.inventory.refreshing import refresh
from odtl.inventory.scanning import Inventory, scan

__all__ = ["Inventory", "read_classes", "read_origins", "read_shard_classes", "refresh", "scan", "write"]
