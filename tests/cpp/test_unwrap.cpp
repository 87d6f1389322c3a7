// Unwrapping against a second way to the same tree, over random phases, reliabilities and masks;
// and what must be refused.
//
// The second way is Prim's: from the first voxel of a part the least edge that leads out of what is
// reached is taken, again and again, found by looking at all of them. Few reliabilities and phases
// are drawn, so that many edges cost the same and their order decides.
//
// One digest of all that comes out is written down here, so that another processor, compiler or
// standard library is compared too.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "core/unwrap.h"

namespace {

using check::Random;

constexpr double kTwoPi = 6.283185307179586;
constexpr float kTurn = 6.2831855F, kPi = 3.1415927F;

struct Drawn {
    std::array<std::size_t, 3> shape;
    std::vector<float> phase, reliability;
    std::vector<unsigned char> mask;

    std::size_t size() const { return mask.size(); }
    nigro::PhaseImage image() const {
        return {shape, phase.data(), mask.data(), reliability.data()};
    }
};

Drawn draw(Random& random, std::size_t most) {
    Drawn drawn{};
    std::size_t size = 1;
    for (std::size_t& side : drawn.shape) size *= side = 1 + check::below(random, most);
    const bool ties = check::below(random, 2) == 1;
    const std::size_t kept = 5 + check::below(random, 6);
    for (std::size_t i = 0; i < size; ++i) {
        const auto step = static_cast<float>(check::below(random, 8));
        drawn.phase.push_back(ties ? step - 3.5F : check::uniform(random, -9, 9));
        drawn.reliability.push_back(ties ? 1 + std::fmod(step, 2.0F)
                                         : check::uniform(random, 0, 2));
        drawn.mask.push_back(check::below(random, 10) < kept ? 1 : 0);
    }
    return drawn;
}

std::vector<float> unwrapped(const Drawn& drawn) {
    std::vector<float> values(drawn.size(), -99);
    nigro::unwrap(drawn.image(), values.data());
    return values;
}

// ------------------------------------------------------------------------------------ Prim's way

struct Link {
    float cost;
    std::size_t low, axis, high;

