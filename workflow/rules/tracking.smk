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

from odtl.fetching.ledger import files_are_there

if LOCK and LOCK.held:
    with told_clearly():
        keep_records(".snakemake", "results/provenance")


def predict_label_map():
    """Return the label map as it will be in this run; a dry run must not write it."""
    listed = Path(bring("results/inventory/classes.txt")).exists()
    classes = inventory.read_classes("results/inventory") if listed else []
    # Where jobs run on other machines, the map as they left it is not here.
    path = bring("results/dataset/label_map.pbtxt", again=bool(LOCK and LOCK.held))
    return label_map.predict(path, classes, config["labels"]["classes"])


def follow_label_map():
    """See to it that a label map that was put in place or altered by hand is brought up to date.

    Snakemake takes a file without a record for made, and one with a record for what it was: without its second file, the
    job that writes both runs again.
    """
    written = Path(bring("results/dataset/label_map.json", again=True))
    if written.exists() and label_map.altered("results/dataset/label_map.pbtxt", written):
        forget(written)


@functools.cache
def origins():
    """Return a digest of what is to be fetched, by shard; shards without are left out."""
    listed = Path(bring("results/inventory/origins.json")).exists()
    return inventory.read_origins("results/inventory") if listed else {}


def origins_digest(shard):
    """Return a digest of what a shard's job is to fetch; no job may go by it where the sources cannot be read."""
    if REFUSAL:
        raise WorkflowError(str(REFUSAL))
    return origins().get(shard, "")


def fetched_ledgers(shards):
    """Return the ledgers of those of some shards that have anything to fetch."""
    return [f"results/fetched/{shard}.csv" for shard in shards if shard in origins()]


def fetched_sidecars(shards):
    """Return the sidecars of the same ledgers."""
    return [f"results/fetched/{shard}.json" for shard in shards if shard in origins()]


def follow_fetched():
    """See to it that images that are gone, or are not as large as they were, are fetched before they are needed again.

    They are nobody's declared output, so Snakemake does not miss them; but where a job reads images, it asks for the
    sidecars of what was fetched, and one that is gone is made first. Nothing else becomes stale by that: records that
    are made need no images any more. Where jobs do not share this folder, their images cannot be seen from here.
    """
    for shard in origins() if SHARED else ():
        ledger, sidecar = (Path(bring(f"results/fetched/{shard}{ending}")) for ending in (".csv", ".json"))
        if ledger.exists() and sidecar.exists() and not files_are_there(ledger):
            forget(sidecar)


with told_clearly():
    LABEL_MAP = predict_label_map()
    if LOCK and LOCK.held:
        follow_label_map()
        follow_fetched()


def code_of(rule):
    """Return the digest of a rule's script and of all that it imports of the library.

    Snakemake itself sees a script's time stamp alone, which a fresh clone changes: profiles/default leaves that out.
    """
    return script_digest(rule)


@functools.cache
def manifest_digest(shard):
    """Return the digest of a shard's manifest; no job may go by it where the sources cannot be read."""
    if REFUSAL:
        raise WorkflowError(str(REFUSAL))
    return DIGESTS.get(shard) or manifest.digest(bring(manifest.manifest_path("results/inventory", shard)))


@functools.cache
def known_digests():
    """Return what `part_digests` was for each shard, beside the digest of the manifest that it was read from."""
    return scratch.load(f"{STATE}/part-digests", "digests 1") or {}


def part_digests(shard):
    """Return digests of parts of a manifest, which is read only where it is another than before.

    `images`: which there are, and what their files hold. `placing`: which are used, and their groups.
    """
    known, found = known_digests(), manifest_digest(shard)
    if known.get(shard, {}).get("manifest") != found:
        lines = manifest.read_manifest(bring(manifest.manifest_path("results/inventory", shard)))
        parts = {"images": manifest.image_digest(lines), "placing": manifest.placing_digest(lines)}
        known[shard] = {"manifest": found, **parts}
        if LOCK and LOCK.held:
            keep_digests()
    return known[shard]


@functools.cache
def keep_digests():
    """Keep what `part_digests` has found, once, as the process ends: they would be written anew for each shard."""

    def keep():
        with contextlib.suppress(OSError):
            scratch.save(f"{STATE}/part-digests", "digests 1", known_digests())

    atexit.register(keep)


def placing_digests():
    """Return a digest of which images of each shard are used, and of their groups."""
    return {shard: part_digests(shard)["placing"] for shard in all_shards("{shard}")}


@functools.cache
def shard_classes():
    """Return the classes in use, by shard."""
    bring("results/inventory/classes.json")
    return inventory.read_shard_classes("results/inventory")


def class_ids(shard):
    """Return the ids of the classes in a shard: a class that is new elsewhere does not concern it."""
    return {name: LABEL_MAP[name] for name in shard_classes().get(shard, [])}


@functools.cache
def listing_digest():
    """Return the digest of the list of images to detect."""
    return sha256_of(bring("results/inventory/detect.csv"))
