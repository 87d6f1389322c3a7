// Stored voxels of a box, in any order and direction, as float32 in C order.
//
// Voxels are converted in runs, along the axis on which they lie side by side in memory. Where that
// is not the last axis of the destination, runs are transposed into place as they are converted: a
// scan stored x first, cut for a patch whose last axis is z, would otherwise be read voxel by
// voxel. SPDX-License-Identifier: Apache-2.0
#include "core/gather.h"

#include <algorithm>

namespace nigro {
namespace {

using kernels::Kernels;

std::ptrdiff_t signed_size(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }

std::size_t size_of(kernels::Stored type) {
    constexpr std::size_t kSizes[kernels::kStoredTypes] = {1, 1, 2, 2, 4, 4, 4, 8};
    return kSizes[static_cast<std::size_t>(type)];
}

std::size_t slot(const VolumeView& image) { return static_cast<std::size_t>(image.type); }

// Where row (a, b) of the box begins, and where it goes.
const unsigned char* source_row(const Box& box, std::size_t a, std::size_t b) {
    return box.first + signed_size(a) * box.strides[0] + signed_size(b) * box.strides[1];
}

float* target_row(const Destination& target, std::size_t a, std::size_t b) {
    return target.first + signed_size(a) * target.strides[0] + signed_size(b) * target.strides[1];
}

// No axis is contiguous: voxel by voxel.
void gather_scattered(const Kernels& kernels, const VolumeView& image, const Box& box,
                      const Destination& target) {
    const kernels::LoadStrided load = kernels.load_strided[slot(image)][image.swapped];
    for (std::size_t a = 0; a < box.extent[0]; ++a)
        for (std::size_t b = 0; b < box.extent[1]; ++b)
            load(source_row(box, a, b), box.strides[2], box.extent[2], image.slope, image.intercept,
                 target_row(target, a, b));
}

// The last axis is contiguous: each run is a row of the destination, turned round where the image
// stores it backwards.
void gather_rows(const Kernels& kernels, const VolumeView& image, const Box& box,
                 const Destination& target) {
    const kernels::Load load = kernels.load[slot(image)][image.swapped];
    const std::size_t n = box.extent[2];
    const bool backwards = box.strides[2] < 0;
    const std::ptrdiff_t to_lowest = backwards ? signed_size(n - 1) * box.strides[2] : 0;
    for (std::size_t a = 0; a < box.extent[0]; ++a)
        for (std::size_t b = 0; b < box.extent[1]; ++b) {
            float* const row = target_row(target, a, b);
            load(source_row(box, a, b) + to_lowest, n, image.slope, image.intercept, row);
            if (backwards) std::reverse(row, row + n);
        }
}

// Axis `along`, 0 or 1, is contiguous: for each index of the other one, the runs along it that make
// up the last axis are transposed into the destination. A run that the image stores backwards fills
// its column from the far end.
void gather_columns(const Kernels& kernels, const VolumeView& image, Box box, Destination target,
                    std::size_t along) {
    const kernels::LoadTransposed load = kernels.load_transposed[slot(image)][image.swapped];
    const std::size_t across = 1 - along;
    if (box.strides[along] < 0) {
        const std::ptrdiff_t last = signed_size(box.extent[along] - 1);
        box.first += last * box.strides[along];
        target.first += last * target.strides[along];
        target.strides[along] = -target.strides[along];
    }
    for (std::size_t i = 0; i < box.extent[across]; ++i)
        load(box.first + signed_size(i) * box.strides[across], box.strides[2], box.extent[2],
             box.extent[along], image.slope, image.intercept,
             target.first + signed_size(i) * target.strides[across], target.strides[along]);
}

}  // namespace

void Box::set_axis(std::size_t axis, const VolumeView& image, const PlacedAxis& placed,
                   Range range) {
    const std::size_t stored = placed.reversed ? placed.n_image - 1 - range.begin : range.begin;
    const std::ptrdiff_t stride = image.strides[placed.image_axis];
    first += signed_size(stored - image.held.begin[placed.image_axis]) * stride;
    extent[axis] = range.end - range.begin;
    strides[axis] = placed.reversed ? -stride : stride;
}

std::size_t contiguous_axis(const VolumeView& image, const Box& box) {
    const std::ptrdiff_t size = signed_size(size_of(image.type));
    for (const std::size_t axis : {2, 1, 0})
        if (box.extent[axis] > 1 && (box.strides[axis] == size || box.strides[axis] == -size))
            return axis;
    return 3;
}

void gather(const Kernels& kernels, const VolumeView& image, const Box& box,
            const Destination& target) {
    const std::size_t along = contiguous_axis(image, box);
    if (along == 3) return gather_scattered(kernels, image, box, target);
    if (along == 2) return gather_rows(kernels, image, box, target);
    gather_columns(kernels, image, box, target, along);
}

}  // namespace nigro
