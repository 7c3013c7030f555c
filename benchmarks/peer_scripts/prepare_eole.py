"""Count the pieces of training text with eole: python prepare_eole.py CONFIG.json."""

import sys
from types import ModuleType

# All of eole's commands are imported together, and one of them needs what its package does not ask for.
sys.modules["eole.bin.tools.load_test"] = ModuleType("load_test")

from eole.bin.main import main  # noqa: E402

if __name__ == "__main__":
    sys.argv[1:] = ["build_vocab", "-config", sys.argv[1]]
    main()
