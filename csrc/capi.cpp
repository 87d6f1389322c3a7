// The C face of the core: check what came, translate it, call the core, translate what it throws.
//
// No arithmetic here. The manual is include/nigroedge.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/model.h"
#include "core/processors.h"
#include "include/nigroedge.h"

struct nigro_model {
    nigro::Model model;
};

namespace {

using nigro::BadArgument;
using nigro::GeometryError;

// ---------------------------------------------------------------------------------------- errors

// The only memory that outlives a call: no allocation, so that it works when memory has run out.
constexpr std::size_t kTextBytes = 1024;
thread_local char last_error[kTextBytes];

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// Keeps the text as one line, cut between characters of UTF-8 where it is too long.
nigro_status failed(nigro_status status, const char* text) noexcept {
    std::size_t n = 0;
    for (; n + 1 < kTextBytes && text[n] != '\0'; ++n) {
        const bool is_control = static_cast<unsigned char>(text[n]) < 0x20 || text[n] == 0x7F;
        last_error[n] = is_control ? ' ' : text[n];
    }
    if (text[n] != '\0')
        while (n > 0 && continues_character(text[n])) --n;
    last_error[n] = '\0';
    return status;
}

// The status of the exception that is being handled; the only place that knows both.
nigro_status failed() noexcept {
    try {
        throw;
    } catch (const BadArgument& error) {
        return failed(NIGRO_BAD_ARGUMENT, error.what());
    } catch (const nigro::FileError& error) {
        return failed(NIGRO_CANNOT_READ, error.what());
    } catch (const nigro::ModelError& error) {
        return failed(NIGRO_BAD_MODEL, error.what());
    } catch (const nigro::Unsupported& error) {
        return failed(NIGRO_UNSUPPORTED, error.what());
    } catch (const GeometryError& error) {
        return failed(NIGRO_BAD_GEOMETRY, error.what());
    } catch (const nigro::DegeneratePatchError& error) {
        return failed(NIGRO_DEGENERATE_PATCH, error.what());
    } catch (const nigro::SideNotServed& error) {
        return failed(NIGRO_SIDE_NOT_SERVED, error.what());
    } catch (const nigro::NoThread& error) {
        return failed(NIGRO_NO_MEMORY, error.what());
    } catch (const std::bad_alloc&) {
        return failed(NIGRO_NO_MEMORY, "expected enough memory, got none");
    } catch (const std::length_error&) {  // a vector of more than the address space
        return failed(NIGRO_NO_MEMORY, "expected enough memory, got none");
    } catch (const std::exception& error) {
        return failed(NIGRO_INTERNAL, error.what());
    } catch (...) {
        return failed(NIGRO_INTERNAL, "unknown error");
    }
}

template <class Body>
nigro_status guarded(Body&& body) noexcept {
    try {
        body();
        return NIGRO_OK;
    } catch (...) {
        return failed();
    }
}

// ---------------------------------------------------------------------------------------- checks

void check_given(const void* pointer, const char* what) {
    if (pointer == nullptr) throw BadArgument(std::string("expected ") + what + ", got NULL");
}

void check_size(std::size_t given, std::size_t known, const char* what) {
    if (given != known)
        throw BadArgument(std::string("expected sizeof_") + what + " to be " +
                          std::to_string(known) + ", got " + std::to_string(given));
}

// As many as asked for, but no more than processors.
std::size_t threads_of(const nigro_options* options) {
    if (options == nullptr) return 1;
    check_size(options->sizeof_options, sizeof *options, "options");
    if (options->num_threads < 1 || options->num_threads > NIGRO_MAX_THREADS)
        throw BadArgument("expected num_threads of 1 to " + std::to_string(NIGRO_MAX_THREADS) +
                          ", got " + std::to_string(options->num_threads));
    const auto asked = static_cast<std::size_t>(options->num_threads);
    return asked == 1 ? 1 : std::min(asked, nigro::usable_processors());
}

// ----------------------------------------------------------------------------------- translation

using nigro::kernels::Stored;

struct Type {
    std::int32_t number;
    Stored stored;
    std::int64_t bytes;
};
constexpr Type kTypes[] = {
    {NIGRO_UINT8, Stored::u8, 1},    {NIGRO_INT8, Stored::i8, 1},
    {NIGRO_UINT16, Stored::u16, 2},  {NIGRO_INT16, Stored::i16, 2},
    {NIGRO_UINT32, Stored::u32, 4},  {NIGRO_INT32, Stored::i32, 4},
    {NIGRO_FLOAT32, Stored::f32, 4}, {NIGRO_FLOAT64, Stored::f64, 8},
};

const Type& checked_type(std::int32_t number) {
    for (const Type& type : kTypes)
        if (type.number == number) return type;
    throw BadArgument("expected a NIGRO_ type of voxels, got " + std::to_string(number));
}

// Offsets of all three axes together must fit a pointer difference.
constexpr std::int64_t kMaxReach = std::numeric_limits<std::ptrdiff_t>::max() / 4;

void check_shape(const nigro_volume& volume) {
    for (const std::int64_t n : volume.shape)
        if (n < 1 || n > std::numeric_limits<std::int32_t>::max())
            throw BadArgument("expected a shape of 1 to 2147483647 along each axis, got " +
                              std::to_string(n));
}

// As the caller has it, with zeros where it does not know a field yet.
nigro_volume grown(const nigro_volume& given) {
    constexpr std::size_t kBeforeHeld = offsetof(nigro_volume, held_begin);
    const std::size_t size = given.sizeof_volume;
    if (size != kBeforeHeld) check_size(size, sizeof given, "volume");
    nigro_volume volume{};
    std::memcpy(&volume, &given, size);
    return volume;
}

// Which voxels are in memory, along each axis.
struct HeldAxis {
    std::int64_t begin;
    std::int64_t n;
};
using Held = std::array<HeldAxis, 3>;

Held checked_held(const nigro_volume& volume) {
    const auto is_zero = [](std::int64_t index) { return index == 0; };
    const bool is_whole =
        std::all_of(std::begin(volume.held_begin), std::end(volume.held_begin), is_zero) &&
        std::all_of(std::begin(volume.held_end), std::end(volume.held_end), is_zero);
    Held held{};
    for (std::size_t i = 0; i < 3; ++i) {
        const std::int64_t begin = volume.held_begin[i];
        const std::int64_t end = is_whole ? volume.shape[i] : volume.held_end[i];
        if (begin < 0 || end <= begin || end > volume.shape[i])
            throw BadArgument("expected held_begin and held_end within a shape of " +
                              std::to_string(volume.shape[i]) + " along axis " + std::to_string(i) +
                              ", got " + std::to_string(begin) + " and " + std::to_string(end));
        held[i] = {begin, end - begin};
    }
    return held;
}

void check_stride(std::int64_t n, std::int64_t stride_bytes) {
    if (stride_bytes > kMaxReach / n || stride_bytes < -(kMaxReach / n))
        throw BadArgument("expected strides within the address space, got " +
                          std::to_string(stride_bytes) + " bytes for " + std::to_string(n) +
                          " voxels");
}

// Strides that were forgotten, counted in voxels or given twice make one voxel of many: a plausible
// image, and the wrong one.
void check_apart(const nigro_volume& volume, const Held& held, std::int64_t voxel_bytes) {
    const auto stride = [&](std::size_t axis) { return std::abs(volume.strides_bytes[axis]); };
    std::size_t order[3] = {0, 1, 2};  // by stride, the shortest first
    for (const std::size_t i : {0, 1, 0})
        if (stride(order[i]) > stride(order[i + 1])) std::swap(order[i], order[i + 1]);
    std::int64_t extent = voxel_bytes;
    for (const std::size_t axis : order) {
        if (held[axis].n == 1) continue;
        if (stride(axis) < extent)
            throw BadArgument("expected strides_bytes that keep voxels apart, got " +
                              std::to_string(volume.strides_bytes[axis]) + " along axis " +
                              std::to_string(axis));
        extent += stride(axis) * (held[axis].n - 1);
    }
}

void check_numbers(const nigro_volume& volume) {
    if (volume.swapped != 0 && volume.swapped != 1)
        throw BadArgument("expected swapped to be 0 or 1, got " + std::to_string(volume.swapped));
    if (!std::isfinite(volume.slope) || volume.slope == 0 || !std::isfinite(volume.intercept))
        throw BadArgument(
            "expected a finite intercept and a finite slope other than 0, got slope " +
            std::to_string(volume.slope) + " and intercept " + std::to_string(volume.intercept));
}

// Shape and affine, and no voxels.
nigro::VolumeView placed(const nigro_volume& volume) {
    check_shape(volume);
    const double* last = volume.affine + 12;
    if (!(last[0] == 0 && last[1] == 0 && last[2] == 0 && last[3] == 1))
        throw GeometryError("expected the affine's last row to be 0 0 0 1, got other numbers");
    nigro::VolumeView view{};
    for (std::size_t i = 0; i < 3; ++i) {
        view.shape[i] = static_cast<std::size_t>(volume.shape[i]);
        for (std::size_t j = 0; j < 4; ++j) view.affine[i][j] = volume.affine[4 * i + j];
    }
    return view;
}

nigro::VolumeView translated(const nigro_volume& volume) {
    check_given(volume.voxels, "voxels");
    const Type& type = checked_type(volume.type);
    check_numbers(volume);
    nigro::VolumeView view = placed(volume);
    const Held held = checked_held(volume);
    for (std::size_t i = 0; i < 3; ++i) {
        check_stride(held[i].n, volume.strides_bytes[i]);
        view.held.begin[i] = static_cast<std::size_t>(held[i].begin);
        view.held.end[i] = static_cast<std::size_t>(held[i].begin + held[i].n);
        view.strides[i] = static_cast<std::ptrdiff_t>(volume.strides_bytes[i]);
    }
    check_apart(volume, held, type.bytes);
    view.voxels = static_cast<const unsigned char*>(volume.voxels);
    view.type = type.stored;
    view.swapped = volume.swapped == 1;
    view.slope = volume.slope;
    view.intercept = volume.intercept;
    return view;
}

void check_points(std::size_t n_points) {
    if (n_points == 0) throw BadArgument("expected at least one point, got 0");
}

std::vector<nigro::Target> translated(std::size_t n_points, const std::int32_t* sides,
                                      const double* centres_mm) {
    std::vector<nigro::Target> targets;
    for (std::size_t i = 0; i < n_points; ++i) {
        if (sides[i] != NIGRO_LEFT && sides[i] != NIGRO_RIGHT)
            throw BadArgument("expected side " + std::to_string(i) +
                              " to be NIGRO_LEFT or NIGRO_RIGHT, got " + std::to_string(sides[i]));
        const double* centre = centres_mm + 3 * i;
        const auto side = sides[i] == NIGRO_LEFT ? nigro::Sides::left : nigro::Sides::right;
        targets.push_back({side, {centre[0], centre[1], centre[2]}});
    }
    return targets;
}

std::int32_t translated(nigro::Sides sides) { return static_cast<std::int32_t>(sides); }

}  // namespace

