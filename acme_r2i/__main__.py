"""``python -m acme_r2i`` is the `r2i` command."""

import sys

from acme_r2i.cli.main import main

sys.exit(main())
