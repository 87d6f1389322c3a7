// The Python face of the core: check types and layout, release the GIL, call the core, translate.
//
// No arithmetic here, and no copy in silence: an array of the wrong type or layout is a TypeError.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/crop.h"
#include "core/error.h"
#include "core/model.h"
#include "core/network.h"
#include "core/normalize.h"
#include "core/onnx_reader.h"
#include "core/prepare.h"
#include "core/processors.h"
#include "core/unwrap.h"
#include "kernels/dispatch.h"

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
    } catch (const nigro::NoThread& error) {
        raise_as("NigroedgeError", error);
    } catch (const nigro::Unsupported& error) {
        raise_as("NigroedgeError", error);
    } catch (const nigro::kernels::UnavailableIsa& error) {
        raise_as("NigroedgeError", error);
    } catch (const nigro::BadArgument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
}

// --------------------------------------------------------------------------------- preprocessing

using Patch = py::array_t<float, py::array::c_style>;
using Affine = py::array_t<double, 0>;  // of any strides

constexpr char kOtherOrder = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<';

struct NumpyType {
    char kind;
    py::ssize_t size;
    nigro::kernels::Stored type;
};
constexpr NumpyType kNumpyTypes[] = {
    {'u', 1, nigro::kernels::Stored::u8},  {'i', 1, nigro::kernels::Stored::i8},
    {'u', 2, nigro::kernels::Stored::u16}, {'i', 2, nigro::kernels::Stored::i16},
    {'u', 4, nigro::kernels::Stored::u32}, {'i', 4, nigro::kernels::Stored::i32},
    {'f', 4, nigro::kernels::Stored::f32}, {'f', 8, nigro::kernels::Stored::f64},
};

nigro::kernels::Stored stored_type(const py::dtype& dtype) {
    for (const NumpyType& known : kNumpyTypes)
        if (known.kind == dtype.kind() && known.size == dtype.itemsize()) return known.type;
    throw py::type_error(
        "expected voxels of 8, 16 or 32 bit integers or 32 or 64 bit floats, got " +
        py::str(dtype).cast<std::string>());
}

using Index = std::array<std::size_t, 3>;

void set_affine(nigro::VolumeView& view, const Affine& affine) {
    if (affine.ndim() != 2 || affine.shape(0) != 4 || affine.shape(1) != 4)
        throw py::type_error("expected an affine of shape (4, 4)");
    for (int row = 0; row < 3; ++row)
        for (int column = 0; column < 4; ++column)
            view.affine[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)] =
                affine.at(row, column);
}

// `voxels` is the part of an image of `shape` that begins at voxel `begin`.
void set_voxels(nigro::VolumeView& view, const py::array& voxels, const Index& begin,
                const Index& shape) {
    if (voxels.ndim() != 3)
        throw py::type_error("expected voxels of 3 dimensions, got " +
                             std::to_string(voxels.ndim()));
    const py::dtype dtype = voxels.dtype();
    view.voxels = static_cast<const unsigned char*>(voxels.data());
    view.type = stored_type(dtype);
    view.swapped = dtype.byteorder() == kOtherOrder;
    view.shape = shape;
    view.held.begin = begin;
    for (int axis = 0; axis < 3; ++axis) {
        const auto i = static_cast<std::size_t>(axis);
        const auto n = static_cast<std::size_t>(voxels.shape(axis));
        if (begin[i] > shape[i] || n > shape[i] - begin[i])
            throw nigro::BadArgument("expected voxels within an image of " +
                                     std::to_string(shape[i]) + " along axis " + std::to_string(i) +
                                     ", got " + std::to_string(n) + " from " +
                                     std::to_string(begin[i]) + " on");
        view.held.end[i] = begin[i] + n;
        view.strides[i] = voxels.strides(axis);
    }
}

nigro::PatchGrid grid_of(const Index& shape, const std::array<double, 3>& spacing_mm,
                         std::string_view axes, bool flipped) {
    if (axes.size() != 3)
        throw nigro::BadArgument("expected three axes such as 'ALI', got '" + std::string(axes) +
                                 "'");
    return {shape, spacing_mm, {axes[0], axes[1], axes[2]}, flipped};
}

Patch new_patch(const Index& shape) {
    return Patch(std::vector<py::ssize_t>(shape.begin(), shape.end()));
}

py::tuple patch_window(const Index& image_shape, const Affine& affine,
                       const nigro::Point& centre_mm, const Index& shape,
                       const std::array<double, 3>& spacing_mm, std::string_view axes,
                       bool flipped) {
    nigro::VolumeView volume{};
    volume.shape = image_shape;
    set_affine(volume, affine);
    const nigro::ImageWindow window =
        nigro::window_of(volume, grid_of(shape, spacing_mm, axes, flipped), centre_mm);
    return py::make_tuple(window.begin, window.end);
}

