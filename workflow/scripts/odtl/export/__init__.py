"""A checkpoint as files that others can use, each of them proven to find what the checkpoint finds.

`choice` says which checkpoint, `graphs` and `converting` build, `reference` is what the checkpoint finds, `gate`
compares and publishes, `latency` measures, `metadata` and `model_card` say what there is.
"""
