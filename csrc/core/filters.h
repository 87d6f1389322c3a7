// What Winograd's minimal filtering makes of weights: the factors, and their use in the plane.
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

// The transform of 3 x 3 x 3 filters along x and y, for the positions of a footprint.
class FilterTransform {
public:
    // Taps along z come times 'scales'.
    FilterTransform(const kernels::Footprint& foot, const double (&scales)[3]);

    // Transforms 'weights', [27][16], to [positions][3 taps along z][16].
    void run(const kernels::Kernels& kernels, const float* weights, float* result) const {
        kernels.plane_weights(along_x_, n_x_, along_y_, n_y_, weights, result);
    }

private:
    std::size_t n_x_, n_y_;
    float along_x_[kernels::kMaxPositions][3];
    float along_y_[3 * kernels::kMaxPositions][3];
};

}  // namespace nigro