py::tuple crop_patch(const py::array& voxels, const Index& begin, const Index& image_shape,
                     const Affine& affine, double slope, double intercept,
                     const nigro::Point& centre_mm, const Index& shape,
                     const std::array<double, 3>& spacing_mm, std::string_view axes, bool flipped,
                     const std::optional<std::string>& method) {
    const auto& kernels = nigro::kernels::active();
    nigro::VolumeView volume{};
    set_voxels(volume, voxels, begin, image_shape);
    set_affine(volume, affine);
    volume.slope = slope;
    volume.intercept = intercept;
    const nigro::PatchGrid grid = grid_of(shape, spacing_mm, axes, flipped);
    std::optional<nigro::Normalization> normalization;
    if (method) normalization = nigro::normalization(*method);
    Patch patch = new_patch(shape);
    float* const values = patch.mutable_data();
    double coverage = 0;
    {
        py::gil_scoped_release unlock;
        coverage = normalization
                       ? nigro::prepare(kernels, volume, grid, centre_mm, *normalization, values)
                       : nigro::crop(kernels, volume, grid, centre_mm, values);
    }
    return py::make_tuple(std::move(patch), coverage);
}

Patch normalize(const Patch& patch, std::string_view method) {
    const auto& kernels = nigro::kernels::active();
    const nigro::Normalization normalization = nigro::normalization(method);
    Patch normalized(std::vector<py::ssize_t>(patch.shape(), patch.shape() + patch.ndim()));
    const float* const src = patch.data();
    float* const dst = normalized.mutable_data();
    const auto n = static_cast<std::size_t>(patch.size());
    {
        py::gil_scoped_release unlock;
        nigro::normalize(kernels, normalization, src, n, dst);
    }
    return normalized;
}

std::string active_isa() { return nigro::kernels::active().name; }

py::tuple available_isas() {
    const auto& tables = nigro::kernels::available();
    py::tuple names(tables.size());
    for (std::size_t i = 0; i < tables.size(); ++i) names[i] = tables[i].name;
    return names;
}

// ------------------------------------------------------------------------------------- unwrapping

using Floats = py::array_t<float, py::array::c_style>;
using Mask = py::array_t<bool, py::array::c_style>;

