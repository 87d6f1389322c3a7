# SPDX-License-Identifier: Apache-2.0
"""The commands of `python -m export`: a module each, with what they share in `arguments`.

To add one, write a module with a COMMAND and put it into COMMANDS. A module imports what it needs
when its command runs, so that --help waits for nothing.
"""

from export.commands import (
    cohort,
    from_onnx,
    from_savedmodel,
    from_torch,
    init,
    onnx,
    parity,
    quantize,
    reference,
    train,
)

#: Every command, in the order of the help.
COMMANDS = (
    init.COMMAND,
    train.COMMAND,
    onnx.COMMAND,
    quantize.COMMAND,
    from_torch.COMMAND,
    from_onnx.COMMAND,
    from_savedmodel.COMMAND,
    parity.COMMAND,
    reference.COMMAND,
    cohort.COMMAND,
)