    bool operator<(const Link& other) const {
        return std::tie(cost, low, axis) < std::tie(other.cost, other.low, other.axis);
    }
};

std::vector<Link> links_of(const Drawn& drawn) {
    const std::array<std::size_t, 3> strides{drawn.shape[1] * drawn.shape[2], drawn.shape[2], 1};
    float most = 0;
    for (std::size_t v = 0; v < drawn.size(); ++v)
        if (drawn.mask[v] != 0) most = std::max(most, drawn.reliability[v]);
    std::vector<Link> links;
    for (std::size_t axis = 0; axis < 3; ++axis)
        for (std::size_t low = 0; low < drawn.size(); ++low) {
            if (low / strides[axis] % drawn.shape[axis] + 1 == drawn.shape[axis]) continue;
            const std::size_t high = low + strides[axis];
            if (drawn.mask[low] == 0 || drawn.mask[high] == 0) continue;
            const float step = drawn.phase[high] - drawn.phase[low];
            const float left = std::fabs(step - kTurn * std::nearbyint(step / kTurn));
            const float trust = std::min(drawn.reliability[low], drawn.reliability[high]) / most;
            links.push_back({(left / kPi + 0.001F) / std::max(trust, 1e-6F), low, axis, high});
        }
    std::sort(links.begin(), links.end());
    return links;
}

// The voxels of the part that `first` is in, unwrapped from there.
std::vector<std::size_t> grow(const Drawn& drawn, const std::vector<Link>& links, std::size_t first,
                              std::vector<char>& reached, std::vector<double>& turns) {
    std::vector<std::size_t> members{first};
    reached[first] = 1;
    while (true) {
        const auto way_out = std::find_if(links.begin(), links.end(), [&](const Link& link) {
            return reached[link.low] != reached[link.high];
        });
        if (way_out == links.end()) return members;
        const bool up = reached[way_out->low] != 0;
        const std::size_t from = up ? way_out->low : way_out->high;
        const std::size_t to = up ? way_out->high : way_out->low;
        turns[to] =
            turns[from] +
            std::nearbyint(static_cast<double>((drawn.phase[from] - drawn.phase[to]) / kTurn));
        reached[to] = 1;
        members.push_back(to);
    }
}

std::vector<float> grown(const Drawn& drawn) {
    const std::vector<Link> links = links_of(drawn);
    std::vector<char> reached(drawn.size());
    std::vector<double> turns(drawn.size());
    std::vector<float> values(drawn.size());
    for (std::size_t first = 0; first < drawn.size(); ++first) {
        if (drawn.mask[first] == 0 || reached[first] != 0) continue;
        const std::vector<std::size_t> members = grow(drawn, links, first, reached, turns);
        std::vector<double> sorted;
        const auto value = [&](std::size_t v) {
            return static_cast<double>(drawn.phase[v]) + static_cast<double>(kTurn) * turns[v];
        };
        for (const std::size_t v : members) sorted.push_back(value(v));
        std::sort(sorted.begin(), sorted.end());
        const std::size_t n = sorted.size();
        const double median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
        const auto off =
            static_cast<double>(static_cast<float>(kTwoPi * std::nearbyint(median / kTwoPi)));
        for (const std::size_t v : members) values[v] = static_cast<float>(value(v) - off);
    }
    return values;
}

// ------------------------------------------------------------------------------------------ tests

void test_both_ways_agree(check::Digest& digest) {
    Random random(1);
    for (int i = 0; i < 300; ++i) {
        const Drawn drawn = draw(random, 6);
        const std::vector<float> values = unwrapped(drawn);
        check::that(check::same(grown(drawn), values), "image " + std::to_string(i));
        digest.add(values);
    }
}

void test_large(check::Digest& digest) {
    Random random(2);
    for (int i = 0; i < 3; ++i) {
        const Drawn drawn = draw(random, 60);
        const std::vector<float> values = unwrapped(drawn);
        check::that(check::same(unwrapped(drawn), values), "again");
        digest.add(values);
    }
}

std::string refusal(const nigro::PhaseImage& image, float* values) {
    try {
        nigro::unwrap(image, values);
    } catch (const nigro::BadArgument& error) {
        return error.what();
    }
    return "";
}

// Before anything is read.
void test_too_large() {
    constexpr std::size_t kHuge = std::numeric_limits<std::size_t>::max();
    const std::array<std::size_t, 3> shapes[] = {{1024, 1024, 1025},
                                                 {std::size_t{1} << 32, std::size_t{1} << 32, 1},
                                                 {kHuge, kHuge, kHuge},
                                                 {1, 1, (std::size_t{1} << 30) + 1}};
    for (const auto& shape : shapes)
        check::that(refusal({shape, nullptr, nullptr, nullptr}, nullptr).find("2^30 voxels") !=
                        std::string::npos,
                    "too large");
    check::that(refusal({{kHuge, 0, kHuge}, nullptr, nullptr, nullptr}, nullptr).empty(), "empty");
}

void test_refusals() {
    Drawn drawn{{1, 2, 3}, std::vector<float>(6), std::vector<float>(6, 1), {1, 1, 1, 1, 0, 1}};
    const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                         std::numeric_limits<float>::infinity(), -1e9F};
    for (const float value : bad)
        for (const auto member : {&Drawn::phase, &Drawn::reliability}) {
            Drawn wrong = drawn;
            (wrong.*member)[5] = value;
            std::vector<float> values(6, 7);
            check::that(refusal(wrong.image(), values.data()).find("at voxel (0, 1, 2)") !=
                            std::string::npos,
                        "refused with its place");
            check::that(values == std::vector<float>(6, 7), "nothing written");
            wrong = drawn;
            (wrong.*member)[4] = value;
            check::that(refusal(wrong.image(), values.data()).empty(), "not seen outside");
            check::that(values == std::vector<float>(6), "zeros");
        }
}

// Phases at the limit along a line: what is added fits, and steps stay within half a turn.
void test_limit() {
    Drawn drawn{{1, 1, 4},
                {nigro::kMaxPhase, -nigro::kMaxPhase, nigro::kMaxPhase, 0},
                std::vector<float>(4, 0),
                {1, 1, 1, 1}};
    const std::vector<float> values = unwrapped(drawn);
    for (std::size_t i = 1; i < 4; ++i)
        check::that(std::fabs(values[i] - values[i - 1]) <= kPi + 0.05F, "within half a turn");
}

}  // namespace

int main() {
    check::Digest digest;
    test_both_ways_agree(digest);
    test_large(digest);
    test_too_large();
    test_refusals();
    test_limit();
    constexpr std::uint64_t kDigest = 8632497273060360803U;
    check::that(digest.value() == kDigest, "digest " + std::to_string(digest.value()));
    return check::report("test_unwrap");
}
