// Read a TensorProto: type, dims, and where its elements are.
//
// Elements in raw_data, and a packed run of floats, are used where they lie. Those that are
// varints, or scattered over several fields, are counted first and decoded then.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/onnx_reader.h"
#include "core/protobuf.h"

namespace nigro {

// The type that an elem_type or data_type field names. Throws ModelError if a model may not use it.
DataType as_data_type(const protobuf::Field& field, const protobuf::Place& place);

// Read the message in 'bytes'; decoded elements are added to 'decoded'. Throws ModelError.
OnnxTensor read_tensor(OnnxDecoded& decoded, protobuf::Span bytes, const protobuf::Place& place);

}  // namespace nigro
