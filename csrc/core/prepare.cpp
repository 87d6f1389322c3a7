// Make a patch ready for a network; see prepare.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/prepare.h"

#include <cstddef>
#include <string>

#include "core/error.h"

namespace nigro {
namespace {

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
    normalize(kernels, how, patch, grid.shape[0] * grid.shape[1] * grid.shape[2], patch);
    return coverage;
}

}  // namespace nigro