// ------------------------------------------------------------------------------------------- API

nigro_status nigro_model_open(const char* path, const nigro_options* options,
                              nigro_model** model_ret) {
    return guarded([&] {
        check_given(path, "a path");
        check_given(model_ret, "model_ret");
        const std::size_t n_threads = threads_of(options);
        const nigro::FileContent file = nigro::read_file(path, nigro::kMaxOnnxBytes);
        *model_ret = new nigro_model{nigro::Model(file.bytes.get(), file.size, n_threads)};
    });
}

nigro_status nigro_model_open_memory(const void* bytes, std::size_t n_bytes,
                                     const nigro_options* options, nigro_model** model_ret) {
    return guarded([&] {
        check_given(bytes, "bytes");
        check_given(model_ret, "model_ret");
        const std::size_t n_threads = threads_of(options);
        const auto* data = static_cast<const unsigned char*>(bytes);
        *model_ret = new nigro_model{nigro::Model(data, n_bytes, n_threads)};
    });
}

void nigro_model_free(nigro_model* model) { delete model; }

nigro_status nigro_predict(nigro_model* model, const nigro_volume* volume, std::size_t n_points,
                           const std::int32_t* sides, const double* centres_mm, float* sbr,
                           double* coverage) {
    return guarded([&] {
        check_given(model, "a model");
        check_given(volume, "a volume");
        check_given(sides, "sides");
        check_given(centres_mm, "centres_mm");
        check_given(sbr, "sbr");
        check_points(n_points);
        const nigro::VolumeView view = translated(grown(*volume));
        const std::vector<nigro::Prediction> predictions =
            model->model.predict(view, translated(n_points, sides, centres_mm));
        for (std::size_t i = 0; i < n_points; ++i) sbr[i] = predictions[i].sbr;
        if (coverage == nullptr) return;
        for (std::size_t i = 0; i < n_points; ++i) coverage[i] = predictions[i].coverage;
    });
}

