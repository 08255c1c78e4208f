"""`python -m vlm_acceptance`: the same as `vlm-acceptance`."""

import sys

from vlm_acceptance.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
