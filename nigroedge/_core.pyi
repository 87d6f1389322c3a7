# SPDX-License-Identifier: Apache-2.0
"""What the compiled module offers; its functions are those of csrc/bindings.cpp."""

from typing import Any

def read_onnx(content: bytes) -> dict[str, Any]: ...
