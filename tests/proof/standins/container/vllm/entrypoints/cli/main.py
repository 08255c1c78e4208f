"""The command line of the stand-in: that of the scripted engine."""

import sys
from pathlib import Path

import torch_npu

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))
from scripted_engine import main

if __name__ == "__main__":
    torch_npu.autoload()
    sys.exit(main())
