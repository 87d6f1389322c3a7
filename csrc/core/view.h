// What the core is told about an image and a patch: where the voxels are, never a copy of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "kernels/kernels.h"

namespace nigro {

using Point = std::array<double, 3>;  // RAS+ millimetres

// A box of an image's voxels: [begin, end) along each of its axes.
struct ImageWindow {
    std::array<std::size_t, 3> begin;
    std::array<std::size_t, 3> end;
};

// An image as it is stored. The value of a voxel is slope * stored + intercept. Nothing is owned.
struct VolumeView {
    const unsigned char* voxels;  // voxel held.begin, of any alignment
    kernels::Stored type;
    bool swapped;  // the bytes of a value are not in this machine's order
    std::array<std::size_t, 3> shape;
    ImageWindow held;                             // the part that is in memory; or all of it
    std::array<std::ptrdiff_t, 3> strides;        // bytes from voxel to voxel; any sign, 0 allowed
    std::array<std::array<double, 4>, 3> affine;  // rows; voxel index -> RAS+ millimetres
    double slope;
    double intercept;
};

// The grid of a patch, as nigroedge/grid.py has it; axes such as "ALI" name where each axis grows.
struct PatchGrid {
    std::array<std::size_t, 3> shape;
    std::array<double, 3> spacing_mm;
    std::array<char, 3> axes;
    // The patch is cut with left and right exchanged and then flipped along left-right, as an array
    // is: its axes grow as named all the same, but voxel n - 1 - n/2 lies on the centroid there.
    bool flipped = false;
};

}  // namespace nigro
