"""SciPy reads SCIPY_ARRAY_API once, when it is imported: pytest reads this file before the tests beside it."""

import os
import sys
from pathlib import Path

os.environ["SCIPY_ARRAY_API"] = "1"
sys.path.append(str(Path(__file__).parent))
