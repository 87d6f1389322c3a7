// What a model file says about its use; see model_spec.h.
//
// Numbers are read with from_chars: strtod would follow the locale of the program around us.
// SPDX-License-Identifier: Apache-2.0
#include "core/model_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"
#include "core/protobuf.h"

namespace nigro {
namespace {

// As in nigroedge/grid.py: more voxels than any network of this method takes.
constexpr std::size_t kMaxPatchVoxels = std::size_t{1} << 24;
// Beyond them no patch of the midbrain is meant.
constexpr double kMinSpacingMm = 0.01;
constexpr double kMaxSpacingMm = 100;
// From 2^128 - 2^103 on a float64 rounds to an infinite float32.
constexpr double kFloatEnd = 0x1.ffffffp127;

// ---------------------------------------------------------------------------------------- values

// One entry of the metadata, and how to refuse it.
struct Entry {
    std::string_view key;
    std::string_view value;

    [[noreturn]] void refuse(const std::string& expected) const {
        throw ModelError("expected " + std::string(key) + " to be " + expected + ", got " +
                         protobuf::quoted(value));
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

// Takes digits off the front of 'text'; returns how many.
std::size_t take_digits(std::string_view& text) {
    std::size_t n = 0;
    while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
    text.remove_prefix(n);
    return n;
}

bool take(std::string_view& text, std::string_view any_of) {
    if (text.empty() || any_of.find(text[0]) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}

constexpr std::size_t kMaxDigits = 20;

// Takes a '.' and the digits that must follow it off the front of 'text', if there is one.
bool take_fraction(std::string_view& text) {
    if (!take(text, ".")) return true;
    const std::size_t n = take_digits(text);
    return n >= 1 && n <= kMaxDigits;
}

// A size or the like: 1 to 'max_digits' digits, the first one 0 only if it is alone.
bool take_whole(std::string_view& text, std::size_t max_digits) {
    const bool leads_with_zero = !text.empty() && text[0] == '0';
    const std::size_t n = take_digits(text);
    return n >= 1 && n <= (leads_with_zero ? 1 : max_digits);
}

// The number that a word spells, which the functions above have found fit.
template <class T, class... Format>
T parsed(std::string_view word, Format... format) {
    T number{};
    std::from_chars(word.data(), word.data() + word.size(), number, format...);
    return number;
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
    const std::string expected = "three sizes such as 50 50 20, 2^24 voxels at most";
    std::array<std::string_view, 3> words;
    if (!split(entry.value, words)) entry.refuse(expected);
    std::array<std::size_t, 3> shape{};
    std::size_t room = kMaxPatchVoxels;
    for (std::size_t i = 0; i < 3; ++i) {
        std::string_view rest = words[i];
        if (!take_whole(rest, 5) || !rest.empty()) entry.refuse(expected);
        shape[i] = parsed<std::size_t>(words[i]);
        if (shape[i] < 1 || shape[i] > room) entry.refuse(expected);
        room /= shape[i];
    }
    return shape;
}

std::array<double, 3> read_spacing(const Entry& entry) {
    const std::string expected = "three spacings of 0.01 to 100 mm, such as 0.5 0.5 1";
    std::array<std::string_view, 3> words;
    if (!split(entry.value, words)) entry.refuse(expected);
    std::array<double, 3> spacing_mm{};
    for (std::size_t i = 0; i < 3; ++i) {
        std::string_view rest = words[i];
        if (!take_whole(rest, 6) || !take_fraction(rest) || !rest.empty()) entry.refuse(expected);
        spacing_mm[i] = parsed<double>(words[i], std::chars_format::fixed);
        if (!(spacing_mm[i] >= kMinSpacingMm && spacing_mm[i] <= kMaxSpacingMm))
            entry.refuse(expected);
    }
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

constexpr Choice<Sides> kServed[] = {
    {"both", Sides::both}, {"left", Sides::left}, {"right", Sides::right}};
constexpr Choice<Sides> kMirrored[] = {
    {"none", Sides::neither}, {"left", Sides::left}, {"right", Sides::right}};

// Format 2: what the network is for, and where the centroid lies, along left-right, on the side
// that is mirrored: the values of ModelSpec::mirror_flips.
constexpr Choice<bool> kTasks[] = {{"sbr", true}};
constexpr Choice<bool> kMirrorCentres[] = {{"n/2", false}, {"n/2-1", true}};

bool is_bits(std::string_view word) {
    return word.size() == 10 && word.substr(0, 2) == "0x" &&
           word.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
}

bool is_decimal(std::string_view word) {
    take(word, "-");
    const std::size_t n = take_digits(word);
    if (n < 1 || n > kMaxDigits || !take_fraction(word)) return false;
    if (word.empty()) return true;
    if (!take(word, "e")) return false;
    take(word, "+-");
    const std::size_t n_exponent = take_digits(word);
    return n_exponent >= 1 && n_exponent <= 2 && word.empty();
}

// '0x40133333 2.3': the bits, and for people the decimal, which must say the same.
float read_selftest(const Entry& entry) {
    const std::string expected = "float32 bits and the same as decimal, such as 0x40133333 2.3";
    std::array<std::string_view, 2> words;
    if (!split(entry.value, words) || !is_bits(words[0]) || !is_decimal(words[1]))
        entry.refuse(expected);
    const auto bits = parsed<std::uint32_t>(words[0].substr(2), 16);
    const auto decimal = parsed<double>(words[1], std::chars_format::general);
    float sbr = 0;
    std::memcpy(&sbr, &bits, sizeof sbr);
    if (!(std::abs(decimal) < kFloatEnd) || sbr != static_cast<float>(decimal))
        entry.refuse(expected);
    return sbr;
}

// ----------------------------------------------------------------------------------------- model

constexpr std::string_view kPrefix = "nigroedge.";
constexpr std::string_view kKeys[] = {"format", "patch_shape", "spacing_mm",   "axes", "normalize",
                                      "side",   "mirror",      "selftest_sbr", "card"};
// Of format 2, each optional. No number depends on the last two: they are not read here.
constexpr std::string_view kOptionalKeys[] = {"task", "mirror_centre", "interval", "domain"};

constexpr Choice<bool> kFormats[] = {{"1", false}, {"2", true}};  // whether it is format 2

template <std::size_t n>
bool is_among(const std::string_view (&keys)[n], std::string_view key) {
    return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

// Who misspells a key, or writes one of a later format, means something that we would not do.
void check_keys(const OnnxModel& model, const Entry& format, bool has_optional) {
    for (const OnnxEntry& entry : model.metadata) {
        if (entry.key.substr(0, kPrefix.size()) != kPrefix) continue;
        const std::string_view key = entry.key.substr(kPrefix.size());
        if (!is_among(kKeys, key) && !(has_optional && is_among(kOptionalKeys, key)))
            throw ModelError("expected metadata nigroedge.* of format " +
                             std::string(format.value) + ", got the unknown key " +
                             protobuf::quoted(key));
    }
}

// What the network is for; this version runs one kind.
void check_task(const OnnxModel& model) {
    if (model.metadata_value("nigroedge.task") == nullptr) return;
    choose(entry(model, "nigroedge.task"), kTasks);
}

// Format 1 knows two.
Normalization read_normalization(const Entry& entry, bool is_format_2) {
    if (!is_format_2 && entry.value != "mean" && entry.value != "zscore")
        entry.refuse("mean or zscore, as format 1 has it");
    try {
        return normalization(entry.value);
    } catch (const BadArgument&) {
        entry.refuse(std::string(kNormalizations));
    }
}

bool read_mirror_flips(const OnnxModel& model, Sides mirrored) {
    if (model.metadata_value("nigroedge.mirror_centre") == nullptr) return false;
    const Entry centre = entry(model, "nigroedge.mirror_centre");
    const bool flips = choose(centre, kMirrorCentres);
    if (flips && mirrored == Sides::neither) centre.refuse("n/2, since no side is mirrored");
    return flips;
}

using Dims = std::vector<std::int64_t>;

// One float32 port of that name and those sizes.
void check_port(const char* noun, const std::vector<OnnxValue>& ports, std::string_view name,
                const Dims& dims) {
    if (ports.size() == 1 && ports[0].name == name && ports[0].type == DataType::kFloat &&
        ports[0].dims == dims)
        return;
    std::string sizes = "n";
    for (std::size_t i = 1; i < dims.size(); ++i) sizes += ", " + std::to_string(dims[i]);
    throw ModelError("expected the graph to have one " + std::string(noun) + ", '" +
                     std::string(name) + "' float (" + sizes + "), got another");
}

}  // namespace

PatchGrid ModelSpec::grid_for(Sides side) const {
    if (!contains(mirrored, side)) return grid;
    PatchGrid turned = nigro::mirrored(grid);
    turned.flipped = mirror_flips;
    return turned;
}

ModelSpec read_model_spec(const OnnxModel& model) {
    const Entry format = entry(model, "nigroedge.format");
    const bool is_format_2 = choose(format, kFormats);
    check_keys(model, format, is_format_2);
    check_task(model);
    const Entry normalize = entry(model, "nigroedge.normalize");
    ModelSpec spec;
    spec.grid.shape = read_shape(entry(model, "nigroedge.patch_shape"));
    spec.grid.spacing_mm = read_spacing(entry(model, "nigroedge.spacing_mm"));
    spec.grid.axes = read_axes(entry(model, "nigroedge.axes"));
    spec.normalize = read_normalization(normalize, is_format_2);
    spec.normalize_name = normalize.value;
    spec.served = choose(entry(model, "nigroedge.side"), kServed);
    spec.mirrored = choose(entry(model, "nigroedge.mirror"), kMirrored);
    spec.mirror_flips = read_mirror_flips(model, spec.mirrored);
    spec.selftest_sbr = read_selftest(entry(model, "nigroedge.selftest_sbr"));
    spec.card = entry(model, "nigroedge.card").value;
    Dims patch{kAnyBatch, 1};
    for (const std::size_t n : spec.grid.shape) patch.push_back(static_cast<std::int64_t>(n));
    check_port("input", model.inputs, "patch", patch);
    check_port("output", model.outputs, "sbr", {kAnyBatch, 1});
    return spec;
}

}  // namespace nigro
