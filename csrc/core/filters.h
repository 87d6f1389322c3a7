// Transforms of 3 x 3 x 3 filters for Winograd's minimal filtering, in double.
//
// They belong to the transforms of inputs and outputs in kernels/conv_transforms.inc: the same
// points, and the scale of each point's row here.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "kernels/kernels.h"

namespace nigro {

// What the positions of a tile's family make of the three weights along one axis, a row of three
// for each.
using FilterRows = std::array<std::array<double, 3>, kernels::kMaxPositions>;
const FilterRows& filter_rows(kernels::Tile tile) noexcept;

// Transforms 'weights', [27][16], along x and y to [positions of a footprint][3 taps along z][16],
// each tap times one of 'scales'.
void transform_filters(const kernels::Footprint& foot, const double* weights,
                       const double (&scales)[3], float* result);

}  // namespace nigro
