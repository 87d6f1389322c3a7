// Unwraps phase: see unwrap.h.
//
// Kruskal's way (1956): edges sorted by cost, parts joined in a forest of disjoint sets. Each voxel
// holds the turns that it is off from its parent there, so that when all are joined each knows the
// turns that it is off from its root (Galler and Fischer 1964, with potentials).
// SPDX-License-Identifier: Apache-2.0
#include "core/unwrap.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace nigro {
namespace {

constexpr double kWholeTurn = 6.28318530717958647692;
constexpr float kTurn = static_cast<float>(kWholeTurn), kPi = 3.14159265358979323846F;
constexpr float kLeastTrust = 1e-6F, kLeastCost = 1e-3F, kLeastScale = 1e-30F;

// The nearest whole number, halves to even, of |x| < 2^22: the sum has no bits left behind the
// point. In vectors, where std::nearbyint is a call.
float nearest(float x) {
    constexpr float kShift = 12582912.0F;  // 1.5 * 2^23
    return (x + kShift) - kShift;
}

float turns_between(float from, float to) { return nearest((from - to) / kTurn); }

float wrapped(float difference) { return difference - kTurn * nearest(difference / kTurn); }

// ------------------------------------------------------------------------------------ validation

std::size_t size_of(const std::array<std::size_t, 3>& shape) {
    if (shape[0] == 0 || shape[1] == 0 || shape[2] == 0) return 0;
    std::size_t size = 1;
    for (const std::size_t side : shape) {
        if (side > kMaxPhaseVoxels / size)
            throw BadArgument("expected at most 2^30 voxels to unwrap, got " +
                              std::to_string(shape[0]) + " x " + std::to_string(shape[1]) + " x " +
                              std::to_string(shape[2]));
        size *= side;
    }
    return size;
}

[[noreturn]] void refuse(const PhaseImage& image, std::size_t voxel, const char* expected,
                         float got) {
    const std::size_t nz = image.shape[2], ny = image.shape[1];
    throw BadArgument(std::string("expected ") + expected + " inside the mask, got " +
                      std::to_string(got) + " at voxel (" + std::to_string(voxel / nz / ny) + ", " +
                      std::to_string(voxel / nz % ny) + ", " + std::to_string(voxel % nz) + ")");
}

void check_values(const PhaseImage& image, std::size_t size) {
    for (std::size_t v = 0; v < size; ++v) {
        if (image.mask[v] == 0) continue;
        if (!(std::fabs(image.phase[v]) <= kMaxPhase))
            refuse(image, v, "a phase within 100000 radians", image.phase[v]);
        if (!(image.reliability[v] >= 0 && std::isfinite(image.reliability[v])))
            refuse(image, v, "a finite reliability of at least 0", image.reliability[v]);
    }
}

// ----------------------------------------------------------------------------------------- edges

// Cost above, then 4 * lower voxel + axis: as numbers they are in the order of the edges, since the
// bits of floats above 0 are in the order of their values.
using Edge = std::uint64_t;

Edge edge_of(float cost, std::size_t voxel, std::size_t axis) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &cost, sizeof bits);
    return Edge{bits} << 32 | (voxel << 2 | axis);
}

float scale_of(const PhaseImage& image, std::size_t size) {
    float most = kLeastScale;
    for (std::size_t v = 0; v < size; ++v)
        if (image.mask[v] != 0) most = std::max(most, image.reliability[v]);
    return most;
}

std::array<std::size_t, 3> strides_of(const std::array<std::size_t, 3>& shape) {
    return {shape[1] * shape[2], shape[2], 1};
}

float cost_of(const PhaseImage& image, std::size_t a, std::size_t b, float scale) {
    const float jump = std::fabs(wrapped(image.phase[b] - image.phase[a])) / kPi;
    const float trust = std::min(image.reliability[a], image.reliability[b]) / scale;
    return (jump + kLeastCost) / std::max(trust, kLeastTrust);
}

// In the order of voxels and axes.
std::vector<Edge> edges_of(const PhaseImage& image, std::size_t size) {
    const float scale = scale_of(image, size);
    const auto strides = strides_of(image.shape);
    std::vector<Edge> edges;
    edges.reserve(3 * size);
    std::size_t v = 0;
    std::array<std::size_t, 3> at{};
    for (at[0] = 0; at[0] < image.shape[0]; ++at[0])
        for (at[1] = 0; at[1] < image.shape[1]; ++at[1])
            for (at[2] = 0; at[2] < image.shape[2]; ++at[2], ++v) {
                if (image.mask[v] == 0) continue;
                for (std::size_t axis = 0; axis < 3; ++axis) {
                    const std::size_t next = v + strides[axis];
                    if (at[axis] + 1 == image.shape[axis] || image.mask[next] == 0) continue;
                    edges.push_back(edge_of(cost_of(image, v, next, scale), v, axis));
                }
            }
    return edges;
}

