"""Arrow is kept from loading pandas, and finds it all the same when it is needed."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from builder.disk.parquet import without_pandas
without_pandas()
import pyarrow as pa
assert pa.array([1, None]).to_pylist() == [1, None]
assert "pandas" not in sys.modules
assert pa.table({"a": [1]}).to_pandas().shape == (1, 1)
"""


def test_pandas_is_loaded_only_for_a_data_frame() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
