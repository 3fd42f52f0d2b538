"""Images that show the same: identical files, the same picture saved again, and its mirror image.

From the first room to the last: `fingerprints` (what an image looks like, in 300 bytes), `hashes` (a shard's table of
them), `searching` (which of them are alike, without comparing each with each), `groups_file` (the groups that the
configuration names), `grouping` (what must stay together), `reporting` (which pairs are worth telling), `finding` (all
of it), `leaks` (may this be trained on?), `copies` (one file labelled twice).
"""
