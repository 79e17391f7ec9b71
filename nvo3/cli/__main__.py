"""`python -m nvo3.cli`: the nvo3 command."""

import sys

from nvo3.cli.main import main

sys.exit(main())
