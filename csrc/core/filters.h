// Transforms of 3 x 3 x 3 filters for Winograd's minimal filtering, in double.
//
// They belong to the transforms of inputs and outputs in kernels/conv_body.inc: the same points,
// and the scale of each point's row here.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "kernels/kernels.h"

namespace nigro {

// M + 2 rows of three: what F(M, 3) makes of the three weights along one axis. M is 2 or 4.
using FilterTransform = std::vector<std::array<double, 3>>;
FilterTransform filter_transform(std::size_t m);

// Transforms 'weights', [27][16], to 'result', [positions of the tile][16].
void transform_filters(kernels::TileShape tile, const double* weights, double* result);

}  // namespace nigro
