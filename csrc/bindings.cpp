// The Python face of the core: check types and layout, release the GIL, call the core, translate.
//
// No arithmetic here, and no copy in silence: an array of the wrong type or layout is a TypeError.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/onnx_reader.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

// ---------------------------------------------------------------------------------------- errors

void raise_as(const char* name, const std::exception& error) {
    const py::object type = py::module_::import("nigroedge.errors").attr(name);
    PyErr_SetString(type.ptr(), error.what());
}

void translate(std::exception_ptr thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const nigro::GeometryError& error) {
        raise_as("GeometryError", error);
    } catch (const nigro::DegeneratePatchError& error) {
        raise_as("DegeneratePatchError", error);
    } catch (const nigro::ModelError& error) {
        raise_as("ModelError", error);
    } catch (const nigro::Unsupported& error) {
        raise_as("NigroedgeError", error);
    } catch (const nigro::BadArgument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
}

// --------------------------------------------------------------------------------- preprocessing

// ------------------------------------------------------------------------------------ model file

py::tuple to_tuple(const std::vector<std::int64_t>& dims) {
    py::tuple out(dims.size());
    for (std::size_t i = 0; i < dims.size(); ++i) out[i] = dims[i];
    return out;
}

py::list to_list(const std::vector<nigro::OnnxValue>& values) {
    py::list out;
    for (const nigro::OnnxValue& value : values)
        out.append(py::make_tuple(value.name, nigro::data_type_name(value.type),
                                  to_tuple(value.dims), value.batch_name));
    return out;
}

py::list to_list(const std::vector<nigro::OnnxTensor>& tensors) {
    py::list out;
    for (const nigro::OnnxTensor& tensor : tensors)
        out.append(py::make_tuple(tensor.name, nigro::data_type_name(tensor.type),
                                  to_tuple(tensor.dims), tensor.n_bytes));
    return out;
}

py::dict count_ops(const std::vector<nigro::OnnxNode>& nodes) {
    std::map<std::string_view, int> counts;
    for (const nigro::OnnxNode& node : nodes) ++counts[node.op_type];
    py::dict out;
    for (const auto& [op_type, count] : counts) out[py::str(op_type)] = count;
    return out;
}

nigro::OnnxModel parse_onnx(const py::bytes& content) {
    const std::string_view view = content;  // of the caller's object, which does not change
    const py::gil_scoped_release unlock;
    return nigro::read_onnx(reinterpret_cast<const unsigned char*>(view.data()), view.size());
}

py::dict read_onnx(const py::bytes& content) {
    const nigro::OnnxModel model = parse_onnx(content);
    py::dict metadata;
    for (const nigro::OnnxEntry& entry : model.metadata) metadata[py::str(entry.key)] = entry.value;
    return py::dict("ir_version"_a = model.ir_version, "opset"_a = model.opset,
                    "producer"_a = model.producer_name, "metadata"_a = metadata,
                    "inputs"_a = to_list(model.inputs), "outputs"_a = to_list(model.outputs),
                    "ops"_a = count_ops(model.nodes), "n_parameters"_a = model.n_parameters(),
                    "initializers"_a = to_list(model.initializers));
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "C++ core of nigroedge; use the functions of the nigroedge package instead.";
    py::register_exception_translator(translate);

    m.def(
        "read_onnx", &read_onnx, "content"_a,
        "Check a model file held in memory and say what is in it; no weights are copied.\n\n"
        "Returns a dict: ir_version, opset, producer, metadata (dict), inputs and outputs (lists\n"
        "of (name, type, dims, name of the batch dimension), -1 for an open batch), ops (dict of\n"
        "counts), n_parameters, initializers (list of (name, type, dims, n_bytes)).\n"
        "Raises ModelError.");
}
