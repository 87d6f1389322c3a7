// Cut a patch out of an image: copy what lies inside, then extend its faces.
// SPDX-License-Identifier: Apache-2.0
#include "core/crop.h"

#include <algorithm>

#include "core/gather.h"
#include "core/resample.h"

namespace nigro {
namespace {

// A patch in C order and the part of it, [begin, end) of each axis, that lies inside the image.
struct Patch {
    float* values;
    const Placement& placement;

    std::size_t n(std::size_t axis) const { return placement.axes[axis].n_patch; }
    std::size_t begin(std::size_t axis) const { return placement.axes[axis].begin; }
    std::size_t end(std::size_t axis) const { return placement.axes[axis].end; }
    float* row(std::size_t a, std::size_t b) const { return values + (a * n(1) + b) * n(2); }
};

std::array<Range, 3> copied_ranges(const Placement& placement) {
    std::array<Range, 3> ranges{};
    for (std::size_t i = 0; i < 3; ++i) {
        const PlacedAxis& axis = placement.axes[i];
        const auto begin = static_cast<std::size_t>(axis.position_of(axis.begin));
        ranges[i] = {begin, begin + (axis.end - axis.begin)};
    }
    return ranges;
}

void copy_inside(const kernels::Kernels& kernels, const VolumeView& volume, const Patch& patch) {
    const std::array<Range, 3> ranges = copied_ranges(patch.placement);
    check_held(volume, window_of(patch.placement, ranges));
    Box box{volume.voxels, {}, {}};
    for (std::size_t i = 0; i < 3; ++i) box.set_axis(i, volume, patch.placement.axes[i], ranges[i]);
    gather(kernels, volume, box,
           {patch.row(patch.begin(0), patch.begin(1)) + patch.begin(2),
            {static_cast<std::ptrdiff_t>(patch.n(1) * patch.n(2)),
             static_cast<std::ptrdiff_t>(patch.n(2))}});
}

void extend_row(const Patch& patch, float* row) {
    std::fill(row, row + patch.begin(2), row[patch.begin(2)]);
    std::fill(row + patch.end(2), row + patch.n(2), row[patch.end(2) - 1]);
}

void extend_plane(const Patch& patch, std::size_t a) {
    for (std::size_t b = patch.begin(1); b < patch.end(1); ++b) extend_row(patch, patch.row(a, b));
    for (std::size_t b = 0; b < patch.begin(1); ++b)
        std::copy_n(patch.row(a, patch.begin(1)), patch.n(2), patch.row(a, b));
    for (std::size_t b = patch.end(1); b < patch.n(1); ++b)
        std::copy_n(patch.row(a, patch.end(1) - 1), patch.n(2), patch.row(a, b));
}

// The edge rule: voxels outside repeat the nearest one inside, one axis after another.
void extend(const Patch& patch) {
    const std::size_t plane = patch.n(1) * patch.n(2);
    for (std::size_t a = patch.begin(0); a < patch.end(0); ++a) extend_plane(patch, a);
    for (std::size_t a = 0; a < patch.begin(0); ++a)
        std::copy_n(patch.row(patch.begin(0), 0), plane, patch.row(a, 0));
    for (std::size_t a = patch.end(0); a < patch.n(0); ++a)
        std::copy_n(patch.row(patch.end(0) - 1, 0), plane, patch.row(a, 0));
}

void cut(const kernels::Kernels& kernels, const VolumeView& volume, const Placement& placement,
         float* patch) {
    if (!placement.is_copy) return resample(kernels, volume, placement, patch);
    const Patch copied{patch, placement};
    copy_inside(kernels, volume, copied);
    if (placement.coverage < 1) extend(copied);
}

// Turns a patch round along one axis, as numpy.flip does.
void flip(float* patch, const std::array<std::size_t, 3>& shape, std::size_t axis) {
    std::size_t n_blocks = 1;  // of all that shares its place on the axes before this one
    std::size_t size = 1;      // of what shares its place on this axis too
    for (std::size_t i = 0; i < axis; ++i) n_blocks *= shape[i];
    for (std::size_t i = axis + 1; i < 3; ++i) size *= shape[i];
    const std::size_t n = shape[axis];
    for (std::size_t block = 0; block < n_blocks; ++block, patch += n * size)
        for (std::size_t k = 0; k < n / 2; ++k)
            std::swap_ranges(patch + k * size, patch + (k + 1) * size, patch + (n - 1 - k) * size);
}

// A flipped grid is cut as its mirrored one.
Placement placed(const VolumeView& volume, const PatchGrid& grid, const Point& centre_mm) {
    return place(volume, grid.flipped ? mirrored(grid) : grid, centre_mm);
}

}  // namespace

double crop(const kernels::Kernels& kernels, const VolumeView& volume, const PatchGrid& grid,
            const Point& centre_mm, float* patch) {
    const Placement placement = placed(volume, grid, centre_mm);
    cut(kernels, volume, placement, patch);
    if (grid.flipped) flip(patch, grid.shape, lateral_axis(grid));
    return placement.coverage;
}

ImageWindow window_of(const VolumeView& volume, const PatchGrid& grid, const Point& centre_mm) {
    const Placement placement = placed(volume, grid, centre_mm);
    return window_of(placement,
                     placement.is_copy ? copied_ranges(placement) : resampled_ranges(placement));
}

}  // namespace nigro
