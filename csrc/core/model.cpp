// A model: network, use and self-test; see model.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/model.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/normalize.h"
#include "core/prepare.h"
#include "kernels/dispatch.h"

namespace nigro {
namespace {

// What every float32 engine promises against the engine that wrote the file (numeric contract).
constexpr double kSelftestTolerance = 1e-4;

const kernels::Kernels& active_kernels() {
    try {
        return kernels::active();
    } catch (const kernels::UnavailableIsa& error) {
        throw Unsupported(error.what());
    }
}

std::string text(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.9g", value);
    return buffer;
}

const char* name(Sides side) { return side == Sides::left ? "left" : "right"; }

// ------------------------------------------------------------------------------------- self-test

// The procedural patch of the model contract: the generator of Numerical Recipes (1664525,
// 1013904223), the upper 24 bits of each number as a value in [0.5, 1.5).
std::vector<float> selftest_patch(const kernels::Kernels& kernels, const ModelSpec& spec) {
    std::vector<float> patch(spec.n_voxels());
    std::uint32_t u = 1;
    for (float& voxel : patch) {
        u = 1664525U * u + 1013904223U;
        voxel = static_cast<float>(u >> 8) / 16777216.0F + 0.5F;
    }
    normalize(kernels, spec.normalize, patch.data(), patch.size(), patch.data());
    return patch;
}

void check_selftest(float sbr, const ModelSpec& spec, const char* isa) {
    const double gap = std::abs(static_cast<double>(sbr) - static_cast<double>(spec.selftest_sbr));
    if (gap <= kSelftestTolerance) return;  // false for NaN
    throw ModelError("expected the self-test to give " +
                     text(static_cast<double>(spec.selftest_sbr)) + " SBR within " +
                     text(kSelftestTolerance) + ", got " + text(static_cast<double>(sbr)) +
                     " from the built-in engine (" + isa + ")");
}

// --------------------------------------------------------------------------------------- targets

void check_served(const ModelSpec& spec, const std::vector<Target>& targets) {
    for (const Target& target : targets)
        if (!contains(spec.served, target.side))
            throw SideNotServed(std::string("expected a model that serves the ") +
                                name(target.side) + " side, got one that serves the " +
                                name(spec.served) + " side only");
}

// Centroids in metres lie in the image too.
void check_millimetres(const Point& centre) {
    const double farthest =
        std::max({std::abs(centre[0]), std::abs(centre[1]), std::abs(centre[2])});
    if (farthest == 0 || farthest >= kMetresMm) return;
    throw GeometryError("expected a centroid in millimetres, got " + text(centre[0]) + ", " +
                        text(centre[1]) + ", " + text(centre[2]) + ": metres?");
}

// Left and right swapped gives two plausible numbers; so does one side marked twice.
void check_centres(const std::vector<Target>& targets) {
    double left = -std::numeric_limits<double>::infinity();
    double right = std::numeric_limits<double>::infinity();
    for (const Target& target : targets) {
        check_millimetres(target.centre_mm);
        if (target.side == Sides::left) left = std::max(left, target.centre_mm[0]);
        if (target.side == Sides::right) right = std::min(right, target.centre_mm[0]);
    }
    if (left >= right)
        throw GeometryError(
            "expected the left centroid to have a smaller x than the right one (RAS: x grows to "
            "the patient's right), got " +
            text(left) + " and " + text(right) + " mm");
    const double apart = right - left;  // infinite where there is one side alone
    if (apart < kMinApartMm || (apart > kMaxApartMm && std::isfinite(apart)))
        throw GeometryError("expected the left and the right centroid " + text(kMinApartMm) +
                            " to " + text(kMaxApartMm) +
                            " mm apart along x (not millimetres, or a slip?), got " + text(left) +
                            " and " + text(right) + " mm");
}

bool has_negative(const float* patch, std::size_t n) {
    bool found = false;
    for (std::size_t i = 0; i < n; ++i) found |= patch[i] < 0;  // no way out early: it vectorises
    return found;
}

// Errors of a patch say which side it was.
template <class Error>
[[noreturn]] void rethrow_about(Sides side, const Error& error) {
    throw Error(std::string(name(side)) + " side: " + error.what());
}

double prepared(const kernels::Kernels& kernels, const VolumeView& volume, const ModelSpec& spec,
                const Target& target, float* patch) try {
    const std::size_t n = spec.n_voxels();
    const double coverage = nigro::prepare(kernels, volume, spec.grid_for(target.side),
                                           target.centre_mm, spec.normalize, patch);
    // SMWI is a magnitude times a mask of 0 to 1. Where a patch keeps its signs, phase, frequency
    // and susceptibility maps are told from it here.
    if (spec.normalize.keeps_signs() && has_negative(patch, n))
        throw DegeneratePatchError("expected SMWI, which is never negative, got negative voxels");
    return coverage;
} catch (const GeometryError& error) {
    rethrow_about(target.side, error);
} catch (const DegeneratePatchError& error) {
    rethrow_about(target.side, error);
}

// A network answers anything; what no pair of scans can measure comes of a patch unlike any that it
// learned from: a spike, slices that were lost, another image.
void check_possible(Sides side, float sbr) {
    if (sbr >= kMinSbr && sbr <= kMaxSbr) return;
    throw DegeneratePatchError(std::string(name(side)) + " side: expected an SBR of " +
                               text(kMinSbr) + " to " + text(kMaxSbr) + ", the model answers " +
                               text(static_cast<double>(sbr)) +
                               ": a spike in the image, lost slices, or no SMWI");
}

ImageWindow window_of_target(const VolumeView& volume, const ModelSpec& spec,
                             const Target& target) try {
    return window_of(volume, spec.grid_for(target.side), target.centre_mm);
} catch (const GeometryError& error) {
    rethrow_about(target.side, error);
}

}  // namespace

Model::Model(const unsigned char* data, std::size_t size, std::size_t n_threads)
    : Model(read_onnx(data, size), n_threads) {}

Model::Model(const OnnxModel& onnx, std::size_t n_threads)
    : spec_(read_model_spec(onnx)),
      kernels_(active_kernels()),
      network_(onnx, n_threads, kernels_) {
    const std::vector<float> patch = selftest_patch(kernels_, spec_);
    check_selftest(run(patch.data(), 1)[0], spec_, isa());
}

std::vector<Prediction> Model::predict(const VolumeView& volume,
                                       const std::vector<Target>& targets) {
    check_served(spec_, targets);
    check_centres(targets);
    const std::size_t n_voxels = spec_.n_voxels();
    std::vector<Prediction> predictions(targets.size());
    std::vector<float> patches(targets.size() * n_voxels);
    for (std::size_t i = 0; i < targets.size(); ++i)
        predictions[i].coverage =
            prepared(kernels_, volume, spec_, targets[i], patches.data() + i * n_voxels);
    const std::vector<float> sbr = run(patches.data(), targets.size());
    for (std::size_t i = 0; i < targets.size(); ++i) {
        check_possible(targets[i].side, sbr[i]);
        predictions[i].sbr = sbr[i];
    }
    return predictions;
}

ImageWindow Model::window_of(const VolumeView& volume, const std::vector<Target>& targets) const {
    check_served(spec_, targets);
    check_centres(targets);
    ImageWindow hull{volume.shape, {0, 0, 0}};
    for (const Target& target : targets) {
        const ImageWindow window = window_of_target(volume, spec_, target);
        for (std::size_t i = 0; i < 3; ++i) {
            hull.begin[i] = std::min(hull.begin[i], window.begin[i]);
            hull.end[i] = std::max(hull.end[i], window.end[i]);
        }
    }
    return hull;
}

std::vector<float> Model::predict_patches(const float* patches, std::size_t n) {
    const std::size_t n_voxels = spec_.n_voxels();
    for (std::size_t i = 0; i < n; ++i)
        if (!std::isfinite(kernels_.moments(patches + i * n_voxels, n_voxels, 0).squares))
            throw DegeneratePatchError("expected finite values in patch " + std::to_string(i) +
                                       ", got NaN or infinity");
    return run(patches, n);
}

std::vector<float> Model::run(const float* patches, std::size_t n) {
    std::vector<float> sbr(n);
    network_.run(patches, n, sbr.data());
    for (const float answer : sbr)
        if (!std::isfinite(answer))
            throw ModelError("expected the model to answer with a finite number, got " +
                             text(static_cast<double>(answer)));
    return sbr;
}

}  // namespace nigro
