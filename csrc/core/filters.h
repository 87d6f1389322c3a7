// Transforms of 3 x 3 x 3 filters for Winograd's minimal filtering, in double.
//
// They belong to the transforms of inputs and outputs in kernels/conv_transforms.inc: the same
// points, and the scale of each point's row here.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "kernels/kernels.h"

namespace nigro {

// What F(4, 3) makes of the three weights along one axis: a row of three for each of its positions;
// with m = 2, the rows of the four positions that F(2, 3) has.
using FilterTransform = std::vector<std::array<double, 3>>;
FilterTransform filter_transform(std::size_t m);

// Transforms 'weights', [27][16], along x and y to [positions of a footprint][3 taps along z][16],
// times kTapScales.
void transform_filters(kernels::Sides sides, const double* weights, float* result);

}  // namespace nigro
