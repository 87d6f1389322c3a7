// What a model file says about its use; see model_spec.h.
//
// Numbers are read with from_chars: strtod would follow the locale of the program around us.
// SPDX-License-Identifier: Apache-2.0
#include "core/model_spec.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace nigro {
namespace {

constexpr std::string_view kFormat = "1";
// As in nigroedge/grid.py: more voxels than any network of this method takes.
constexpr std::size_t kMaxPatchVoxels = std::size_t{1} << 24;

// ---------------------------------------------------------------------------------------- values

// One entry of the metadata, and how to refuse it.
struct Entry {
    std::string_view key;
    std::string_view value;

    [[noreturn]] void refuse(const std::string& expected) const {
        throw ModelError("expected " + std::string(key) + " to be " + expected + ", got '" +
                         std::string(value.substr(0, 100)) + "'");
    }
};

Entry entry(const OnnxModel& model, std::string_view key) {
    const std::string_view* value = model.metadata_value(key);
    if (value == nullptr)
        throw ModelError("expected " + std::string(key) +
                         " in the model's metadata_props, got none: not a nigroedge model?");
    return {key, *value};
}

// The words of 'text', which single spaces part; false unless there are 'n'.
template <std::size_t n>
bool split(std::string_view text, std::array<std::string_view, n>& words) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t end = i + 1 < n ? text.find(' ') : text.size();
        if (end == std::string_view::npos) return false;
        words[i] = text.substr(0, end);
        text.remove_prefix(i + 1 < n ? end + 1 : end);
    }
    return true;
}

// A whole word as a number; false if it is none. The formats are those of from_chars: no sign in
// front but '-', no white space, '.' as decimal point whatever the locale.
template <class T, class... Format>
bool parse(std::string_view word, T& number, Format... format) {
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data(), end, number, format...);
    return error == std::errc() && stop == end;
}

template <class Value>
struct Choice {
    std::string_view name;
    Value value;
};

template <class Value, std::size_t n>
Value choose(const Entry& entry, const Choice<Value> (&choices)[n]) {
    std::string names;
    for (const Choice<Value>& choice : choices) {
        if (choice.name == entry.value) return choice.value;
        names += (names.empty() ? "" : " or ") + std::string(choice.name);
    }
    entry.refuse(names);
}

// ------------------------------------------------------------------------------------------ keys

std::array<std::size_t, 3> read_shape(const Entry& entry) {
    const std::string expected =
        "three sizes of at least 1 and 2^24 voxels in all, such as 50 50 20";
    std::array<std::string_view, 3> words;
    if (!split(entry.value, words)) entry.refuse(expected);
    std::array<std::size_t, 3> shape{};
    std::size_t room = kMaxPatchVoxels;
    for (std::size_t i = 0; i < 3; ++i) {
        if (!parse(words[i], shape[i]) || shape[i] < 1 || shape[i] > room) entry.refuse(expected);
        room /= shape[i];
    }
    return shape;
}

std::array<double, 3> read_spacing(const Entry& entry) {
    const std::string expected = "three spacings above 0, such as 0.5 0.5 1";
    std::array<std::string_view, 3> words;
    if (!split(entry.value, words)) entry.refuse(expected);
    std::array<double, 3> spacing_mm{};
    for (std::size_t i = 0; i < 3; ++i)
        if (!parse(words[i], spacing_mm[i], std::chars_format::general) ||
            !std::isfinite(spacing_mm[i]) || !(spacing_mm[i] > 0))
            entry.refuse(expected);
    return spacing_mm;
}

// The patient's axis that a letter runs along, or 3.
std::size_t world_axis(char letter) {
    constexpr std::string_view kLetters = "RLAPSI";
    const std::size_t at = kLetters.find(letter);
    return at == std::string_view::npos ? 3 : at / 2;
}

std::array<char, 3> read_axes(const Entry& entry) {
    unsigned named = 0;
    for (const char letter : entry.value) named |= 1U << world_axis(letter);
    if (entry.value.size() != 3 || named != 0b111)
        entry.refuse("three letters such as ALI, one of R L, one of A P and one of S I");
    return {entry.value[0], entry.value[1], entry.value[2]};
}

constexpr Choice<Normalization> kNormalizations[] = {{"mean", Normalization::mean},
                                                     {"zscore", Normalization::zscore}};
constexpr Choice<Sides> kServed[] = {
    {"both", Sides::both}, {"left", Sides::left}, {"right", Sides::right}};
constexpr Choice<Sides> kMirrored[] = {
    {"none", Sides::neither}, {"left", Sides::left}, {"right", Sides::right}};

// '0x40133333 2.3': the bits are what counts; the decimal is for people.
float read_selftest(const Entry& entry) {
    const std::string expected = "float32 bits and decimal of a finite SBR, such as 0x40133333 2.3";
    std::array<std::string_view, 2> words;
    if (!split(entry.value, words)) entry.refuse(expected);
    std::uint32_t bits = 0;
    double decimal = 0;
    if (words[0].size() != 10 || words[0].substr(0, 2) != "0x" ||
        !parse(words[0].substr(2), bits, 16) ||
        !parse(words[1], decimal, std::chars_format::general))
        entry.refuse(expected);
    float sbr = 0;
    std::memcpy(&sbr, &bits, sizeof sbr);
    if (!std::isfinite(sbr)) entry.refuse(expected);
    return sbr;
}

}  // namespace

PatchGrid ModelSpec::grid_for(Sides side) const {
    PatchGrid turned = grid;
    if (!contains(mirrored, side)) return turned;
    for (char& letter : turned.axes)
        if (letter == 'L' || letter == 'R') letter = letter == 'L' ? 'R' : 'L';
    return turned;
}

ModelSpec read_model_spec(const OnnxModel& model) {
    const Entry format = entry(model, "nigroedge.format");
    if (format.value != kFormat) format.refuse(std::string(kFormat));
    const Entry normalize = entry(model, "nigroedge.normalize");
    ModelSpec spec;
    spec.grid.shape = read_shape(entry(model, "nigroedge.patch_shape"));
    spec.grid.spacing_mm = read_spacing(entry(model, "nigroedge.spacing_mm"));
    spec.grid.axes = read_axes(entry(model, "nigroedge.axes"));
    spec.normalize = choose(normalize, kNormalizations);
    spec.normalize_name = normalize.value;
    spec.served = choose(entry(model, "nigroedge.side"), kServed);
    spec.mirrored = choose(entry(model, "nigroedge.mirror"), kMirrored);
    spec.selftest_sbr = read_selftest(entry(model, "nigroedge.selftest_sbr"));
    spec.card = entry(model, "nigroedge.card").value;
    return spec;
}

}  // namespace nigro
