// Stored voxels of a box, in any order and direction, as float32 in C order.
//
// Voxels are converted in runs, along the axis on which they lie side by side in memory. Where that
// is not the last axis of the destination the runs go through a tile that stays in the first-level
// cache and is transposed into place: a scan stored x first, cut for a patch whose last axis is z,
// would otherwise be read one voxel at a time.
// SPDX-License-Identifier: Apache-2.0
#include "core/gather.h"

#include <algorithm>

namespace nigro {
namespace {

using kernels::Kernels;

constexpr std::size_t kTile = 64;  // runs and voxels of a run; 16 KiB of float32

std::ptrdiff_t signed_size(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }

std::size_t size_of(kernels::Stored type) {
    constexpr std::size_t kSizes[kernels::kStoredTypes] = {1, 1, 2, 2, 4, 4, 4, 8};
    return kSizes[static_cast<std::size_t>(type)];
}

// Converts runs of the voxels of one image.
class Loader {
public:
    Loader(const Kernels& kernels, const VolumeView& image)
        : load_(kernels.load[slot(image)][image.swapped]),
          load_strided_(kernels.load_strided[slot(image)][image.swapped]),
          slope_(image.slope),
          intercept_(image.intercept) {}

    void run(const unsigned char* src, std::size_t n, float* dst) const {
        load_(src, n, slope_, intercept_, dst);
    }

    void strided_run(const unsigned char* src, std::ptrdiff_t stride, std::size_t n,
                     float* dst) const {
        load_strided_(src, stride, n, slope_, intercept_, dst);
    }

private:
    static std::size_t slot(const VolumeView& image) {
        return static_cast<std::size_t>(image.type);
    }

    kernels::Load load_;
    kernels::LoadStrided load_strided_;
    double slope_;
    double intercept_;
};

// No axis is contiguous: voxel by voxel.
void gather_scattered(const Loader& loader, const Box& box, const Target& target) {
    for (std::size_t a = 0; a < box.extent[0]; ++a)
        for (std::size_t b = 0; b < box.extent[1]; ++b)
            loader.strided_run(
                box.first + signed_size(a) * box.strides[0] + signed_size(b) * box.strides[1],
                box.strides[2], box.extent[2],
                target.first + signed_size(a) * target.strides[0] +
                    signed_size(b) * target.strides[1]);
}

// The last axis is contiguous: each run is a row of the destination, turned round where the image
// stores it backwards.
void gather_rows(const Loader& loader, const Box& box, const Target& target) {
    const std::size_t n = box.extent[2];
    const bool backwards = box.strides[2] < 0;
    const unsigned char* const lowest =
        box.first + (backwards ? signed_size(n - 1) * box.strides[2] : 0);
    for (std::size_t a = 0; a < box.extent[0]; ++a)
        for (std::size_t b = 0; b < box.extent[1]; ++b) {
            float* const row = target.first + signed_size(a) * target.strides[0] +
                               signed_size(b) * target.strides[1];
            loader.run(lowest + signed_size(a) * box.strides[0] + signed_size(b) * box.strides[1],
                       n, row);
            if (backwards) std::reverse(row, row + n);
        }
}

// Axis `along` (0 or 1) is contiguous: for each index of the other one, tiles of runs along it,
// one for each element of a destination row, are transposed into the destination. A run that the
// image stores backwards fills the rows from the last to the first.
class TransposingGather {
public:
    TransposingGather(const Kernels& kernels, const VolumeView& image, Box box, Target target,
                      std::size_t along)
        : kernels_(kernels),
          loader_(kernels, image),
          box_(box),
          target_(target),
          along_(along),
          across_(1 - along) {
        if (box_.strides[along] >= 0) return;
        const std::ptrdiff_t last = signed_size(box_.extent[along] - 1);
        box_.first += last * box_.strides[along];
        box_.strides[along] = -box_.strides[along];
        target_.first += last * target_.strides[along];
        target_.strides[along] = -target_.strides[along];
    }

    void run() {
        for (std::size_t i = 0; i < box_.extent[across_]; ++i)
            for (std::size_t start = 0; start < box_.extent[along_]; start += kTile)
                for (std::size_t row = 0; row < box_.extent[2]; row += kTile) tile(i, start, row);
    }

private:
    void tile(std::size_t i, std::size_t start, std::size_t row) {
        const std::size_t n_run = std::min(kTile, box_.extent[along_] - start);
        const std::size_t n_rows = std::min(kTile, box_.extent[2] - row);
        const unsigned char* src = box_.first + signed_size(i) * box_.strides[across_] +
                                   signed_size(start) * box_.strides[along_] +
                                   signed_size(row) * box_.strides[2];
        for (std::size_t r = 0; r < n_rows; ++r)
            loader_.run(src + signed_size(r) * box_.strides[2], n_run, tile_ + r * kTile);
        kernels_.transpose(tile_, kTile, n_rows, n_run,
                           target_.first + signed_size(i) * target_.strides[across_] +
                               signed_size(start) * target_.strides[along_] + row,
                           target_.strides[along_]);
    }

    const Kernels& kernels_;
    Loader loader_;
    Box box_;
    Target target_;
    std::size_t along_;
    std::size_t across_;
    alignas(64) float tile_[kTile * kTile];
};

}  // namespace

std::size_t contiguous_axis(const VolumeView& image, const Box& box) {
    const std::ptrdiff_t size = signed_size(size_of(image.type));
    for (const std::size_t axis : {2, 1, 0})
        if (box.extent[axis] > 1 && (box.strides[axis] == size || box.strides[axis] == -size))
            return axis;
    return 3;
}

void gather(const Kernels& kernels, const VolumeView& image, const Box& box, const Target& target) {
    const std::size_t along = contiguous_axis(image, box);
    if (along == 3) return gather_scattered(Loader(kernels, image), box, target);
    if (along == 2) return gather_rows(Loader(kernels, image), box, target);
    TransposingGather(kernels, image, box, target, along).run();
}

}  // namespace nigro
