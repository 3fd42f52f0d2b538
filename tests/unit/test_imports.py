"""What a job loads before it starts: TensorFlow takes seconds, and most stages have no use for it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
# The others build, run or read a model.
WITHOUT_TENSORFLOW = (
    "check_leaks",
    "check_strict",
    "compare_copies",
    "convert_coco",
    "convert_csv",
    "convert_labelbox",
    "convert_voc",
    "convert_yolo",
    "fetch_images",
    "fetch_pretrained",
    "find_duplicates",
    "gap_gate",
    "hash_images",
    "leak_gate",
    "make_boxes",
    "plot_learning_rate",
    "plot_pr_curve",
    "plot_training",
    "search_images",
    "tell_pipeline_config",
    "tidy",
    "write_card",
    "write_check",
    "write_label_map",
    "write_records",
    "write_split_tables",
    "write_summary",
    "write_yolo_data",
)


@pytest.mark.parametrize("script", WITHOUT_TENSORFLOW)
def test_script_does_not_import_tensorflow(script):
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8"))
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert any("odtl" in line for line in imports)
    code = "\n".join([*imports, "import sys", "sys.exit('tensorflow' in sys.modules or 'pandas' in sys.modules)"])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(SCRIPTS)})
