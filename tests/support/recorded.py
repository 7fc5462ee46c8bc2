"""Where recorded market data is: `../shared/data` beside the project, or the folder HEDGEGRIDD_DATA names."""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("HEDGEGRIDD_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
BARS = FOLDER / "btc-perp-1m-2022-01-01..21.csv.gz"
ABSENT = f"recorded bars are not here: {BARS} (HEDGEGRIDD_DATA names their folder)"
