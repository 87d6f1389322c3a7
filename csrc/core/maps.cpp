// Writes a patch into feature maps: see maps.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/maps.h"

namespace nigro {

void Maps::fill(std::size_t sample, const float* values) const {
    for (std::size_t channel = 0; channel < n_channels_; ++channel)
        for (std::size_t x = 0; x < extent_.x; ++x)
            for (std::size_t y = 0; y < extent_.y; ++y, values += extent_.z) {
                float* const row = voxel(sample, channel / lanes_, x, y) + channel % lanes_;
                for (std::size_t z = 0; z < extent_.z; ++z) row[z * lanes_] = values[z];
            }
}

}  // namespace nigro
