"""Former name of `python -m vlm_acceptance.run.compare`."""

import sys

from vlm_acceptance.run.compare import main

if __name__ == "__main__":
    sys.stderr.write("python -m vlm_acceptance.compare is now python -m vlm_acceptance.run.compare\n")
    sys.exit(main())
