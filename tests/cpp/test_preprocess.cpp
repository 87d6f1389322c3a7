// Cropping and normalising with every instruction set that runs here against the scalar one, by ==,
// over random images, storage orders, types, grids and centres; and what must be refused.
//
// One digest of all these patches is written down here, so that the scalar code of another
// processor, compiler or standard library is compared too.
//
// The buffer of an image holds its voxels and nothing else, so that a sanitizer sees a patch that
// reaches beyond them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "core/crop.h"
#include "core/error.h"
#include "core/normalize.h"
#include "kernels/dispatch.h"

namespace {

using check::Random;
using nigro::kernels::Kernels;

constexpr std::size_t kSizes[nigro::kernels::kStoredTypes] = {1, 1, 2, 2, 4, 4, 4, 8};
constexpr char kLetters[3][2] = {{'R', 'L'}, {'A', 'P'}, {'S', 'I'}};

// Of every patch that test_crop and test_normalize make; printed when it differs.
constexpr std::uint64_t kDigest = 18348342331773260541U;
constexpr std::uint64_t kDigestOfFormat2 =
    1750319684543937365U;  // of the normalisations that it adds

const Kernels& scalar() { return *nigro::kernels::find("scalar"); }

struct Image {
    std::vector<unsigned char> bytes;
    nigro::VolumeView view;
};

// A permutation of 0, 1, 2. (std::shuffle is another function in every standard library.)
std::array<std::size_t, 3> random_order(Random& random) {
    std::array<std::size_t, 3> order{0, 1, 2};
    std::swap(order[2], order[check::below(random, 3)]);
    std::swap(order[1], order[check::below(random, 2)]);
    return order;
}

// Image axes along the patient's in any order and direction, turned a little.
void set_affine(nigro::VolumeView& view, const std::array<double, 3>& spacing_mm, Random& random) {
    const double turn[3][3] = {{0.96, -0.28, 0}, {0.28, 0.96, 0}, {0, 0, 1}};  // about 16 degrees
    const auto order = random_order(random);
    for (std::size_t j = 0; j < 3; ++j) {
        const double step = spacing_mm[j] * (check::below(random, 2) == 0 ? 1 : -1);
        for (std::size_t row = 0; row < 3; ++row) view.affine[row][j] = turn[row][order[j]] * step;
    }
    for (auto& row : view.affine) row[3] = static_cast<double>(check::uniform(random, -90, 90));
}

Image random_image(Random& random, const std::array<double, 3>& spacing_mm) {
    const std::size_t type = check::below(random, nigro::kernels::kStoredTypes);
    Image image{};
    image.view.type = static_cast<nigro::kernels::Stored>(type);
    image.view.swapped = check::below(random, 2) == 1;
    image.view.slope = 1;
    std::size_t size = kSizes[type];
    for (const std::size_t axis : random_order(random)) {
        image.view.shape[axis] = 16 + check::below(random, 24);
        image.view.strides[axis] = static_cast<std::ptrdiff_t>(size);
        size *= image.view.shape[axis];
    }
    image.view.held.end = image.view.shape;
    image.bytes.resize(size);
    for (unsigned char& byte : image.bytes) byte = static_cast<unsigned char>(random());
    image.view.voxels = image.bytes.data();
    for (std::size_t axis = 0; axis < 3; ++axis)
        if (check::below(random, 2) == 1) {
            const auto last = static_cast<std::ptrdiff_t>(image.view.shape[axis] - 1);
            image.view.voxels += last * image.view.strides[axis];
            image.view.strides[axis] = -image.view.strides[axis];
        }
    if (check::below(random, 2) == 1) image.view.slope = 0.37;
    set_affine(image.view, spacing_mm, random);
    return image;
}

nigro::PatchGrid random_grid(Random& random, const std::array<double, 3>& spacing_mm) {
    nigro::PatchGrid grid{{}, spacing_mm, {}};
    const auto order = random_order(random);
    for (std::size_t i = 0; i < 3; ++i) {
        grid.shape[i] = 1 + check::below(random, 16);
        grid.axes[i] = kLetters[order[i]][check::below(random, 2)];
    }
    return grid;
}

// A point at a random place within the image.
nigro::Point random_centre(Random& random, const nigro::VolumeView& view) {
    nigro::Point centre{};
    for (std::size_t row = 0; row < 3; ++row) centre[row] = view.affine[row][3];
    for (std::size_t j = 0; j < 3; ++j) {
        const auto n = static_cast<float>(view.shape[j]);
        const auto index = static_cast<double>(check::uniform(random, 0.2F * n, 0.8F * n));
        for (std::size_t row = 0; row < 3; ++row) centre[row] += view.affine[row][j] * index;
    }
    return centre;
}

struct Cut {
    std::vector<float> patch;
    double coverage;
    std::string error;
};

Cut cut(const Kernels& kernels, const nigro::VolumeView& view, const nigro::PatchGrid& grid,
        const nigro::Point& centre) {
    Cut result{std::vector<float>(grid.shape[0] * grid.shape[1] * grid.shape[2]), 0, ""};
    try {
        result.coverage = nigro::crop(kernels, view, grid, centre, result.patch.data());
    } catch (const nigro::Error& error) {
        result.error = error.what();
    }
    return result;
}

// The same image, of which no more than `window` is in memory, in C order.
Image part_of(const Image& image, const nigro::ImageWindow& window) {
    Image part{{}, image.view};
    const std::size_t size = kSizes[static_cast<std::size_t>(image.view.type)];
    std::array<std::size_t, 3> n{};
    for (std::size_t i = 0; i < 3; ++i) n[i] = window.end[i] - window.begin[i];
    part.bytes.resize(n[0] * n[1] * n[2] * size);
    unsigned char* to = part.bytes.data();
    for (std::size_t x = window.begin[0]; x < window.end[0]; ++x)
        for (std::size_t y = window.begin[1]; y < window.end[1]; ++y)
            for (std::size_t z = window.begin[2]; z < window.end[2]; ++z, to += size)
                std::copy_n(image.view.voxels +
                                static_cast<std::ptrdiff_t>(x) * image.view.strides[0] +
                                static_cast<std::ptrdiff_t>(y) * image.view.strides[1] +
                                static_cast<std::ptrdiff_t>(z) * image.view.strides[2],
                            size, to);
    part.view.voxels = part.bytes.data();
    part.view.held = window;
    part.view.strides = {static_cast<std::ptrdiff_t>(n[1] * n[2] * size),
                         static_cast<std::ptrdiff_t>(n[2] * size),
                         static_cast<std::ptrdiff_t>(size)};
    return part;
}

// The window alone gives the same patch (under a sanitizer: it alone is read), and no less does.
void test_window(const Kernels& kernels, const Image& image, const nigro::PatchGrid& grid,
                 const nigro::Point& centre, const Cut& want, std::size_t round) {
    const nigro::ImageWindow window = nigro::window_of(image.view, grid, centre);
    const Image part = part_of(image, window);
    const Cut got = cut(kernels, part.view, grid, centre);
    const std::string what = std::string(kernels.name) + " window " + std::to_string(round);
    check::that(got.error.empty() && got.coverage == want.coverage, what + " " + got.error);
    check::that(check::same(want.patch, got.patch), what);
    nigro::VolumeView less = part.view;
    const std::size_t axis = round % 3;
    if (round % 2 == 0)
        ++less.held.begin[axis];
    else
        --less.held.end[axis];
    check::that(cut(kernels, less, grid, centre).error.find("in memory") != std::string::npos,
                what + " less than the window");
}

void test_crop(const Kernels& kernels, Random& random, check::Digest& digest) {
    const std::array<double, 3> fine{0.5, 0.5, 1};
    int n_cut = 0;
    for (int round = 0; round < 800; ++round) {
        std::array<double, 3> spacing = fine;
        if (round % 2 == 1)
            for (double& s : spacing) s *= static_cast<double>(check::uniform(random, 0.3F, 2));
        const Image image = random_image(random, fine);
        const nigro::PatchGrid grid = random_grid(random, spacing);
        const nigro::Point centre = random_centre(random, image.view);
        const Cut want = cut(scalar(), image.view, grid, centre);
        const Cut got = cut(kernels, image.view, grid, centre);
        const std::string what = std::string(kernels.name) + " crop " + std::to_string(round);
        check::that(want.error == got.error && want.coverage == got.coverage,
                    what + " " + got.error);
        check::that(check::same(want.patch, got.patch), what);
        digest.add(got.patch);
        n_cut += got.error.empty() ? 1 : 0;
        if (got.error.empty())
            test_window(kernels, image, grid, centre, got, static_cast<std::size_t>(round));
    }
    check::that(n_cut > 300, "most random crops lie inside their image");
}

// A flipped grid gives its mirrored grid's patch turned round along left-right.
void test_flipped(Random& random) {
    int n_cut = 0;
    for (int round = 0; round < 300; ++round) {
        const std::array<double, 3> spacing{0.5, 0.5, round % 2 == 0 ? 1 : 0.7};
        const Image image = random_image(random, {0.5, 0.5, 1});
        const nigro::PatchGrid grid = random_grid(random, spacing);
        nigro::PatchGrid flipped = nigro::mirrored(grid);
        flipped.flipped = true;
        const nigro::Point centre = random_centre(random, image.view);
        const Cut plain = cut(scalar(), image.view, grid, centre);
        const Cut got = cut(scalar(), image.view, flipped, centre);
        const std::size_t lateral = nigro::lateral_axis(grid);
        std::vector<float> want;
        std::array<std::size_t, 3> at{};
        for (at[0] = 0; at[0] < grid.shape[0]; ++at[0])
            for (at[1] = 0; at[1] < grid.shape[1]; ++at[1])
                for (at[2] = 0; at[2] < grid.shape[2]; ++at[2]) {
                    auto from = at;
                    from[lateral] = grid.shape[lateral] - 1 - at[lateral];
                    want.push_back(
                        plain.patch[(from[0] * grid.shape[1] + from[1]) * grid.shape[2] + from[2]]);
                }
        check::that(plain.error == got.error && plain.coverage == got.coverage, got.error);
        check::that(check::same(want, got.patch), "flipped " + std::to_string(round));
        if (got.error.empty())
            test_window(scalar(), image, flipped, centre, got, static_cast<std::size_t>(round));
        n_cut += got.error.empty() ? 1 : 0;
    }
    check::that(n_cut > 100, "most flipped crops lie inside their image");
}

// Voxels that say where they are, finer than the patch along one axis: their means are positions,
// whichever axis needs more rows than are gathered together.
void test_wide(const Kernels& kernels) {
    constexpr std::size_t kVoxels = 180;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        Image image{std::vector<unsigned char>(kVoxels * 4 * 4), {}};
        image.view.slope = 1;
        image.view.shape = {4, 4, 4};
        image.view.shape[axis] = kVoxels;
        std::size_t size = 1;
        for (std::size_t i = 0; i < 3; ++i) {
            image.view.strides[i] = static_cast<std::ptrdiff_t>(size);
            size *= image.view.shape[i];
            image.view.affine[i][i] = i == axis ? 0.0625 : 1;
        }
        const auto stride = static_cast<std::size_t>(image.view.strides[axis]);
        for (std::size_t i = 0; i < size; ++i)
            image.bytes[i] = static_cast<unsigned char>(i / stride % kVoxels);
        image.view.voxels = image.bytes.data();
        image.view.held.end = image.view.shape;
        nigro::PatchGrid grid{{2, 2, 2}, {1, 1, 1}, {'R', 'A', 'S'}};
        grid.shape[axis] = 10;
        nigro::Point centre{2, 2, 2};
        centre[axis] = 5.5;  // voxel 88, of patch voxel 5
        const Cut got = cut(kernels, image.view, grid, centre);
        check::that(got.error.empty(), got.error);
        const std::size_t step = axis == 0 ? 4 : axis == 1 ? 2 : 1;
        for (std::size_t i = 0; i < got.patch.size(); ++i) {
            const auto k = static_cast<float>(i / step % 10);
            check::that(got.patch[i] == 88 + 16 * (k - 5),
                        std::string(kernels.name) + " wide " + std::to_string(axis));
        }
        test_window(kernels, image, grid, centre, got, axis);
    }
}

