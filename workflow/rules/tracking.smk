"""What makes a job stale: content, never a time stamp.

Needs: results/inventory/ and results/dataset/label_map.pbtxt as they are before the run.
Makes: results/provenance/, Snakemake's own records of what each result was made from: with the results in another
       place, or in a clone, it is still known what is up to date.

Snakemake compares what small inputs hold, but of those over 1 MB only the time stamps. So what can be large is an
ancient() input, which is waited for but triggers nothing, and what is followed in its place is either a sidecar, a small
file of digests that the same job writes, or a digest among the params.

An ancient() input must not be all that leads from one job to another: where the first one is stale, Snakemake does not
look at the params of the second any more, and that runs too late. So each comes with a sidecar of the same job, or with
no job at all.
"""

if LOCK and LOCK.held:
    with told_clearly():
        keep_records(".snakemake", "results/provenance")


def predict_label_map():
    """Return the label map as it will be in this run; a dry run must not write it."""
    folder = Path("results/inventory")
    classes = inventory.read_classes(folder) if folder.is_dir() else []
    return label_map.predict("results/dataset/label_map.pbtxt", classes, config["labels"]["classes"])


def follow_label_map():
    """See to it that a label map that was put in place or altered by hand is brought up to date.

    Snakemake takes a file without a record for made, and one with a record for what it was: without its second file, the
    job that writes both runs again.
    """
    written = Path("results/dataset/label_map.json")
    if written.exists() and label_map.altered("results/dataset/label_map.pbtxt", written):
        written.unlink()


with told_clearly():
    LABEL_MAP = predict_label_map()
    if LOCK and LOCK.held:
        follow_label_map()


def code_of(rule):
    """Return the digest of a rule's script and of all that it imports of the library.

    Snakemake itself sees a script's time stamp alone, which a fresh clone changes: profiles/default leaves that out.
    """
    return script_digest(rule)


@functools.cache
def manifest_digest(shard):
    """Return the digest of a shard's manifest."""
    return DIGESTS.get(shard) or manifest.digest(manifest.manifest_path("results/inventory", shard))


@functools.cache
def shard_classes():
    """Return the classes in use, by shard."""
    return inventory.read_shard_classes("results/inventory")


def class_ids(shard):
    """Return the ids of the classes in a shard: a class that is new elsewhere does not concern it."""
    return {name: LABEL_MAP[name] for name in shard_classes().get(shard, [])}


@functools.cache
def listing_digest():
    """Return the digest of the list of images to detect."""
    return sha256_of("results/inventory/detect.csv")