nigro_status nigro_get_window(const nigro_model* model, const nigro_volume* volume,
                              std::size_t n_points, const std::int32_t* sides,
                              const double* centres_mm, std::int64_t* begin, std::int64_t* end) {
    return guarded([&] {
        check_given(model, "a model");
        check_given(volume, "a volume");
        check_given(sides, "sides");
        check_given(centres_mm, "centres_mm");
        check_given(begin, "begin");
        check_given(end, "end");
        check_points(n_points);
        const nigro::ImageWindow window =
            model->model.window_of(placed(grown(*volume)), translated(n_points, sides, centres_mm));
        for (std::size_t i = 0; i < 3; ++i) {
            begin[i] = static_cast<std::int64_t>(window.begin[i]);
            end[i] = static_cast<std::int64_t>(window.end[i]);
        }
    });
}

nigro_status nigro_predict_patches(nigro_model* model, const float* patches, std::size_t n_values,
                                   float* sbr, std::size_t n_patches) {
    return guarded([&] {
        check_given(model, "a model");
        check_given(patches, "patches");
        check_given(sbr, "sbr");
        const std::size_t n_voxels = model->model.spec().n_voxels();
        if (n_patches == 0 || n_values % n_voxels != 0 || n_values / n_voxels != n_patches)
            throw BadArgument("expected 1 or more patches of " + std::to_string(n_voxels) +
                              " values each, got " + std::to_string(n_patches) + " and " +
                              std::to_string(n_values) + " values");
        const std::vector<float> results = model->model.predict_patches(patches, n_patches);
        for (std::size_t i = 0; i < n_patches; ++i) sbr[i] = results[i];
    });
}