void test_normalize(const Kernels& kernels, Random& random, check::Digest& digest,
                    check::Digest& of_format_2) {
    for (int round = 0; round < 200; ++round) {
        const std::size_t n = 2 + check::below(random, 3000);
        const std::vector<float> x = check::uniforms(random, n, 10, 2000);
        for (const char* const method : {"mean", "zscore", "divide 3", "zscore-nonzero", "minmax",
                                         "percentile 1 99", "percentile 2.5 97.5 clip"}) {
            const nigro::Normalization how = nigro::normalization(method);
            std::vector<float> want(n), got = x;
            nigro::normalize(scalar(), how, x.data(), n, want.data());
            nigro::normalize(kernels, how, got.data(), n, got.data());
            check::that(check::same(want, got), std::string(kernels.name) + " " + method);
            (how.kind == nigro::Normalization::kMean || how.kind == nigro::Normalization::kZscore
                 ? digest
                 : of_format_2)
                .add(got);
        }
    }
}

// ------------------------------------------------------------------------------------- refusals

Image plain_image(std::size_t n) {
    Image image{std::vector<unsigned char>(n * n * n, 7), {}};
    image.view.type = nigro::kernels::Stored::u8;
    image.view.slope = 1;
    image.view.voxels = image.bytes.data();
    image.view.shape = image.view.held.end = {n, n, n};
    const auto stride = static_cast<std::ptrdiff_t>(n);
    image.view.strides = {1, stride, stride * stride};
    for (std::size_t i = 0; i < 3; ++i) image.view.affine[i][i] = 1;
    return image;
}