std::string describe_shape(const std::vector<std::size_t>& shape) {
    std::string text;
    for (const std::size_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
    return "(" + text + ")";
}

std::vector<std::size_t> shape_of(const py::array& array) {
    return std::vector<std::size_t>(array.shape(), array.shape() + array.ndim());
}

Floats unwrap(const Floats& phase, const Mask& mask, const Floats& reliability) {
    const std::vector<std::size_t> shape = shape_of(phase);
    if (shape.size() != 3 || shape != shape_of(mask) || shape != shape_of(reliability))
        throw nigro::BadArgument(
            "expected phase, mask and reliability of one shape (nx, ny, nz), got " +
            describe_shape(shape) + ", " + describe_shape(shape_of(mask)) + " and " +
            describe_shape(shape_of(reliability)));
    const nigro::PhaseImage image{{shape[0], shape[1], shape[2]},
                                  phase.data(),
                                  reinterpret_cast<const unsigned char*>(mask.data()),
                                  reliability.data()};
    Floats unwrapped(shape);
    float* const values = unwrapped.mutable_data();
    {
        const py::gil_scoped_release unlock;
        nigro::unwrap(image, values);
    }
    return unwrapped;
}

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

// ---------------------------------------------------------------------------------------- engine

using Patches = py::array_t<float, py::array::c_style>;

const nigro::kernels::Kernels& kernels_called(const std::optional<std::string>& isa) {
    if (!isa) return nigro::kernels::active();
    if (const auto* found = nigro::kernels::find(*isa)) return *found;
    throw nigro::BadArgument("expected an instruction set that runs here, got '" + *isa + "'");
}

std::unique_ptr<nigro::Network> open_network(const py::bytes& content, std::size_t threads,
                                             const std::optional<std::string>& isa) {
    const auto& kernels = kernels_called(isa);
    const std::string_view view = content;  // of the caller's object, which does not change
    const py::gil_scoped_release unlock;
    const nigro::OnnxModel model =
        nigro::read_onnx(reinterpret_cast<const unsigned char*>(view.data()), view.size());
    return std::make_unique<nigro::Network>(model, threads, kernels);
}

// (n, X, Y, Z) for a network of one channel, (n, channels, X, Y, Z) for any.
void check_patches(const nigro::Network& network, const Patches& patches) {
    const nigro::Extent& extent = network.patch();
    std::vector<std::size_t> expected{network.n_channels(), extent.x, extent.y, extent.z};
    if (patches.ndim() == 4 && network.n_channels() == 1) expected.erase(expected.begin());
    const py::ssize_t* const shape = patches.shape();
    const std::vector<std::size_t> got(shape + std::min<py::ssize_t>(patches.ndim(), 1),
                                       shape + patches.ndim());
    if (patches.ndim() > 0 && got == expected) return;
    throw nigro::BadArgument("expected n patches of shape " + describe_shape(expected) +
                             ", got n of " + describe_shape(got));
}

Floats run_network(nigro::Network& network, const Patches& patches) {
    check_patches(network, patches);
    Floats outputs(patches.shape(0));
    const float* const source = patches.data();
    float* const target = outputs.mutable_data();
    const auto n = static_cast<std::size_t>(patches.shape(0));
    {
        const py::gil_scoped_release unlock;
        network.run(source, n, target);
    }
    return outputs;
}

// The steps of a run, each (what, multiply-adds as defined, as computed, least seconds).
py::list time_steps(nigro::Network& network, const Patches& patches, std::size_t repeats) {
    check_patches(network, patches);
    std::vector<nigro::Network::StepTime> steps;
    {
        const py::gil_scoped_release unlock;
        steps =
            network.time_steps(patches.data(), static_cast<std::size_t>(patches.shape(0)), repeats);
    }
    py::list rows;
    for (const auto& step : steps)
        rows.append(py::make_tuple(step.what, step.direct, step.products, step.seconds));
    return rows;
}

Floats features_of(nigro::Network& network, const Patches& patches) {
    check_patches(network, patches);
    const nigro::Extent extent = network.feature_extent();
    Floats maps({static_cast<std::size_t>(patches.shape(0)), network.n_features(), extent.x,
                 extent.y, extent.z});
    const float* const source = patches.data();
    float* const target = maps.mutable_data();
    const auto n = static_cast<std::size_t>(patches.shape(0));
    {
        const py::gil_scoped_release unlock;
        network.features(source, n, target);
    }
    return maps;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "C++ core of nigroedge; use the functions of the nigroedge package instead.";
    py::register_exception_translator(translate);

    m.attr("MIN_COVERAGE") = nigro::kMinCoverage;
    m.attr("MIN_VOXEL_MM") = nigro::kMinVoxelMm;
    m.attr("MAX_VOXEL_MM") = nigro::kMaxVoxelMm;
    m.attr("MIN_SBR") = nigro::kMinSbr;
    m.attr("METRES_MM") = nigro::kMetresMm;
    m.attr("MIN_APART_MM") = nigro::kMinApartMm;
    m.attr("MAX_APART_MM") = nigro::kMaxApartMm;
    m.attr("MAX_SBR") = nigro::kMaxSbr;
    m.def("patch_window", &patch_window, "image_shape"_a, "affine"_a.noconvert(), "centre_mm"_a,
          "shape"_a, "spacing_mm"_a, "axes"_a, "flipped"_a);
    m.def("crop_patch", &crop_patch, "voxels"_a.noconvert(), "begin"_a, "image_shape"_a,
          "affine"_a.noconvert(), "slope"_a, "intercept"_a, "centre_mm"_a, "shape"_a,
          "spacing_mm"_a, "axes"_a, "flipped"_a, "method"_a = py::none());
    m.def(
        "keeps_signs",
        [](std::string_view method) { return nigro::normalization(method).keeps_signs(); },
        "method"_a);
    m.def("normalize", &normalize, "patch"_a.noconvert(), "method"_a);
    m.def("unwrap", &unwrap, "phase"_a.noconvert(), "mask"_a.noconvert(),
          "reliability"_a.noconvert());
    m.def("active_isa", &active_isa);
    m.def("available_isas", &available_isas);
    m.def("usable_processors", &nigro::usable_processors);
    m.def("processor_quota", &nigro::processor_quota, "root"_a);

    m.def(
        "read_onnx", &read_onnx, "content"_a,
        "Check a model file held in memory and say what is in it; no weights are copied.\n\n"
        "Returns a dict: ir_version, opset, producer, metadata (dict), inputs and outputs (lists\n"
        "of (name, type, dims, name of the batch dimension), -1 for an open batch), ops (dict of\n"
        "counts), n_parameters, initializers (list of (name, type, dims, n_bytes)).\n"
        "Raises ModelError.");

    py::class_<nigro::Network>(m, "Network", "The built-in engine with one network.")
        .def(py::init(&open_network), "content"_a, py::kw_only(), "threads"_a, "isa"_a = py::none())
        .def("run", &run_network, "patches"_a.noconvert())
        .def("features", &features_of, "patches"_a.noconvert())
        .def("time_steps", &time_steps, "patches"_a.noconvert(), py::kw_only(), "repeats"_a)
        .def_property_readonly("isa", [](const nigro::Network& network) { return network.isa(); })
        .def_property_readonly("threads", &nigro::Network::n_threads);
}
