"""Former name of `python -m vlm_acceptance.accuracy.mmmu`."""

import sys

from vlm_acceptance.accuracy.mmmu.__main__ import main

if __name__ == "__main__":
    sys.stderr.write("python -m vlm_acceptance.mmmu is now python -m vlm_acceptance.accuracy.mmmu\n")
    sys.exit(main())