// By cost, keeping the order of equal ones: three passes over its 32 bits.
void sort(std::vector<Edge>& edges) {
    constexpr unsigned kBits = 11;
    std::vector<Edge> sorted(edges.size());
    for (unsigned shift = 32; shift < 64; shift += kBits) {
        std::array<std::size_t, (1U << kBits) + 1> begin{};
        const auto digit = [shift](Edge edge) { return edge >> shift & ((1U << kBits) - 1); };
        for (const Edge edge : edges) ++begin[digit(edge) + 1];
        for (std::size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
        for (const Edge edge : edges) sorted[begin[digit(edge)]++] = edge;
        edges.swap(sorted);
    }
}

// ----------------------------------------------------------------------------------------- parts

// Turns fit into 32 bits: the unwrapped phase moves by pi at most along each of less than 2^30
// edges, and the phase itself is within kMaxPhase.
class Parts {
public:
    struct Root {
        std::uint32_t voxel;
        std::int32_t turns;  // of the voxel asked for, beyond those of the root
    };

    explicit Parts(std::size_t size) : nodes_(size), n_held_(size, 1) {
        for (std::size_t v = 0; v < size; ++v) nodes_[v] = {static_cast<std::uint32_t>(v), 0};
    }

    // Halves the way to the root as it goes.
    Root root_of(std::uint32_t voxel) {
        std::int32_t turns = 0;
        while (nodes_[voxel].voxel != voxel) {
            Root& node = nodes_[voxel];
            const Root& above = nodes_[node.voxel];
            node = {above.voxel, node.turns + above.turns};
            turns += node.turns;
            voxel = node.voxel;
        }
        return {voxel, turns};
    }

    // So that `b` has `turns` more than `a`; without effect where both are in one part.
    void join(std::uint32_t a, std::uint32_t b, std::int32_t turns) {
        const Root to = root_of(a), from = root_of(b);
        if (to.voxel == from.voxel) return;
        const std::int32_t more = to.turns + turns - from.turns;
        if (n_held_[to.voxel] >= n_held_[from.voxel])
            put_under(from.voxel, {to.voxel, more});
        else
            put_under(to.voxel, {from.voxel, -more});
    }

private:
    void put_under(std::uint32_t voxel, const Root& root) {
        nodes_[voxel] = root;
        n_held_[root.voxel] += n_held_[voxel];
    }

    std::vector<Root> nodes_;  // each voxel's parent, a root's itself
    std::vector<std::uint32_t> n_held_;
};

Parts joined(const PhaseImage& image, std::size_t size) {
    std::vector<Edge> edges = edges_of(image, size);
    sort(edges);
    Parts parts(size);
    const auto strides = strides_of(image.shape);
    for (const Edge edge : edges) {
        const auto a = static_cast<std::uint32_t>(edge) >> 2;
        const auto b = static_cast<std::uint32_t>(a + strides[edge & 3]);
        parts.join(a, b, static_cast<std::int32_t>(turns_between(image.phase[a], image.phase[b])));
    }
    return parts;
}

// ------------------------------------------------------------------------------------- unwrapping

// The voxels of the mask, part by part in the order of their first voxels, each with the turns that
// it has beyond the first of its part.
struct Members {
    std::vector<Parts::Root> voxels;
    std::vector<std::size_t> ends;  // of each part
};

Members members_of(const PhaseImage& image, std::size_t size, Parts& parts) {
    constexpr std::uint32_t kNone = ~std::uint32_t{0};
    std::vector<std::uint32_t> part_of(size, kNone);  // of a root
    std::vector<std::int32_t> first_turns;
    Members members;
    for (std::uint32_t v = 0; v < size; ++v) {
        if (image.mask[v] == 0) continue;
        const Parts::Root root = parts.root_of(v);
        std::uint32_t& part = part_of[root.voxel];
        if (part == kNone) {
            part = static_cast<std::uint32_t>(first_turns.size());
            first_turns.push_back(root.turns);
            members.ends.push_back(0);
        }
        ++members.ends[part];
    }
    std::vector<std::size_t> next(members.ends.size());
    std::size_t n = 0;
    for (std::size_t part = 0; part < next.size(); ++part) {
        next[part] = n;
        members.ends[part] = n += members.ends[part];
    }
    members.voxels.resize(n);
    for (std::uint32_t v = 0; v < size; ++v) {
        if (image.mask[v] == 0) continue;
        const Parts::Root root = parts.root_of(v);
        const std::uint32_t part = part_of[root.voxel];
        members.voxels[next[part]++] = {v, root.turns - first_turns[part]};
    }
    return members;
}

double median_of(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

void write_centred(const PhaseImage& image, const Members& members, float* unwrapped) {
    std::vector<double> values, held;
    std::size_t begin = 0;
    for (const std::size_t end : members.ends) {
        values.clear();
        for (std::size_t i = begin; i < end; ++i) {
            const Parts::Root& member = members.voxels[i];
            values.push_back(static_cast<double>(image.phase[member.voxel]) +
                             static_cast<double>(kTurn) * member.turns);
        }
        held = values;
        const double turns = std::nearbyint(median_of(held) / kWholeTurn);
        const auto off = static_cast<double>(static_cast<float>(kWholeTurn * turns));
        for (std::size_t i = begin; i < end; ++i)
            unwrapped[members.voxels[i].voxel] = static_cast<float>(values[i - begin] - off);
        begin = end;
    }
}

}  // namespace

void unwrap(const PhaseImage& image, float* unwrapped) {
    const std::size_t size = size_of(image.shape);
    if (size == 0) return;  // a shape of no voxels may have a side of any length
    check_values(image, size);
    Parts parts = joined(image, size);
    const Members members = members_of(image, size, parts);
    std::fill_n(unwrapped, size, 0.0F);
    write_centred(image, members, unwrapped);
}

}  // namespace nigro
