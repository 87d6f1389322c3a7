# SPDX-License-Identifier: Apache-2.0
"""`python -m nigroedge` is the command `nigroedge`."""

import sys

from nigroedge.cli import main

sys.exit(main())
