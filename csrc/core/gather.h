// Stored voxels of a box, in any order and direction, as float32 in C order.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "core/geometry.h"
#include "core/view.h"

namespace nigro {

// A box of voxels; its axes are those of the destination, not of the image.
struct Box {
    const unsigned char* first;  // the voxel that becomes element (0, 0, 0)
    std::array<std::size_t, 3> extent;
    std::array<std::ptrdiff_t, 3> strides;  // bytes

    // Lets `axis` run over `range` of an image axis, as `placed` counts along it. Once for each
    // axis; `first` begins as the image's `voxels`. All of `range` must be held.
    void set_axis(std::size_t axis, const VolumeView& image, const PlacedAxis& placed, Range range);
};

// Where a box goes. Neighbours along the last axis lie side by side.
struct Destination {
    float* first;
    std::array<std::ptrdiff_t, 2> strides;  // elements, of axes 0 and 1
};

// Writes the values of the voxels of `box`. `image` says how they are stored; its geometry is not
// looked at.
void gather(const kernels::Kernels& kernels, const VolumeView& image, const Box& box,
            const Destination& target);

// The axis of `box` along which voxels lie side by side in memory, the last such axis; 3 if none.
std::size_t contiguous_axis(const VolumeView& image, const Box& box);

}  // namespace nigro
