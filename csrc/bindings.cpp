// The Python face of the core: check types and layout, release the GIL, call the core, translate.
//
// No arithmetic here, and no copy in silence: an array of the wrong type or layout is a TypeError.
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "core/error.h"
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
    } catch (const nigro::Unsupported& error) {
        raise_as("NigroedgeError", error);
    } catch (const nigro::kernels::UnavailableIsa& error) {
        raise_as("NigroedgeError", error);
    } catch (const nigro::BadArgument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
}

// --------------------------------------------------------------------------------- preprocessing

std::string active_isa() { return nigro::kernels::active().name; }

py::tuple available_isas() {
    const auto& tables = nigro::kernels::available();
    py::tuple names(tables.size());
    for (std::size_t i = 0; i < tables.size(); ++i) names[i] = tables[i].name;
    return names;
}

// ------------------------------------------------------------------------------------ model file

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "C++ core of nigroedge; use the functions of the nigroedge package instead.";
    py::register_exception_translator(translate);

    m.def("active_isa", &active_isa);
    m.def("available_isas", &available_isas);
}
