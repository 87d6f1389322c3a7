// The walk over the protobuf wire format; see protobuf.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/protobuf.h"

#include "core/error.h"

namespace nigro::protobuf {
namespace {

constexpr std::size_t kMaxQuotedBytes = 64;
constexpr int kMaxVarintBytes = 10;  // 64 bits, 7 to a byte

std::string describe(const Place& place) {
    if (place.outer == nullptr) return place.name;
    std::string text = place.outer->outer == nullptr ? "" : describe(*place.outer) + ".";
    text += place.name;
    if (place.index != Place::kSingle) text += "[" + std::to_string(place.index) + "]";
    return text;
}

// The length of the UTF-8 sequence at 'at' (1 to 4), or 0 if it is not one: RFC 3629, table 3-7 of
// the Unicode standard, so no overlong forms, no surrogates, nothing above U+10FFFF.
std::size_t utf8_length(const unsigned char* at, const unsigned char* end) noexcept {
    const unsigned char first = *at;
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (static_cast<std::size_t>(end - at) < length) return 0;
    const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high) return 0;
    for (std::size_t i = 2; i < length; ++i)
        if ((at[i] & 0xC0) != 0x80) return 0;
    return length;
}

bool is_utf8(Span text) noexcept {
    for (const unsigned char* at = text.begin; at != text.end;) {
        const std::size_t length = utf8_length(at, text.end);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

}  // namespace

void refuse(const Place& place, const unsigned char* at, const std::string& text) {
    const std::string offset = at == nullptr ? "" : ", byte " + std::to_string(at - place.begin);
    throw ModelError("not a usable ONNX model: " + describe(place) + offset + ": " + text);
}

std::string quoted(std::string_view text) {
    static const char* const kHex = "0123456789abcdef";
    std::string out = "'";
    for (const char c : text.substr(0, kMaxQuotedBytes)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7F) {
            out += c;
        } else {
            out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
        }
    }
    return out + (text.size() > kMaxQuotedBytes ? "…'" : "'");
}

std::uint64_t read_varint(const unsigned char*& at, const unsigned char* end, const Place& place) {
    const unsigned char* const begin = at;
    std::uint64_t value = 0;
    for (int i = 0; i < kMaxVarintBytes; ++i) {
        if (at == end) refuse(place, begin, "expected a whole varint, got the end of the message");
        const std::uint64_t byte = *at++;
        value |= (byte & 0x7F) << (7 * i);
        if (byte >= 0x80) continue;
        if (byte == 0 && i > 0) refuse(place, begin, "expected the shortest form of a varint");
        if (i == kMaxVarintBytes - 1 && byte > 1) break;
        return value;
    }
    refuse(place, begin, "expected a varint of at most 64 bits");
}

bool Message::next(Field& field) {
    while (read_field(field))
        if (field.rule->use != Use::kSkipped) return true;
    return false;
}

bool Message::read_field(Field& field) {
    if (at_ == end_) return false;
    const unsigned char* const begin = at_;
    const std::uint64_t key = read_varint(at_, end_, place_);
    field.rule = &find_rule(key, begin);
    field.wire = static_cast<Wire>(key & 7);
    if (field.rule->use == Use::kOne) {
        const std::uint32_t bit = std::uint32_t{1} << (field.rule - rules_);
        if (seen_ & bit) refuse(place_, begin, std::string(field.rule->name) + " is given twice");
        seen_ |= bit;
    }
    read_value(field);
    return true;
}

const Rule& Message::find_rule(std::uint64_t key, const unsigned char* key_begin) const {
    const std::uint64_t number = key >> 3;
    const auto wire = static_cast<unsigned>(key & 7);
    for (const Rule* rule = rules_; rule != rules_ + n_rules_; ++rule) {
        if (rule->number != number) continue;
        if (rule->use == Use::kRefused)
            refuse(place_, key_begin, std::string(rule->name) + " is not allowed");
        const bool packed = rule->use == Use::kNumbers && wire == unsigned(Wire::kBytes);
        if (wire == unsigned(rule->wire) || packed) return *rule;
        refuse(place_, key_begin,
               std::string(rule->name) + " has wire type " + std::to_string(wire) + ", expected " +
                   std::to_string(unsigned(rule->wire)));
    }
    refuse(place_, key_begin, "ONNX has no field " + std::to_string(number) + " here");
}

void Message::read_value(Field& field) {
    const unsigned char* const begin = at_;
    std::uint64_t length = 0;
    if (field.wire == Wire::kVarint) {
        field.value = read_varint(at_, end_, place_);
        field.bytes = {begin, at_};
        return;
    }
    if (field.wire == Wire::kBytes) length = read_varint(at_, end_, place_);
    if (field.wire == Wire::kFixed32) length = 4;
    if (field.wire == Wire::kFixed64) length = 8;
    const auto left = static_cast<std::uint64_t>(end_ - at_);
    if (length > left)
        refuse(place_, begin,
               std::string(field.rule->name) + " claims " + std::to_string(length) +
                   " bytes, but only " + std::to_string(left) + " are left");
    field.bytes = {at_, at_ + length};
    at_ += length;
}

std::string_view as_text(const Field& field, std::size_t max_bytes, const Place& place) {
    const Span& bytes = field.bytes;
    if (bytes.size() > max_bytes)
        refuse(place, bytes.begin,
               std::string(field.rule->name) + " has " + std::to_string(bytes.size()) +
                   " bytes, expected at most " + std::to_string(max_bytes));
    if (!is_utf8(bytes))
        refuse(place, bytes.begin, std::string(field.rule->name) + " is not UTF-8");
    return {reinterpret_cast<const char*>(bytes.begin), bytes.size()};
}

void check_whole_items(const Field& field, std::size_t item_bytes, const Place& place) {
    if (field.bytes.size() % item_bytes != 0)
        refuse(place, field.bytes.begin,
               std::string(field.rule->name) + " has " + std::to_string(field.bytes.size()) +
                   " bytes, expected a multiple of " + std::to_string(item_bytes));
}

}  // namespace nigro::protobuf