nigro_status nigro_get_model_info(const nigro_model* model, nigro_model_info* info) {
    return guarded([&] {
        check_given(model, "a model");
        check_given(info, "info");
        check_size(info->sizeof_info, sizeof *info, "info");
        const nigro::ModelSpec& spec = model->model.spec();
        for (std::size_t i = 0; i < 3; ++i) {
            info->patch_shape[i] = static_cast<std::int64_t>(spec.grid.shape[i]);
            info->spacing_mm[i] = spec.grid.spacing_mm[i];
            info->axes[i] = spec.grid.axes[i];
        }
        info->axes[3] = '\0';
        info->sides = translated(spec.served);
        info->mirrored = translated(spec.mirrored);
        info->num_threads = static_cast<std::int32_t>(model->model.n_threads());
        info->normalize = spec.normalize_name.c_str();
        info->isa = model->model.isa();
        info->card = spec.card.c_str();
    });
}

const char* nigro_last_error() { return last_error; }

int32_t nigro_usable_processors(void) {
    try {
        return static_cast<std::int32_t>(
            std::min<std::size_t>(nigro::usable_processors(), NIGRO_MAX_THREADS));
    } catch (...) {  // no memory to look closer
        return 1;
    }
}

const char* nigro_version() { return NIGRO_VERSION; }
