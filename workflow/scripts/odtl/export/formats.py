"""The formats of an export: what each is called, and where it lies."""

# Format -> its path in an export folder.
PATHS = {
    "saved_model": "saved_model",
    "frozen_graph": "frozen_inference_graph.pb",
    "tflite_float32": "detector_float32.tflite",
    "tflite_float16": "detector_float16.tflite",
    "tflite_dynamic": "detector_dynamic.tflite",
    "tflite_int8": "detector_int8.tflite",
    "onnx": "detector.onnx",
}
# TensorFlow Serving looks for numbers in the folder that it is given, and serves the highest.
VERSION = "1"
TITLES = {
    "saved_model": "SavedModel",
    "frozen_graph": "frozen graph",
    "tflite_float32": "TFLite, float32",
    "tflite_float16": "TFLite, float16 weights",
    "tflite_dynamic": "TFLite, int8 weights (dynamic range)",
    "tflite_int8": "TFLite, int8 throughout",
    "onnx": "ONNX",
}
# What trying the detector on images needs in any case.
NEEDED = "frozen_graph"


def wanted(formats: list[str]) -> list[str]:
    """Return the formats that are made where a configuration lists some, in the order of PATHS."""
    return [name for name in PATHS if name in {*formats, NEEDED}]
