// Make a patch ready for a network; see prepare.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/prepare.h"

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <string>

#include "core/error.h"

namespace nigro {
namespace {

// The least SD of a patch, as a part of its mean.
//
// Where an offset stays in the patch: noise alone has more, as no voxel of half a millimetre has a
// hundred times its noise for a signal, and nuclei that the mask darkens have ten times as much.
constexpr double kLeastContrast = 0.01;
// A patch of 20 mm and more holds cisterns, white matter and nuclei: it has 0.20 to 0.36 on 130
// simulated patches, and 0.29 on a patient's. Half of the least of them an image has whose
// logarithm was taken, or to which 1.6 times its mean was added.
constexpr double kLargeMm = 20;
constexpr double kLeastContrastOfLarge = 0.1;
// Where the normalisation takes an offset away, it is what float32 keeps beside the offset that
// counts: 512 steps, each 2^-23 of the mean at most, to the SD. Rounding to 256 moved answers of
// the bundled model by up to 1.3e-4 SBR, rounding to 1024 by 1.9e-5; 1e-4 is promised.
constexpr double kLeastSteps = 512;
constexpr double kStep = std::numeric_limits<float>::epsilon();

std::string text(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return buffer;
}

bool is_large(const PatchGrid& grid) {
    bool is_large = true;
    for (std::size_t axis = 0; axis < 3; ++axis)
        is_large &= static_cast<double>(grid.shape[axis]) * grid.spacing_mm[axis] >= kLargeMm;
    return is_large;
}

void check_contrast(const Statistics& patch, const Normalization& how, const PatchGrid& grid) {
    const double of_signal = is_large(grid) ? kLeastContrastOfLarge : kLeastContrast;
    const double least = how.keeps_signs() ? of_signal : kLeastSteps * kStep;
    if (patch.sd >= least * std::fabs(patch.mean)) return;
    throw DegeneratePatchError("expected a patch whose SD is at least " + text(least) +
                               " of its mean, as that of any SMWI is, got SD " + text(patch.sd) +
                               " and mean " + text(patch.mean) +
                               ": a wrong intercept, a logarithm, or no SMWI");
}

// Whether all voxels with the place `k` on `axis` are 0; mostly the first one is not.
bool is_empty(const float* patch, const PatchGrid& grid, std::size_t axis, std::size_t k) {
    std::size_t n_blocks = 1;  // of all that shares its place on the axes before this one
    std::size_t size = 1;      // of what shares its place on this axis too
    for (std::size_t i = 0; i < axis; ++i) n_blocks *= grid.shape[i];
    for (std::size_t i = axis + 1; i < 3; ++i) size *= grid.shape[i];
    for (std::size_t block = 0; block < n_blocks; ++block) {
        const float* const values = patch + (block * grid.shape[axis] + k) * size;
        for (std::size_t i = 0; i < size; ++i)
            if (values[i] != 0) return false;
    }
    return true;
}

void check_filled(const float* patch, const PatchGrid& grid) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
        std::size_t n_empty = 0;
        for (std::size_t k = 0; k < grid.shape[axis]; ++k)
            n_empty += is_empty(patch, grid, axis, k);
        if (n_empty == 0 || n_empty == grid.shape[axis]) continue;  // all: a constant patch
        throw DegeneratePatchError(
            "expected an image in every slice of the patch, got nothing but 0 in " +
            std::to_string(n_empty) + " of " + std::to_string(grid.shape[axis]) +
            " slices along its axis " + grid.axes[axis] +
            ": lost slices, or an image padded with zeros (cut them off)");
    }
}

}  // namespace

double prepare(const kernels::Kernels& kernels, const VolumeView& volume, const PatchGrid& grid,
               const Point& centre_mm, const Normalization& how, float* patch) {
    const double coverage = crop(kernels, volume, grid, centre_mm, patch);
    if (how.kind != Normalization::kZscoreNonzero) check_filled(patch, grid);
    const std::size_t n = grid.shape[0] * grid.shape[1] * grid.shape[2];
    check_contrast(normalize(kernels, how, patch, n, patch), how, grid);
    return coverage;
}

}  // namespace nigro