void test_what_is_refused() {
    const double infinity = std::numeric_limits<double>::infinity();
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const nigro::PatchGrid grid{{4, 4, 4}, {1, 1, 1}, {'R', 'A', 'S'}};
    const Image image = plain_image(9);
    check::that(cut(scalar(), image.view, grid, {4, 4, 4}).error.empty(), "the middle is fine");
    for (const double bad : {nan, infinity, -infinity, 1e300, -1e300, 1e19, 9.0, -0.6})
        check::that(!cut(scalar(), image.view, grid, {4, bad, 4}).error.empty(), "bad centre");
    for (const double bad : {nan, infinity, 0.0, 1e-300, 1e-9})
        for (std::size_t axis = 0; axis < 3; ++axis) {
            nigro::VolumeView view = image.view;
            view.affine[axis][axis] = bad;
            check::that(!cut(scalar(), view, grid, {0, 0, 0}).error.empty(), "bad affine");
        }
    for (const double bad : {nan, infinity, 0.0, -1.0})
        check::that(!cut(scalar(), image.view, {{4, 4, 4}, {1, bad, 1}, {'R', 'A', 'S'}}, {4, 4, 4})
                         .error.empty(),
                    "bad spacing");
    check::that(!cut(scalar(), image.view, {{4, 4, 4}, {1, 1, 1}, {'R', 'L', 'S'}}, {4, 4, 4})
                     .error.empty(),
                "an axis named twice");
}

}  // namespace

int main() {
    test_what_is_refused();
    Random flipping(20240229);
    test_flipped(flipping);
    for (const Kernels& kernels : nigro::kernels::available()) {
        Random random(19680401);
        std::printf("instruction set %s\n", kernels.name);
        check::Digest digest, of_format_2;
        test_crop(kernels, random, digest);
        test_wide(kernels);
        test_normalize(kernels, random, digest, of_format_2);
        check::that(digest.value() == kDigest,
                    "digest of every patch, got " + std::to_string(digest.value()));
        check::that(of_format_2.value() == kDigestOfFormat2,
                    "digest of format 2, got " + std::to_string(of_format_2.value()));
    }
    return check::report("test_preprocess");
}
