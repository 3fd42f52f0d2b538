"""A detector as a TFLite file that mobile clients read, and that file at work.

From the first room to the last: `converting` (a trained model becomes a file; the only one that needs TensorFlow),
`metadata` (what the file says of its input, outputs and labels, written and read, in the `tables` of a flatbuffer),
`preparing` (an image becomes the file's input), `running` (images in, detections out, with LiteRT).
"""

from odtl.tflite.converting import PRECISIONS, convert

__all__ = ["PRECISIONS", "convert"]
