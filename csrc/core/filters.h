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

// What F(4, 3) makes of the three weights along one axis: for each of its positions, a row of
// three. The positions of F(2, 3) are four of them (kPositionsOfTwo).
using FilterRows = std::array<std::array<double, 3>, kernels::kPositions>;
const FilterRows& filter_rows() noexcept;

// The position along an axis, of kPositions, of position i of a footprint's side.
inline std::size_t position_of(std::size_t side, std::size_t i) {
    return side == 2 ? kernels::kPositionsOfTwo[i] : i;
}

// Transforms 'weights', [27][16], along x and y to [positions of a footprint][3 taps along z][16],
// each tap times one of 'scales'.
void transform_filters(kernels::Sides sides, const double* weights, const double (&scales)[3],
                       float* result);

}  // namespace nigro
